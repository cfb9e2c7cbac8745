from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sentiflow.release.registry import Version
from sentiflow.serving.measurements import Measurements
from sentiflow.serving.state import Served, State


def read(measurements: Measurements) -> dict[str, float]:
    return {
        sample.name + "".join(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(measurements.render().decode())
        for sample in family.samples
    }


def test_the_follower_is_seen_as_it_is_when_prometheus_asks(
    version: Callable[..., Version], constant_model: Callable[..., Any]
) -> None:
    state = State()
    waiting = 0
    measurements = Measurements("model")
    measurements.watch(lambda: state, lambda: waiting)
    before = read(measurements)
    assert before["sentiflow_registry_reachable"] == 0
    assert not any(name.startswith("sentiflow_model_info") for name in before)
    assert "sentiflow_registry_answer_age_seconds" not in before, "it never answered"
    now = datetime.now(UTC)
    served = Served(version(12), constant_model(), now, "registry")
    state = State(served=served, failed_loads=2, last_answer=now - timedelta(seconds=90))
    waiting = 7
    after = read(measurements)
    assert after["sentiflow_model_info12model"] == 1
    assert 90 <= after["sentiflow_registry_answer_age_seconds"] < 100
    assert after["sentiflow_registry_reachable"] == 1
    assert after["sentiflow_failed_loads_total"] == 2
    assert after["sentiflow_waiting_texts"] == 7
    state = State(served=served, last_answer=now, unreachable_since=now)
    assert read(measurements)["sentiflow_registry_reachable"] == 0


def test_batches_are_counted_with_their_texts() -> None:
    measurements = Measurements("model")
    measurements.count_batch(3, 0.004)
    measurements.count_batch(40, 0.02)
    counted = read(measurements)
    assert counted["sentiflow_texts_total"] == 43
    assert counted["sentiflow_batch_texts_count"] == 2
    assert counted["sentiflow_batch_texts_bucket4.0"] == 1
    assert counted["sentiflow_batch_seconds_sum"] == 0.024
