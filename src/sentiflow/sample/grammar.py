"""Write the text of a review that goes with a number of stars, by a seeded grammar.

The words and sentences are in `grammar.toml`, whose head explains the notation. An
opinion is written once for both polarities: all that tells praise from blame is the judgement
drawn for `{same}`, and `{other}` draws its opposite. So in "I would not say that {topic_was}
{other}" and in "I expected {topic} to be {other} {when}, but {it_was} {same} {when}" only order and
distance decide, and no three neighbouring words tell.

    stars → share of favourable opinions → plan (plain, or hearsay and then a turn) →
    opinions, neutral sentences, a verdict, up to the length drawn → typing: typos, emoji, shouting
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final, TypeAlias

Draw: TypeAlias = Callable[[], float]
"""Gives uniform numbers in [0, 1): `random.Random(seed).random`, the one method whose
sequence Python promises to keep from version to version."""

# A choice is plain text, or parts of which each is text, a list to draw from, or the number
# of a slot that the opinion fills.
Part: TypeAlias = "str | int | Choices"
Choices: TypeAlias = "list[str | tuple[Part, ...]]"
Slots: TypeAlias = tuple[Choices, ...]

_SLOTS: Final = (
    *("topic", "topic_was", "same", "other"),
    *("second", "second_was", "second_same", "second_other"),
    *("here", "visit"),
)

# Share of favourable opinions by stars. Three stars lean to the negative side, as their label
# does, but are close enough to half that no model can be sure of them.
_FAVOURABLE: Final = {1: 0.02, 2: 0.08, 3: 0.25, 4: 0.93, 5: 0.98}

# Words to aim at by cumulative share. What is written then has about half the words of real Yelp
# reviews (18, 46, 87, 153 and 327 at 5, 25, 50, 75 and 95 %): a night on the sample is short.
_LENGTHS: Final = ((0.0, 3), (0.05, 7), (0.25, 19), (0.5, 36), (0.75, 66), (0.95, 145), (1.0, 230))

_NEUTRAL_SHARE: Final = 0.2
_TURN_SHARE: Final = 0.06
_REVERSED_SHARE: Final = 0.6
_TURN_FROM_WORDS: Final = 30
_VERDICT_SHARE: Final = 0.35
_OVERSHOOT_WORDS: Final = 10
_SHORT_WORDS: Final = 12
_MIXED_VERDICTS: Final = {1: 0.0, 2: 0.2, 3: 0.6, 4: 0.15, 5: 0.0}


@dataclass(frozen=True)
class Kind:
    """A kind of business: what is judged there, and in which words.

    Attributes:
        favourable: fillings of the slots for an opinion that praises.
        unfavourable: the same for one that blames.
        neutral: sentences that say nothing either way.
    """

    favourable: Sequence[Slots]
    unfavourable: Sequence[Slots]
    neutral: Choices


@dataclass(frozen=True)
class Grammar:
    """The lists of `grammar.toml`, ready to draw from.

    Attributes:
        kinds: the kinds of business, each as often as its weight says.
        opinions: the constructions of an opinion, each as often as its weight says.
        phrases: the other lists by section and name, such as `verdicts.good`.
    """

    kinds: Sequence[Kind]
    opinions: Sequence[Choices]
    phrases: Mapping[str, Choices]


@cache
def load_grammar() -> Grammar:
    """Return the grammar of the embedded sample, read once from the packaged file."""
    path = resources.files("sentiflow.sample").joinpath("grammar.toml")
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    phrases: dict[str, Choices] = {}
    names: dict[str, int | Choices] = {slot: number for number, slot in enumerate(_SLOTS)}
    pending: list[tuple[Choices, Sequence[str]]] = []
    for section in ("words", "phrases", "verdicts", "neutral", "turns", "shouts"):
        for name, listed in sections[section].items():
            # Filled below, when every name is known, so that lists may refer to each other.
            names[name] = phrases[f"{section}.{name}"] = []
            pending.append((phrases[f"{section}.{name}"], _split_list(listed)))
    for choices, listed in pending:
        choices.extend(_parse(listed, names))
    judgements = {
        f"{name}.{side}": _parse(_split_list(words), names)
        for name, sides in sections["judgements"].items()
        for side, words in sides.items()
    }
    neutral = phrases["neutral.sentences"]
    return Grammar(
        kinds=[
            kind
            for section in sections["kinds"].values()
            for kind in [_build_kind(section, judgements, neutral, names)] * section["weight"]
        ],
        opinions=[
            choices
            for section in sections["opinions"].values()
            for choices in [_parse(section["sentences"], names)] * section["weight"]
        ],
        phrases=phrases,
    )


def _build_kind(
    section: Mapping[str, Any],
    judgements: Mapping[str, Choices],
    neutral: Choices,
    names: Mapping[str, int | Choices],
) -> Kind:
    """Return the kind of business that a section of the file describes."""
    here, visit = _parse(section["here"], names), _parse(section["visit"], names)
    aspects = {name: spoken for name, spoken in section.items() if isinstance(spoken, dict)}
    filled: dict[tuple[str, bool], Slots] = {}
    for name, spoken in aspects.items():
        one, many = spoken["one"], spoken["many"]
        topic = _parse([*one, *many], names)
        topic_was = _parse([f"{it} was" for it in one] + [f"{they} were" for they in many], names)
        good, bad = (
            judgements[f"general.{s}"] + judgements[f"{name}.{s}"] for s in ("good", "bad")
        )
        filled[name, True] = (topic, topic_was, good, bad)
        filled[name, False] = (topic, topic_was, bad, good)
    # Two judgements of one aspect would often be of one and the same thing; food has so many
    # names that it may be judged twice.
    pairs = [
        (first, second)
        for first, spoken in aspects.items()
        for second, spoken_too in aspects.items()
        if first != second or first == "food"
        for _ in range(spoken["weight"] * spoken_too["weight"])
    ]
    favourable, unfavourable = (
        [(*filled[first, side], *filled[second, side], here, visit) for first, second in pairs]
        for side in (True, False)
    )
    return Kind(favourable, unfavourable, _parse(section["fillers"], names) + neutral)


def _split_list(listed: str | Sequence[str]) -> Sequence[str]:
    """Return the items of a list that is written with commas or one a line."""
    return listed.split(", ") if isinstance(listed, str) else listed


def _parse(listed: Sequence[str], names: Mapping[str, int | Choices]) -> Choices:
    """Return the choices of a list with every {name} looked up."""
    choices: Choices = []
    for item in listed:
        texts = re.split(r"\{(\w+)\}", item)
        parts = [names[text] if odd % 2 else text for odd, text in enumerate(texts)]
        choices.append(item if len(texts) == 1 else tuple(part for part in parts if part != ""))
    return choices


def fill(choices: Choices, slots: Slots, draw: Draw) -> str:
    """Return one of the choices, with everything in it drawn too.

    Args:
        choices: what to draw from.
        slots: the lists that stand for {topic}, {same} and so on.
        draw: the source of chance.
    """
    chosen = choices[int(draw() * len(choices))]
    if isinstance(chosen, str):
        return chosen
    pieces: list[str] = []
    _append_parts(chosen, slots, draw, pieces)
    return "".join(pieces)


def _append_parts(parts: tuple[Part, ...], slots: Slots, draw: Draw, pieces: list[str]) -> None:
    """Append the text of each part; the innermost loop of the whole sample."""
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        choices = slots[part] if isinstance(part, int) else part
        chosen = choices[int(draw() * len(choices))]
        if isinstance(chosen, str):
            pieces.append(chosen)
        else:
            _append_parts(chosen, slots, draw, pieces)


def write_text(grammar: Grammar, kind: Kind, stars: int, draw: Draw) -> str:
    """Return the text of one review, as its writer would have typed it.

    Args:
        grammar: the grammar to write by.
        kind: the kind of business it is about.
        stars: 1 to 5.
        draw: the source of chance.
    """
    share = _FAVOURABLE[stars]
    phrases = grammar.phrases
    words = _draw_words(draw())
    anything = kind.favourable[0]

    def compose_opinion(reversed_: bool = False) -> str:
        sides = kind.favourable if (draw() < share) != reversed_ else kind.unfavourable
        construction = grammar.opinions[int(draw() * len(grammar.opinions))]
        return fill(construction, sides[int(draw() * len(sides))], draw)

    sentences: list[str] = []
    verdict: list[str] = []
    if words > _SHORT_WORDS and draw() < _VERDICT_SHARE:
        side = "mixed" if draw() < _MIXED_VERDICTS[stars] else "good" if draw() < share else "bad"
        verdict.append(fill(phrases[f"verdicts.{side}"], anything, draw))
    if words > _TURN_FROM_WORDS and draw() < _TURN_SHARE:
        reversed_ = draw() < _REVERSED_SHARE
        sentences.append(fill(phrases["turns.hearsay"], anything, draw))
        sentences += [compose_opinion(reversed_) for _ in range(1 + int(draw() * words / 40))]
        turn = "turns.reversed" if reversed_ else "turns.confirmed"
        sentences.append(fill(phrases[turn], anything, draw))
    written = sum(sentence.count(" ") + 1 for sentence in sentences + verdict)
    opinions = 0
    # Stop where one more sentence would overshoot by more than it is short of now.
    while opinions == 0 or written < words - _OVERSHOOT_WORDS:
        if words > _SHORT_WORDS and draw() < _NEUTRAL_SHARE:
            sentence = fill(kind.neutral, anything, draw)
        else:
            sentence = compose_opinion()
            opinions += 1
        sentences.append(sentence)
        written += sentence.count(" ") + 1
    return _type_out(sentences + verdict, grammar, anything, stars, draw)


def _draw_words(chance: float) -> float:
    """Return the number of words to aim at, read off the line through the quantiles."""
    for (below, fewest), (above, most) in pairwise(_LENGTHS):
        if chance < above:
            return fewest + (most - fewest) * (chance - below) / (above - below)
    return _LENGTHS[-1][1]


def _type_out(sentences: list[str], grammar: Grammar, slots: Slots, stars: int, draw: Draw) -> str:
    """Return the sentences as typed: capitals, end marks, breaks, and what slips in."""
    loud = 0.25 if stars in (1, 5) else 0.06
    if draw() < loud * 0.6 and len(sentences) > 1:
        shout = grammar.phrases["shouts.good" if stars > 3 else "shouts.bad"]
        sentences.insert(int(draw() * 2) * len(sentences), fill(shout, slots, draw) + "!")
    for number, sentence in enumerate(sentences):
        mark = "" if sentence[-1] in ".!?" else "!" if draw() < loud else "."
        sentences[number] = sentence[0].upper() + sentence[1:] + mark
    if draw() < loud * 0.1:
        place = int(draw() * len(sentences))
        sentences[place] = sentences[place].upper()
    if draw() < 0.25 and len(sentences) > 2:
        place = 1 + int(draw() * (len(sentences) - 1))
        sentences[place - 1] += "\n\n" if draw() < 0.7 else "\n"
    text = " ".join(sentences).replace("\n ", "\n")
    if "'" in text and draw() < 0.4:
        text = text.replace("'", "’")
    if draw() < 0.3:
        text = _add_texture(text, grammar, stars, draw)
    return text


def _add_texture(text: str, grammar: Grammar, stars: int, draw: Draw) -> str:
    """Return the text with one of the things that make real reviews untidy."""
    chance = draw()
    if chance < 0.3:
        return _add_typo(_add_typo(text, draw), draw)
    if chance < 0.5:
        side = "neutral" if draw() < 0.3 else "good" if stars > 3 else "bad"
        return f"{text} {fill(grammar.phrases[f'shouts.emoji_{side}'], (), draw)}"
    if chance < 0.65:
        return text.lower()
    if chance < 0.75:
        return text.replace(" and ", " &amp; ").replace("'", "&#39;")
    if chance < 0.85:
        return text.replace(". ", "... ", 1)
    if chance < 0.95:
        return text.replace(". ", ".", 1)
    return text.replace(" ", "  ", 1) + "  "


def _add_typo(text: str, draw: Draw) -> str:
    """Return the text with two letters swapped, one doubled or one left out."""
    place = int(draw() * (len(text) - 1))
    if not text[place : place + 2].isalpha():
        return text
    first, second = text[place], text[place + 1]
    slip = (second + first, first + first + second, second)[int(draw() * 3)]
    return text[:place] + slip + text[place + 2 :]
