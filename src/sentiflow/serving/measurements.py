"""Count what the service does, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sentiflow.serving.state import State


class Measurements:
    """The counters of one service."""

    def __init__(self, model: str) -> None:
        """Make the counters, in a registry of their own."""
        self._registry = CollectorRegistry()
        self._model = model
        self._requests = Counter(
            "sentiflow_requests", "Requests answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "sentiflow_request_seconds", "Time from a request's head to its answer.", ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )  # fmt: skip
        self._texts = Counter("sentiflow_texts", "Texts answered.", registry=self._registry)
        self._batch_texts = Histogram(
            "sentiflow_batch_texts", "Texts in a batch of the model.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512), registry=self._registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "sentiflow_batch_seconds", "Time the model took for a batch.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self._registry,
        )  # fmt: skip
        self._drops = Counter(
            "sentiflow_connections_dropped", "Connections that were ended early.", ["reason"],
            registry=self._registry,
        )  # fmt: skip

    def watch(self, read_state: Callable[[], State], count_waiting: Callable[[], int]) -> None:
        """Report the follower's state and the queue, as they are when they are asked for."""
        self._registry.register(_Standing(self._model, read_state, count_waiting))

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Report how many connections are open when it is asked for."""
        Gauge(
            "sentiflow_connections", "Connections that are open.", registry=self._registry
        ).set_function(count)

    def count_drop(self, reason: str) -> None:
        """Count one connection that was ended early."""
        self._drops.labels(reason).inc()

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, texts: int, seconds: float) -> None:
        """Count one batch that the model answered."""
        self._texts.inc(texts)
        self._batch_texts.observe(texts)
        self._batch_seconds.observe(seconds)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Standing(Collector):
    """What is read from the follower and the queue when Prometheus asks."""

    def __init__(
        self, model: str, read_state: Callable[[], State], count_waiting: Callable[[], int]
    ) -> None:
        self._model = model
        self._read_state = read_state
        self._count_waiting = count_waiting

    def describe(self) -> list[Metric]:
        """Name nothing in advance."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the values of now."""
        state = self._read_state()
        served = GaugeMetricFamily(
            "sentiflow_model_info", "The version that answers.", labels=["model", "version"]
        )
        if state.served is not None:
            served.add_metric([self._model, str(state.served.version.number)], 1)
        yield served
        if state.last_answer is not None:
            yield GaugeMetricFamily(
                "sentiflow_registry_answer_age_seconds",
                "Time since the registry last answered.",
                value=(datetime.now(UTC) - state.last_answer).total_seconds(),
            )
        yield GaugeMetricFamily(
            "sentiflow_registry_reachable",
            "1 while the registry answers.",
            value=float(state.last_answer is not None and state.unreachable_since is None),
        )
        yield GaugeMetricFamily(
            "sentiflow_ledger_reachable",
            "1 while the ledger answers.",
            value=float(state.has_ledger and state.ledger_silent_since is None),
        )
        yield GaugeMetricFamily(
            "sentiflow_champion_moved_outside",
            "1 while the champion alias stands where no event of the ledger put it.",
            value=float(state.move is not None),
        )
        yield CounterMetricFamily(
            "sentiflow_failed_loads", "Champions that did not load.", value=state.failed_loads
        )
        yield GaugeMetricFamily(
            "sentiflow_waiting_texts", "Texts that wait for the model.", value=self._count_waiting()
        )
