"""Choose whose questions a model is asked: those of its own trade, or general ones.

Each file beside this one is a pack: the same behaviours by name, asked in the words of one trade.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

GENERAL: Final = "general"
PACKS: Final = (GENERAL, "restaurants", "films", "products")
AUTO: Final = "auto"
# The words that are looked at for a pack's topics: the most frequent ones, and no more than a tenth
# of all, because in a small vocabulary whatever is said once is among the first thousand; but never
# fewer than a handful of sentences has.
_FREQUENT_WORDS: Final = 1_000
_FREQUENT_SHARE: Final = 0.1
_FEWEST_WORDS: Final = 250
# A pack is meant where half of its topics are frequent, and twice as many as of any other pack.
_LEAST_SHARE: Final = 0.5
_LEAD: Final = 2.0


@dataclass(frozen=True)
class PackChoice:
    """Which pack's questions are asked, and why.

    Attributes:
        pack: the pack.
        setting: what `gate.behaviour_pack` said.
        frequent_words: how many of the vocabulary's most frequent words were looked at; 0 where
            the setting named the pack.
        topics: how many words each pack names as its topics.
        frequent_topics: how many of them are among the frequent words.
        sentence: the same in words.
    """

    pack: str
    setting: str
    frequent_words: int
    topics: Mapping[str, int]
    frequent_topics: Mapping[str, int]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return asdict(self)


@cache
def read_pack(pack: str) -> Mapping[str, Any]:
    """Return the content of a pack's file."""
    path = resources.files("sentiflow.gate.packs").joinpath(f"{pack}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def choose_pack(setting: str, vocabulary: Sequence[str]) -> PackChoice:
    """Return the pack that the setting names, or the one that the training texts speak of.

    Args:
        setting: a pack, or "auto".
        vocabulary: words of the training texts, the most frequent first.

    Returns:
        The choice; by "auto" the general pack where no other clearly prevails.
    """
    if setting != AUTO:
        return PackChoice(setting, setting, 0, {}, {}, f"Asked by the pack {setting}, as set.")
    tenth = math.ceil(_FREQUENT_SHARE * len(vocabulary))
    looked_at = min(_FREQUENT_WORDS, max(_FEWEST_WORDS, tenth), len(vocabulary))
    frequent = set(vocabulary[:looked_at])
    topics = {pack: set(read_pack(pack)["topics"]) for pack in PACKS if pack != GENERAL}
    found = {pack: len(words & frequent) for pack, words in topics.items()}
    shares = {pack: found[pack] / len(words) for pack, words in topics.items()}
    first, second = sorted(shares, key=lambda pack: -shares[pack])[:2]
    is_clear = shares[first] >= _LEAST_SHARE and shares[first] >= _LEAD * shares[second]
    pack = first if is_clear else GENERAL
    counts = ", ".join(f"{name} {found[name]} of {len(words)}" for name, words in topics.items())
    why = "its topics prevail" if is_clear else "no pack's topics prevail"
    return PackChoice(
        pack=pack,
        setting=AUTO,
        frequent_words=looked_at,
        topics={name: len(words) for name, words in topics.items()},
        frequent_topics=found,
        sentence=f"Asked by the pack {pack}, because {why} among the {looked_at:,} most frequent "
        f"words of the training texts: {counts}.",
    )
