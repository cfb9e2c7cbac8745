"""Make texts that no reviewer writes, to see that a model answers them all the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

COUNT: Final = 1_000
SEED: Final = 20_181

_WORDS: Final = ("good", "bad", "the", "food", "was", "not", "never", "again", "lovely", "awful")
_SCRIPTS: Final = (
    "\u0627\u0644\u0637\u0639\u0627\u0645 \u0631\u0627\u0626\u0639",
    "\u05d4\u05d0\u05d5\u05db\u05dc \u05d8\u05e2\u05d9\u05dd",
    "\u6599\u7406\u306f\u7f8e\u5473\u3057\u3044",
    "\u0432\u043a\u0443\u0441\u043d\u043e",
    "\u0e2d\u0e23\u0e48\u0e2d\u0e22",
    "na\u00efve caf\u00e9",
)
_EMOJI: Final = (
    "\U0001f600",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f",
)
_SPACES: Final = " \t\n\r\v\f\u00a0\u2003\u2028\u2029\u3000\u200b\ufeff"
_CODE: Final = (
    '{"text": "good", "stars": 5}',
    "'; DROP TABLE reviews; --",
    "<script>alert('good')</script>",
    "<p>Lovely&nbsp;<b>place</b><br/>&amp; kids</p>",
    "${jndi:ldap://127.0.0.1/a}",
    "%s %d %n {0} {{x}}",
    "../../../etc/passwd",
)


def make_odd_texts(count: int = COUNT, seed: int = SEED) -> list[str]:
    """Return odd texts, the families in turn; the same arguments give the same texts.

    Families: empty, one word, 10,000 words (three of them only, for they are long), emoji,
    right to left and other scripts, code and HTML, control characters with NUL, halves of
    surrogate pairs, combining marks, one long token, digits, white space, private use and
    unassigned characters.

    Args:
        count: number of texts.
        seed: of the random draws.
    """
    draw = random.Random(seed)
    texts = ["", *(_make_long(draw) for _ in range(3))][:count]
    while len(texts) < count:
        texts.append(_FAMILIES[len(texts) % len(_FAMILIES)](draw))
    return texts


def _make_long(draw: random.Random) -> str:
    return " ".join(draw.choices(_WORDS, k=10_000))


def _join(draw: random.Random, parts: tuple[str, ...], most: int) -> str:
    return draw.choice((" ", "")).join(draw.choices(parts, k=draw.randint(1, most)))


def _make_control(draw: random.Random) -> str:
    controls = [chr(code) for code in (*range(32), *range(0x7F, 0xA0))]
    return "".join(draw.choice(controls) + draw.choice(_WORDS) for _ in range(draw.randint(1, 9)))


def _make_surrogates(draw: random.Random) -> str:
    return " ".join(
        draw.choice(_WORDS) + chr(draw.randint(0xD800, 0xDFFF)) for _ in range(draw.randint(1, 5))
    )


def _make_combining(draw: random.Random) -> str:
    marks = "".join(chr(draw.randint(0x300, 0x36F)) for _ in range(draw.randint(1, 60)))
    return draw.choice(_WORDS) + marks


def _make_token(draw: random.Random) -> str:
    return draw.choice(("a", "ab", "\u00e9", "!", "-")) * draw.randint(500, 5_000)


def _make_private(draw: random.Random) -> str:
    ranges = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0xFFF0, 0xFFFF), (0x2F800, 0x2FA1F))
    return "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(1, 20)))


_FAMILIES: Final[tuple[Callable[[random.Random], str], ...]] = (
    lambda draw: draw.choice(_WORDS),
    lambda draw: _join(draw, _EMOJI, 12),
    lambda draw: _join(draw, _SCRIPTS, 6),
    lambda draw: _join(draw, _CODE, 3),
    _make_control,
    _make_surrogates,
    _make_combining,
    _make_token,
    lambda draw: "".join(draw.choices("0123456789.,", k=draw.randint(1, 40))),
    lambda draw: "".join(draw.choices(_SPACES, k=draw.randint(1, 30))),
    _make_private,
)
