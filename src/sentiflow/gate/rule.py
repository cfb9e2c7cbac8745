"""A rule of the gate is one object that says all of itself.

What it is called, in which unit it is told and what failing it means stand in it. Its sentence, the
report's table, decision.json and the policy are made from that; nothing is known by a rule's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from sentiflow import rounding

Relation = Literal[">=", "<="]
# What failing a rule means: it keeps the champion; the policy lacks this one of the two that it
# rests on; nothing.
Group = Literal["required", "superior", "fresh", "reported"]

# The rule that sums up the groups superior and fresh.
POLICY: Final = "policy"
# What decision.json holds of a rule.
KEYS: Final = (
    "name", "label", "unit", "group", "value", "relation", "threshold", "passed", "required",
    "sentence",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the gate and how it came out.

    Attributes:
        name: the rule's name.
        label: what it is about, in words.
        unit: what value and threshold are told in.
        group: what failing it means.
        value: what was measured.
        relation: how value and threshold must stand.
        threshold: what was required.
        passed: whether it was met.
        sentence: the outcome in words.
        is_shown: whether its sentence is among the reasons of a promotion.
        comes_first: whether the other rules of its group count only once it is met.
    """

    name: str
    label: str
    unit: rounding.Unit
    group: Group = "required"
    value: float
    relation: Relation
    threshold: float
    passed: bool
    sentence: str
    is_shown: bool = False
    comes_first: bool = False

    @property
    def required(self) -> bool:
        """Whether failing it alone keeps the champion."""
        return self.group == "required"

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; a measured value that is no number becomes None."""
        value = {key: getattr(self, key) for key in KEYS}
        return value if math.isfinite(self.value) else {**value, "value": None}


def require(
    name: str,
    label: str,
    unit: rounding.Unit,
    value: float,
    relation: Relation,
    threshold: float,
    *,
    group: Group = "required",
    words: str = "{label} {value}",
    which: str = "",
    is_shown: bool = False,
) -> Rule:
    """Return a rule that is met where value and threshold stand as they must.

    Args:
        name: the rule's name.
        label: what it is about, in words.
        unit: what value and threshold are told in.
        value: what was measured; what is no number never passes.
        relation: how value and threshold must stand.
        threshold: what is required.
        group: what failing it means.
        words: how the sentence begins, with places for label and value.
        which: how it ends, after the threshold.
        is_shown: whether its sentence is among the reasons of a promotion.

    Returns:
        The rule, with its sentence.
    """
    if relation == ">=":
        passed = value >= threshold
        outcome = "reaches the floor" if passed else "is below the floor"
    else:
        passed = value <= threshold
        outcome = "stays within the limit" if passed else "exceeds the limit"
    shown, required = rounding.show_in_unit(value, threshold, unit)
    what = words.format(label=label, value=shown)
    return Rule(
        name=name,
        label=label,
        unit=unit,
        group=group,
        value=value,
        relation=relation,
        threshold=threshold,
        passed=passed,
        sentence=space_plainly(f"{what} {outcome} {rounding.trim_zeros(required)}{which}."),
        is_shown=is_shown,
    )


def space_plainly(text: str) -> str:
    """Return a text with plain spaces, which people can search for in a terminal."""
    return text.replace("\u00a0", " ")
