"""Whose questions are asked: by name, or by what the training texts speak of."""

from __future__ import annotations

from typing import get_args

import pytest

from sentiflow.gate.packs import PACKS, choose_pack, read_pack
from sentiflow.settings import GateSettings

TOPICS = {pack: read_pack(pack)["topics"] for pack in PACKS}
FILLERS = [f"word{number}" for number in range(10_000)]


def speak_of(**found: int) -> list[str]:
    """A vocabulary of 10,000 words, with so many topics of each pack among the first 1,000."""
    frequent = [word for pack, count in found.items() for word in TOPICS[pack][:count]]
    rare = [word for pack in TOPICS for word in TOPICS[pack] if word not in frequent]
    return (frequent + FILLERS[: 1_000 - len(frequent)] + rare + FILLERS[1_000:])[:10_000]


@pytest.mark.parametrize(
    ("vocabulary", "pack"),
    [
        (speak_of(restaurants=24, films=1, products=6), "restaurants"),
        (speak_of(films=12), "films"),
        (speak_of(films=11), "general"),
        (speak_of(products=20, films=10), "products"),
        (speak_of(products=20, films=11), "general"),
        (speak_of(restaurants=24, products=24), "general"),
        (speak_of(), "general"),
        (["movie"], "general"),
        (TOPICS["films"], "films"),
        ([], "general"),
    ],
)
def test_auto_takes_the_pack_whose_topics_prevail_and_else_the_general_one(
    vocabulary: list[str], pack: str
) -> None:
    assert choose_pack("auto", vocabulary).pack == pack


def test_in_a_small_vocabulary_only_a_tenth_counts_as_frequent() -> None:
    vocabulary = [*FILLERS[:376], *TOPICS["films"], *FILLERS[400:4_000]]
    assert choose_pack("auto", vocabulary).pack == "films"
    later = [*FILLERS[:400], *TOPICS["films"], *FILLERS[400:3_976]]
    choice = choose_pack("auto", later)
    assert (choice.pack, choice.frequent_words) == ("general", 400)


@pytest.mark.parametrize(("rank", "pack"), [(226, "films"), (250, "general")])
def test_in_a_tiny_vocabulary_250_words_count_as_frequent(rank: int, pack: str) -> None:
    vocabulary = [*FILLERS[:rank], *TOPICS["films"], *FILLERS[rank : rank + 200]]
    choice = choose_pack("auto", vocabulary)
    assert (choice.pack, choice.frequent_words) == (pack, 250)


def test_the_choice_is_told_with_its_counts() -> None:
    choice = choose_pack("auto", speak_of(restaurants=23, products=5))
    assert choice.sentence == (
        "Asked by the pack restaurants, because its topics prevail among the 1,000 most frequent "
        "words of the training texts: restaurants 23 of 24, films 0 of 24, products 5 of 24."
    )
    value = choice.as_dict()
    assert value["topics"] == {"restaurants": 24, "films": 24, "products": 24}
    assert value["frequent_topics"] == {"restaurants": 23, "films": 0, "products": 5}
    assert "no pack's topics prevail" in choose_pack("auto", []).sentence


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_that_is_named_is_asked_whatever_the_texts_speak_of(pack: str) -> None:
    choice = choose_pack(pack, speak_of(restaurants=24))
    assert (choice.pack, choice.setting, choice.frequent_words) == (pack, pack, 0)
    assert choice.sentence == f"Asked by the pack {pack}, as set."


def test_every_pack_can_be_set() -> None:
    assert get_args(GateSettings.model_fields["behaviour_pack"].annotation) == ("auto", *PACKS)
