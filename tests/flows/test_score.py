"""The score flow with a real Prefect server, a real registry and a small real network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from attested import crown, know

from flows.score import score
from sentiflow.commands.score import ScoreRequest
from sentiflow.errors import NoModelError, UsageError
from sentiflow.release.registry import Registry, Version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server"),
]
Review = Callable[..., dict[str, Any]]


@pytest.fixture
def version(home: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """A champion with random weights, registered in the home's own MLflow."""
    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.network import build_network
    from sentiflow.settings import load_settings
    from sentiflow.tracking import track_run

    uri = f"sqlite:///{home / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    settings = load_settings(
        None, ["network.wide=false", "network.embedding=4", "network.units=[3]"]
    )
    network = build_network(settings.network, 5)
    network.save_weights(home / "network.weights.h5")
    save_bundle(
        home / "bundle", ["lovely", "dreadful", "visit"], home / "network.weights.h5", settings,
        np.array([1], np.uint64),
    )  # fmt: skip
    registry = Registry(uri)
    with track_run(uri, "test", home / "mlartifacts", "run", {}) as run:
        tags = {"sentiflow.lineage": "abc"}
        made = registry.register("sentiflow", run.id, home / "bundle", tags, tags, "a version")
    registry.point("sentiflow", "champion", made.number)
    crown(home, made, home / "bundle")
    return made


def read_artifact(key: str) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client._client.post("/artifacts/latest/filter", json={}).json()
    (text,) = [artifact["data"] for artifact in found if artifact["key"] == key]
    return str(text)


def test_the_champion_answers_a_source_through_the_flow(
    home: Path, tmp_path: Path, version: Version, write_reviews: Callable[..., Path], review: Review
) -> None:
    reviews = [review(n) for n in range(30)]
    for one in reviews:
        del one["stars"]
    reviews[7]["text"] = None
    source = write_reviews(reviews)
    output = tmp_path / "answers.parquet"
    request = ScoreRequest(
        data=(str(source),), output=str(output), overrides=("data.chunk_rows=8",)
    )
    answer = score(request)
    counts = (answer["rows_read"], answer["scored"], answer["quarantined"])
    assert counts == (30, 29, 1)
    assert (answer["model"], answer["model_version"]) == ("sentiflow", version.number)

    rows = pd.read_parquet(output)
    used = [one for one in reviews if one["text"]]
    assert rows["review_id"].tolist() == [one["review_id"] for one in used]
    known = know(version, home / "bundle")
    model = Registry(f"sqlite:///{home / 'mlflow.db'}").load(version, known, tmp_path)
    expected = model.predict([one["text"] for one in used])
    np.testing.assert_allclose(rows["probability"], expected, atol=1e-5)
    assert rows["probability"].std() > 0
    assert set(rows["model_version"]) == {version.number}

    summary = read_artifact("score-summary")
    assert re.search(r"\| answered \| 29 \|", summary)
    assert re.search(r"\| quarantined \| 1 \|", summary)
    assert not any(one["text"] in summary for one in used)
    json.dumps(answer)


def test_a_mistake_in_the_request_is_told_and_writes_nothing(
    tmp_path: Path, version: Version, write_reviews: Callable[..., Path], review: Review
) -> None:
    data = (str(write_reviews([review(1)])),)
    output = tmp_path / "out.csv"
    with pytest.raises(NoModelError, match="99"):
        score(ScoreRequest(data=data, output=str(output), model="99"))
    with pytest.raises(UsageError, match="exist"):
        score(ScoreRequest(data=("nowhere.jsonl",), output=str(output)))
    with pytest.raises(UsageError, match="end in"):
        score(ScoreRequest(data=data, output=str(tmp_path / "out.xlsx")))
    assert not output.exists()
