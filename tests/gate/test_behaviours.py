"""The behaviour checks, each against the bad model that it is there to block."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sentiflow.errors import GateNotEvaluated, SettingsError
from sentiflow.gate.behaviours import BehaviourResult, digest_questions, load_checks, run_checks
from sentiflow.gate.packs import PACKS, read_pack

BY_PACK = {pack: load_checks(pack) for pack in PACKS}
CHECKS = BY_PACK["restaurants"]
BAD_WORDS = {
    "terrible", "awful", "horrible", "disgusting", "rude", "bland", "hated", "never", "worst",
    "dirty", "loud", "cold", "broken", "overpriced", "disappointment", "bad", "lost", "charged",
    "disappoint", "wait", "hung", "slow", "waited", "disappointing", "poor", "waste", "boring",
    "stupid", "weak", "dull", "useless", "lousy", "went",
}  # fmt: skip
GOOD_WORDS = {
    "great", "delicious", "wonderful", "amazing", "excellent", "fantastic", "loved", "good", "love",
    "best", "lovely", "friendly", "recommended", "honest", "recommend", "worth", "like", "nice",
    "perfect", "brilliant",
}  # fmt: skip


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


class BagOfWords:
    """Counts good and bad words and knows no order, as a model without any context would."""

    def score(self, text: str) -> float:
        found = words(text)
        balance = sum(word in GOOD_WORDS for word in found) - sum(w in BAD_WORDS for w in found)
        return 1 / (1 + np.exp(-balance))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self.score(text) for text in texts], dtype=np.float32)


class Constant(BagOfWords):
    """Says the same of everything."""

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, text: str) -> float:
        return self.value


class Guessing(BagOfWords):
    """Draws an answer for each text."""

    def score(self, text: str) -> float:
        return float(np.random.default_rng(len(text) * 31 + sum(map(ord, text))).random())


class FirstClauseOnly(BagOfWords):
    """Stops reading at the first comma."""

    def score(self, text: str) -> float:
        return super().score(text.split(",")[0])


class CaseSensitive(BagOfWords):
    """Takes shouting for anger."""

    def score(self, text: str) -> float:
        return 0.1 if text.isupper() else super().score(text)


class Swayed(BagOfWords):
    """Is a little surer of what is shouted, without another label."""

    def score(self, text: str) -> float:
        return 0.91 if text.isupper() else 0.9


class SpaceSensitive(BagOfWords):
    """Reads a text with white space around it as if it were empty."""

    def score(self, text: str) -> float:
        return 0.9 if text == text.strip() else 0.1


class Biased(BagOfWords):
    """Likes some names and places better than others."""

    def score(self, text: str) -> float:
        first = {"Maria", "Phoenix"}
        return 0.9 if first & set(re.findall(r"\w+", text)) else 0.1


SPELT_RIGHT = {
    word
    for pack in PACKS
    for check in BY_PACK[pack]
    for case in check.cases
    if check.name == "typos"
    for word in words(case.text)
}


class ExactWords(BagOfWords):
    """Takes a text with a word it does not know for a complaint."""

    def score(self, text: str) -> float:
        return 0.9 if set(words(text)) <= SPELT_RIGHT else 0.1


class Contrary(BagOfWords):
    """Takes praise for blame and blame for praise."""

    def score(self, text: str) -> float:
        return 1 - super().score(text)


def find_out(predict: BagOfWords, pack: str = "restaurants") -> dict[str, BehaviourResult]:
    return {behaviour.name: behaviour for behaviour in run_checks(BY_PACK[pack], predict)}


BLOCKED: list[tuple[str, BagOfWords]] = [
    ("plain_praise", Constant(0.1)),
    ("plain_praise", Guessing()),
    ("plain_complaint", Constant(0.9)),
    ("plain_complaint", Guessing()),
    ("negation", BagOfWords()),
    ("negation", Constant(0.9)),
    ("negated_complaint", Constant(0.1)),
    ("contrast", FirstClauseOnly()),
    ("contrast", Constant(0.9)),
    ("contrast", Guessing()),
    ("names", Biased()),
    ("names", Guessing()),
    ("places", Biased()),
    ("places", Guessing()),
    ("typos", ExactWords()),
    ("case", CaseSensitive()),
    ("case", Swayed()),
    ("trailing_space", SpaceSensitive()),
    ("added_praise", Contrary()),
    ("added_praise", Guessing()),
    ("added_complaint", Contrary()),
    ("added_complaint", Guessing()),
]


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize(("name", "predict"), BLOCKED)
def test_every_floor_blocks_the_model_it_is_there_for(
    name: str, predict: BagOfWords, pack: str
) -> None:
    behaviour = find_out(predict, pack)[name]
    assert behaviour.pass_rate < behaviour.floor == behaviour.limit
    assert len(behaviour.failures) == behaviour.cases - behaviour.passed > 0


def test_every_check_is_blocked_by_some_model_above() -> None:
    assert {check.name for check in CHECKS} == {name for name, _ in BLOCKED}


@pytest.mark.parametrize("pack", PACKS)
def test_a_bag_of_words_passes_what_needs_no_order(pack: str) -> None:
    found = find_out(BagOfWords(), pack)
    for name in ("plain_praise", "plain_complaint", "names", "case", "trailing_space"):
        assert found[name].pass_rate >= found[name].floor, found[name]


@pytest.mark.parametrize("pack", PACKS)
def test_every_pack_asks_of_the_same_behaviours(pack: str) -> None:
    checks = BY_PACK[pack]
    assert [(check.name, check.kind) for check in checks] == [
        (check.name, check.kind) for check in CHECKS
    ]
    ids = [case.id for check in checks for case in check.cases]
    assert len(ids) == len(set(ids))
    assert {check.kind for check in checks} == {
        "minimum_functionality", "invariance", "direction",
    }  # fmt: skip
    assert all(0 < check.floor <= 1 for check in checks)
    # One question is never more than the five points that a champion's rate may be missed by.
    assert all(len(check.cases) >= 20 or check.floor == 1 for check in checks)
    assert all(len(check.cases) >= 8 for check in checks)


def test_packs_share_no_trade_and_ask_in_words_of_their_own() -> None:
    assert len({digest_questions(checks) for checks in BY_PACK.values()}) == len(PACKS)
    topics = [word for pack in PACKS for word in read_pack(pack)["topics"]]
    assert len(topics) == len(set(topics)) == 72
    asked = {
        word
        for check in BY_PACK["general"]
        for case in check.cases
        for word in words(f"{case.text} {case.changed}")
    }
    things = {word for pack in PACKS for word in read_pack(pack)["slots"]["thing"]}
    things -= set(read_pack("general")["slots"]["thing"])
    assert not asked & (set(topics) | things)


def test_questions_are_known_by_their_digest_whatever_the_floors() -> None:
    lower = load_checks("films", {"negation": 0.1})
    assert digest_questions(lower) == digest_questions(BY_PACK["films"])
    assert digest_questions(lower[1:]) != digest_questions(lower)


def test_the_cases_of_restaurants_begin_as_they_always_did() -> None:
    (first, *_) = CHECKS[0].cases
    assert (first.id, first.text) == ("plain_praise-001", "The food was great.")


def test_a_case_asks_what_it_says() -> None:
    by_id = {case.id: case for check in CHECKS for case in check.cases}
    assert by_id["plain_complaint-037"].text.startswith("Terrible food, we hated")
    assert by_id["case-001"].changed == by_id["case-001"].text.upper()
    assert by_id["trailing_space-001"].changed.strip() == by_id["trailing_space-001"].text
    assert by_id["added_praise-001"].changed == "We had lunch here on Monday. I loved it."
    assert by_id["names-001"].text.startswith("Maria")
    assert by_id["names-001"].changed.startswith("John")


@pytest.mark.parametrize(
    ("shift", "passes"), [(-0.02, False), (-0.009, True), (0.0, True), (0.3, True)]
)
def test_added_praise_may_lower_the_score_by_a_hundredth(shift: float, passes: bool) -> None:
    (check,) = (check for check in CHECKS if check.name == "added_praise")

    def predict(texts: Sequence[str]) -> np.ndarray:
        plain = {case.text for case in check.cases}
        return np.array([0.5 if text in plain else 0.5 + shift for text in texts])

    (behaviour,) = run_checks([check], predict)
    assert behaviour.pass_rate == float(passes)


def test_a_probability_of_a_half_counts_as_positive() -> None:
    found = find_out(Constant(0.5))
    assert found["plain_praise"].pass_rate == 1.0
    assert found["plain_complaint"].pass_rate == 0.0


def test_floors_are_set_by_name() -> None:
    checks = {check.name: check for check in load_checks("films", {"negation": 0.75})}
    assert checks["negation"].floor == 0.75
    assert checks["contrast"].floor == {c.name: c.floor for c in BY_PACK["films"]}["contrast"]


@pytest.mark.parametrize("floors", [{"negatoin": 0.5}, {"negation": 1.5}, {"negation": -0.1}])
def test_a_floor_that_cannot_be_meant_names_the_behaviours(floors: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="plain_praise"):
        load_checks("general", floors)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_an_answer_that_is_no_probability_is_not_evaluated(value: float) -> None:
    with pytest.raises(GateNotEvaluated):
        run_checks(CHECKS, lambda texts: np.full(len(texts), value))


@pytest.mark.parametrize(
    "predict",
    [
        lambda texts: np.full(len(texts) - 1, 0.5),
        lambda texts: np.full((len(texts), 1), 0.5),
        lambda texts: np.float32(0.5),
        lambda texts: None,
    ],
)
def test_answers_of_another_shape_are_not_evaluated(predict: Any) -> None:
    with pytest.raises(GateNotEvaluated, match="shape="):
        run_checks(CHECKS, predict)


def test_a_failure_shows_its_id_and_text() -> None:
    found = find_out(CaseSensitive())
    assert (
        "case-001: The food was great and the staff was friendly. → "
        "THE FOOD WAS GREAT AND THE STAFF WAS FRIENDLY." in found["case"].failures
    )
    (first, *_) = find_out(Constant(0.1))["plain_praise"].failures
    assert first == "plain_praise-001: The food was great."


def test_no_text_is_asked_twice() -> None:
    asked: list[str] = []

    def predict(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return np.full(len(texts), 0.5)

    run_checks(CHECKS, predict)
    assert len(asked) == len(set(asked))
