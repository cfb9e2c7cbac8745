"""Lay out the picture of the paired intervals: challenger minus rival, and what chance leaves open.

Only places are worked out here, in percent of a panel's width, so that the picture is as wide as
the page and its text as large as the text around it. The template draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sentiflow.gate.significance import compute_lower_bound
from sentiflow.rounding import show_signed

# So that no mark touches the edge of its panel.
_PADDING: Final = 0.06
_MOST_TICKS: Final = 6


@dataclass(frozen=True)
class ChartMarker:
    """One difference as it is drawn; places are percent of the width, None where there is none.

    Attributes:
        label: what was compared.
        rows: on how many rows.
        value: the difference in words.
        span: its interval in words, "" where there is none.
        dot: place of the difference.
        left: place of the interval's lower end.
        right: place of its upper end.
        bound: place of the bound that a margin is held against.
        is_worse: whether the challenger was found significantly worse here.
    """

    label: str
    rows: int
    value: str
    span: str
    dot: float | None
    left: float | None
    right: float | None
    bound: float | None
    is_worse: bool


@dataclass(frozen=True)
class Panel:
    """Differences that share an axis.

    Attributes:
        title: what is compared, and its unit.
        note: what the intervals are.
        left: what a difference below zero means.
        right: what one above zero means.
        marks: the differences.
        ticks: place, percent, and label of each tick.
        zero: place of no difference, percent.
        margin: place of the tolerated drop, percent; None where none is tolerated.
    """

    title: str
    note: str
    left: str
    right: str
    marks: tuple[ChartMarker, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    margin: float | None


@dataclass(frozen=True)
class Axis:
    """Where a value lies between the ends of a panel.

    Attributes:
        low: value at the left edge.
        high: value at the right edge, above `low`.
    """

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return a value's place in percent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)

    def compute_place(self, value: float | None) -> float | None:
        """Return a value's place, or None for what is no number."""
        return None if value is None or not math.isfinite(value) else self.place(value)

    def list_ticks(self) -> Iterator[tuple[float, str]]:
        """Yield place and label of up to six round values."""
        step = _compute_step((self.high - self.low) / _MOST_TICKS)
        decimals = max(0, -math.floor(math.log10(step)))
        for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield self.place(number * step), show_signed(number * step, decimals)


@dataclass(frozen=True)
class _Measure:
    """How differences in one metric are shown."""

    title: str
    unit: str
    factor: float
    decimals: int
    narrowest: float
    is_loss: bool = False


@dataclass(frozen=True)
class _Interval:
    """A difference in a metric's own unit."""

    label: str
    rows: int
    value: float | None
    lower: float | None
    upper: float | None
    bound: float | None = None
    is_worse: bool = False


_MEASURES: Final = {
    "accuracy": _Measure("Accuracy, in points", " points", 100, 2, 1.0),
    "roc_auc": _Measure("ROC AUC", "", 1, 4, 0.01),
    "log_loss": _Measure("Log loss, in nats per review", "", 1, 4, 0.01, is_loss=True),
}
_SLICES: Final = _Measure("Accuracy by slice, in points", " points", 100, 2, 1.0)
_BOOTSTRAP: Final = "Bars: 95 % intervals by the paired bootstrap."
_SCORE: Final = (
    "Bars: between the one-sided 95 % bounds either way (Tango's score method). A slice counts as "
    "worse by its p-value, adjusted for their number (Holm), not by its bar."
)


def lay_out_panels(findings: Mapping[str, Any], gate: Mapping[str, Any]) -> list[Panel]:
    """Return the panels of the picture, or none where nothing was compared.

    Args:
        findings: as in a decision's record.
        gate: the gate's settings as recorded; policy, margin and slice_alpha are used.

    Returns:
        Accuracy, ROC AUC and log loss on all test rows, on the newest and against the best version
        of the year, then the accuracy of each slice.
    """
    compared = list(_list_comparisons(findings))
    if not compared:
        return []
    # Without freshness nothing is held against the margin.
    margin = -gate["margin"] if gate["policy"] == "superior_or_fresh" else None
    panels = [
        _lay_out(
            measure,
            _BOOTSTRAP,
            [_take_interval(label, comparison, name) for label, comparison in compared],
            margin if name == "accuracy" else None,
        )
        for name, measure in _MEASURES.items()
    ]
    slices = [_bound_slice(part, gate["slice_alpha"]) for part in findings["slices"]]
    return [*panels, _lay_out(_SLICES, _SCORE, slices)] if slices else panels


def _list_comparisons(findings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    champion, best = findings["champion_version"], findings["best_version"]
    for label, name in (
        (f"All test rows, against champion version {champion}", "comparison"),
        (f"Newest rows, against champion version {champion}", "newest"),
        (f"All test rows, against version {best}, the best of the year", "best_comparison"),
    ):
        if findings[name] is not None:
            yield label, findings[name]


def _take_interval(label: str, comparison: Mapping[str, Any], name: str) -> _Interval:
    difference = comparison[name]
    return _Interval(
        label=label,
        rows=comparison["rows"],
        value=difference["value"],
        lower=difference["lower"],
        upper=difference["upper"],
        bound=comparison["lower_bound"] if name == "accuracy" else None,
    )


def _bound_slice(part: Mapping[str, Any], alpha: float) -> _Interval:
    wins, losses, rows = part["wins"], part["losses"], part["rows"]
    value, adjusted = part["value"], part["p_adjusted"]
    return _Interval(
        label=f"{part['kind']}: {part['name']}",
        rows=rows,
        value=value,
        lower=compute_lower_bound(wins, losses, rows),
        upper=-compute_lower_bound(losses, wins, rows),
        is_worse=None not in (value, adjusted) and value < 0 and adjusted <= alpha,
    )


def _lay_out(
    measure: _Measure, note: str, intervals: Sequence[_Interval], margin: float | None = None
) -> Panel:
    factor = measure.factor
    numbers = [
        factor * number
        for interval in intervals
        for number in (interval.value, interval.lower, interval.upper, interval.bound, margin)
        if number is not None and math.isfinite(number)
    ]
    axis = _span_axis(numbers, measure.narrowest)
    sides = ("challenger worse", "challenger better")
    left, right = reversed(sides) if measure.is_loss else sides
    return Panel(
        title=measure.title,
        note=note,
        left=left,
        right=right,
        marks=tuple(_place(interval, measure, axis) for interval in intervals),
        ticks=tuple(axis.list_ticks()),
        zero=axis.place(0.0),
        margin=None if margin is None else axis.place(factor * margin),
    )


def _place(interval: _Interval, measure: _Measure, axis: Axis) -> ChartMarker:
    value, lower, upper, bound = (
        None if number is None else measure.factor * number
        for number in (interval.value, interval.lower, interval.upper, interval.bound)
    )
    decimals = measure.decimals
    dot = axis.compute_place(value)
    is_known = lower is not None and upper is not None
    span = f"{show_signed(lower, decimals)} to {show_signed(upper, decimals)}"
    return ChartMarker(
        label=interval.label,
        rows=interval.rows,
        value=show_signed(value, decimals) + (measure.unit if dot is not None else ""),
        span=span if is_known else "",
        dot=dot,
        left=axis.compute_place(lower) if is_known else None,
        right=axis.compute_place(upper) if is_known else None,
        bound=axis.compute_place(bound),
        is_worse=interval.is_worse,
    )


def _span_axis(numbers: Sequence[float], narrowest: float) -> Axis:
    """Return an axis that shows all numbers and zero, and is not narrower than makes sense."""
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    missing = max(0.0, narrowest - (high - low)) / 2
    low, high = low - missing, high + missing
    room = _PADDING * (high - low)
    return Axis(low - room, high + room)


def _compute_step(width: float) -> float:
    """Return the next number of the kind 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width)
