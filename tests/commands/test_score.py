"""What a scoring says of itself; that it answers is shown in tests/flows/test_score.py."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sentiflow.commands.score import ScoreRequest, format_scored
from sentiflow.serving.scoring import Scored

ANSWER = {
    "model": "sentiflow",
    "model_version": 7,
    **Scored(1_200, 1_200, 0, None, 0, 2.0, 600.0, "out.csv").as_dict(),
}


def test_the_counts_and_the_model_are_told() -> None:
    first, *others = format_scored(ANSWER).splitlines()
    assert first == "1,200 of 1,200 reviews answered by sentiflow version 7"
    assert "600 reviews a second" in others[0]
    assert others[1].endswith("out.csv")


def test_what_was_quarantined_or_answered_before_is_told_only_if_there_is_any() -> None:
    counts = {"scored": 1_190, "quarantined": 10, "quarantine": "q.jsonl", "resumed_rows": 300}
    text = format_scored({**ANSWER, **counts})
    assert "1,190 of 1,200" in text
    assert "300 of them before" in text
    assert "10 rows: q.jsonl" in text
    assert "before" not in format_scored(ANSWER)
    assert "rows:" not in format_scored(ANSWER)


def test_a_request_without_sources_or_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        ScoreRequest(data=(), output="out.csv")
    with pytest.raises(ValidationError):
        ScoreRequest.model_validate({"data": ["a"], "output": "out.csv", "modle": "champion"})
