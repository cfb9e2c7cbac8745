"""Synthetic texts that every bundle carries with its own answers to them.

A bundle that answers its probes otherwise than on the day it was made (another library
version, a damaged file) is noticed whenever it is loaded.
"""

from __future__ import annotations

from typing import Final

PROBES: Final[tuple[str, ...]] = (
    "",
    " ",
    "good",
    "bad",
    "Great food and very friendly service!",
    "Terrible food and rude service.",
    "Not good at all.",
    "Not bad at all.",
    "I don't think I will ever come back.",
    "I don\u2019t think I will ever come back.",
    "The soup was cold, but everything else was wonderful.",
    "The soup was wonderful, but everything else was cold.",
    "We waited an hour and then they lost our order.",
    "Worth every minute of the wait.",
    "Best tacos in town!!!",
    "WORST. TACOS. EVER.",
    "It was okay, nothing special.",
    "Would you come back? I would not.",
    "Would you come back? I would!",
    "<p>Lovely&nbsp;place</p><br/>Five stars from us &amp; the kids",
    "\U0001f600\U0001f600\U0001f600",
    "\U0001f621 never again \U0001f621",
    "Un caf\u00e9 d\u00e9licieux, des gens charmants.",
    "\u597d\u5403",
    "\u0627\u0644\u0637\u0639\u0627\u0645 \u0645\u0645\u062a\u0627\u0632",
    "zxqv qzxv vqzx",
    "tabs\tand\nline\r\nbreaks are fine",
    "control \x00 \x07 \x1b characters",
    "half a pair \ud83d of surrogates",
    "good " * 300 + "bad",
    "The staff was kind. " * 60 + "Still, we left hungry and will not return.",
    "a" * 5_000,
)
