"""The grammar writes texts whose polarity is in the order of their words."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import chain
from statistics import median

import pytest

from sentiflow.sample.grammar import (
    Choices,
    Grammar,
    Slots,
    fill,
    load_grammar,
    write_text,
)

# Stand-ins for what an opinion fills in, in the order of the slots.
STAND_INS: Slots = (
    *(["it"], ["it was"], ["fine"], ["foul"]),
    *(["they"], ["they were"], ["fair"], ["dire"]),
    *(["here"], ["lunch"]),
)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load_grammar()


def draw_first() -> float:
    """Draw the first of every list."""
    return 0.0


def find_construction(grammar: Grammar, reading: str) -> Choices:
    """Return, alone in a list, the construction that reads so with the stand-ins."""
    for construction in grammar.opinions:
        for choice in construction:
            if fill([choice], STAND_INS, draw_first) == reading:
                return [choice]
    raise AssertionError(f"No construction of the grammar reads {reading!r}.")


def pin(slots: Slots) -> Slots:
    """Return the slots with one choice each, so that nothing is left to chance."""
    return tuple([next(choice for choice in slot if isinstance(choice, str))] for slot in slots)


def count_words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


@pytest.mark.parametrize(
    "reading",
    [
        "they were dire that afternoon, but it was fine",
        "they were dire that afternoon, but it was fine that afternoon",
        "it was fine that afternoon, although they were dire that afternoon",
        "although they were dire that afternoon, it was fine that afternoon",
    ],
)
def test_praise_and_blame_can_have_the_very_same_words(grammar: Grammar, reading: str) -> None:
    contrast = find_construction(grammar, reading)
    for kind in grammar.kinds:
        blaming = {(slots[1][0], slots[5][0]): slots for slots in map(pin, kind.unfavourable)}
        for praising in map(pin, kind.favourable[::7]):
            # Whoever praises the one despite the other, and whoever blames the other instead.
            praise = fill(contrast, praising, draw_first)
            blame = fill(contrast, blaming[praising[5][0], praising[1][0]], draw_first)

            assert count_words(praise) == count_words(blame)
            assert praise != blame or praising[1] == praising[5]


@pytest.mark.parametrize(
    "reading",
    [
        "I expected it to be foul that afternoon, but it was fine that afternoon",
        "it was foul that afternoon, but now it was fine that afternoon",
    ],
)
def test_what_was_expected_and_what_it_was_change_places(grammar: Grammar, reading: str) -> None:
    construction = find_construction(grammar, reading)
    for kind in grammar.kinds:
        for praising, blaming in zip(kind.favourable, kind.unfavourable, strict=True):
            praise = fill(construction, pin(praising), draw_first)
            blame = fill(construction, pin(blaming), draw_first)
            assert count_words(praise) == count_words(blame)
            assert praise != blame
            # Three words that follow each other never hold the but and both judgements.
            good, bad = (str(pin(slots)[2][0]) for slots in (praising, blaming))
            heard = re.findall(r"\w+", praise)
            assert abs(heard.index(good) - heard.index(bad)) > 3
            assert min(abs(heard.index("but") - heard.index(word)) for word in (good, bad)) > 2


@pytest.mark.parametrize(
    ("reading", "judgement"),
    [
        ("it was not at all foul", "wonderful"),
        ("it was not foul", "wonderful"),
        ("I would not call it foul", "wonderful"),
        ("it was fine", "terrible"),
    ],
)
def test_a_denied_judgement_is_of_the_opposite_polarity(
    grammar: Grammar, reading: str, judgement: str
) -> None:
    construction = find_construction(grammar, reading)
    draw = random.Random(1).random

    for kind in grammar.kinds:
        assert fill(construction, pin(kind.unfavourable[0]), draw).endswith(judgement)
        assert not fill(construction, pin(kind.favourable[0]), draw).endswith(judgement)


def test_outside_the_judgements_an_opinion_uses_the_same_words_for_both_sides(
    grammar: Grammar,
) -> None:
    # The stand-ins say nothing about polarity: so must the rest, which is one list for both.
    for kind in grammar.kinds:
        for favourable, unfavourable in zip(kind.favourable, kind.unfavourable, strict=True):
            assert favourable[:2] == unfavourable[:2]
            assert favourable[2:4] == unfavourable[2:4][::-1]
            assert favourable[6:8] == unfavourable[6:8][::-1]


def test_no_judgement_is_on_both_sides(grammar: Grammar) -> None:
    for kind in grammar.kinds:
        for slots in kind.favourable:
            assert not set(slots[2]) & set(slots[3])


def test_only_food_is_judged_twice_in_one_opinion(grammar: Grammar) -> None:
    same_aspect = {
        str(slots[2][-1])
        for kind in grammar.kinds
        for slots in kind.favourable
        if slots[0] == slots[4]
    }

    assert same_aspect == {"heavenly"}


def test_every_name_in_the_grammar_is_replaced(grammar: Grammar) -> None:
    draw = random.Random(5).random
    for number in range(3_000):
        kind = grammar.kinds[number % len(grammar.kinds)]
        assert not re.search(r"[{}]", write_text(grammar, kind, 1 + number % 5, draw))


def test_a_text_starts_with_a_letter_and_ends_a_sentence(grammar: Grammar) -> None:
    draw = random.Random(6).random
    texts = [write_text(grammar, grammar.kinds[0], 3, draw) for _ in range(2_000)]

    assert all(text[0].isalpha() for text in texts)
    assert sum(text[-1] in ".!?" for text in texts) > 0.9 * len(texts)
    assert not any(re.search(r"[.!?],| {3}|\s[.,;:]", text) for text in texts)


@pytest.mark.parametrize(("stars", "least", "most"), [(1, 0.0, 0.2), (3, 0.0, 0.45), (5, 0.8, 1.0)])
def test_more_stars_mean_more_praise(
    grammar: Grammar, stars: int, least: float, most: float
) -> None:
    # One of the verdicts shows its polarity in its words alone.
    draw = random.Random(7).random
    texts = [write_text(grammar, grammar.kinds[0], stars, draw) for _ in range(4_000)]
    praise = sum("should not miss" in text for text in texts)
    blame = sum("should miss" in text for text in texts)

    assert praise + blame > 30
    assert least <= praise / (praise + blame) <= most


def test_the_first_number_drawn_decides_the_length(grammar: Grammar) -> None:
    lengths: dict[float, list[int]] = {0.0: [], 0.5: [], 0.999: []}
    for chance, counted in lengths.items():
        for seed in range(100):
            numbers = chain([chance], iter(random.Random(seed).random, None))
            text = write_text(grammar, grammar.kinds[0], 4, numbers.__next__)
            counted.append(len(text.split()))

    shortest, middle, longest = (median(counted) for counted in lengths.values())
    assert shortest < 14
    assert 32 < middle < 48
    assert 200 < longest < 260
