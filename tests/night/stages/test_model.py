"""What the model's stages take from which side, on a real snapshot."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from night.stages.tables import RunInMemory

from sentiflow.data.snapshot import Snapshot
from sentiflow.data.splitting import BUCKETS
from sentiflow.night.night import Night, describe_request_lineage, read_settings
from sentiflow.night.request import NightRequest
from sentiflow.night.stages.data import Splits
from sentiflow.night.stages.model import Tokens, describe_limits, tokenize

# One bucket of each side, and a word that only that side has.
SIDES = {"onlytrain": 0, "onlyvalidation": BUCKETS - 2_000, "onlytest": BUCKETS - 1}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """The tokens of a night whose sides share one word and have one of their own each."""
    home = tmp_path_factory.mktemp("home")
    rows = [(word, bucket, number % 2) for word, bucket in SIDES.items() for number in range(6)]
    pd.DataFrame(
        {
            "text": [f"shared {word}" for word, _, _ in rows],
            "label": np.array([label for _, _, label in rows], np.int8),
            "text_digest": np.array([bucket for _, bucket, _ in rows], np.uint64),
        }
    ).to_parquet(home / "shard.parquet")
    snapshot = Snapshot("fingerprint", str(home), ("shard.parquet",), len(rows))
    request = NightRequest(
        data=("a.jsonl",), as_of=date(2026, 6, 30), overrides=("tokens.length=4",)
    )
    settings, day = read_settings(request), date(2026, 6, 30)
    night = Night(
        request, settings, describe_request_lineage(request, settings), day, home, RunInMemory(),
        None, None, cast(Any, None),
    )  # fmt: skip
    return tokenize(night, Splits(snapshot, {}, "split"))


def read_words(folder: Path) -> set[str]:
    return set(json.loads((folder / "vocabulary.json").read_text()))


def test_the_vocabulary_knows_the_words_of_training_rows_only(tokens: Tokens) -> None:
    assert read_words(tokens.folder) == {"shared", "onlytrain"}
    assert tokens.vocabulary_size == 4, "padding and unknown, and the two words"


def test_training_and_validation_rows_are_encoded_with_their_labels(tokens: Tokens) -> None:
    labels = np.load(tokens.folder / "labels.npz")
    assert {name.removesuffix("_folds") for name in labels} == {"train", "validation"}, (
        "no test row is touched before evaluation"
    )
    for side in ("train", "validation"):
        assert labels[side].tolist() == [0, 1] * 3
    assert not (tokens.folder / "test.npz").exists()


def test_what_limits_cut_off_is_told_and_nothing_else() -> None:
    all_of_it = {"rows": 90, "rows_available": 90, "ngrams": 1_200, "ngrams_found": 1_200}
    assert describe_limits(all_of_it) == []
    (rows,) = describe_limits({**all_of_it, "rows_available": 4_000})
    assert "90 of 4,000" in rows
    assert "wide.max_rows" in rows
    (ngrams,) = describe_limits({**all_of_it, "ngrams_found": 5_000})
    assert "1,200" in ngrams
    assert "wide.max_ngrams" in ngrams
