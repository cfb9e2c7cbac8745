"""Draw what a model's probabilities are worth: ranking, reliability, and where each class lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.model.calibration import check_scores, measure_ece, measure_reliability
from sentiflow.model.evaluation import measure_wilson_interval, score
from sentiflow.reporting.canvas import (
    BLUE,
    GREY,
    INK,
    PERCENT_LIMITS,
    PERCENT_TICKS,
    SMALL_POINTS,
    TEXT_POINTS,
    VERMILION,
    draw_counts,
    open_figure,
    place_legend,
    save_figure,
    style_axes,
    write_instead,
)
from sentiflow.reporting.titles import describe_baseline
from sentiflow.rounding import show_percent

# More points than pixels only cost time: a million rows give a curve of a million corners.
_MAX_CURVE_POINTS: Final = 2_000

_DASHES: Final = ((0, (1, 1.5)), "-", (0, (4, 2)), (0, (6, 2, 1, 2)))


def draw_ranking_curves(
    path: Path,
    labels: npt.NDArray[np.int8],
    probabilities: npt.NDArray[np.float32],
    baselines: Mapping[str, npt.NDArray[np.float32]],
) -> Path:
    """Draw the ROC and the precision-recall curve of the model and, thin and grey, of the rest.

    Args:
        path: PNG to write.
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), the model's P(positive).
        baselines: by name, each shape (n,), P(positive).

    Returns:
        The path.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    one_class = len(np.unique(labels)) < 2
    figure = open_figure(6.2, "How well the scores put positive reviews above negative ones")
    roc, pr = figure.subplots(1, 2)
    style_axes(roc, "Negative reviews called positive (%)", "Positive reviews found (%)")
    style_axes(
        pr, "Positive reviews found (recall, %)", "Positive among those found (precision, %)"
    )
    for axes, name in ((roc, "ROC curve"), (pr, "Precision and recall")):
        axes.set_title(name, fontsize=TEXT_POINTS, loc="left", color=INK)
        axes.set(xlim=PERCENT_LIMITS, ylim=PERCENT_LIMITS, xticks=PERCENT_TICKS)
        if one_class:
            write_instead(axes, "All reviews are of one class:\nthere is nothing to rank.")
    if one_class:
        return save_figure(figure, path)

    model: dict[str, Any] = {"color": BLUE, "linewidth": 2.2, "zorder": 3}
    lines = [("this model", probabilities, model)]
    for row, (name, answers) in enumerate(baselines.items()):
        dashes = _DASHES[row % len(_DASHES)]
        style = {"color": GREY, "linewidth": 1.1, "linestyle": dashes}
        lines.append((describe_baseline(name), answers, style))
    for name, answers, style in lines:
        metrics = score(labels, answers)
        legend = (
            f"{name}: ROC area {metrics.roc_auc:.3f}, "
            f"average precision {metrics.average_precision:.3f}"
        )
        called_wrong, found, _ = roc_curve(labels, answers)
        keep = _thin_out(len(found))
        roc.plot(100 * called_wrong[keep], 100 * found[keep], label=legend, **style)
        precision, recall, _ = precision_recall_curve(labels, answers, drop_intermediate=True)
        # The last point, precision 1 at recall 0, belongs to no threshold: a model that answers
        # the same to all would seem to start from it.
        precision[-1] = precision[-2]
        keep = _thin_out(len(recall))
        pr.step(100 * recall[keep], 100 * precision[keep], where="post", **style)
    place_legend(figure, roc.lines, columns=1)
    return save_figure(figure, path)


def draw_reliability(
    path: Path, labels: npt.NDArray[np.int8], probabilities: npt.NDArray[np.float32]
) -> Path:
    """Draw how often reviews are positive against how likely the model says they are.

    Args:
        path: PNG to write.
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), P(positive).

    Returns:
        The path.
    """
    table = measure_reliability(labels, probabilities)
    ece = 100 * measure_ece(labels, probabilities)
    title = f"Can the probabilities be trusted? Expected calibration error: {ece:.1f} points"
    figure = open_figure(6.4, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    style_axes(upper, "", "Reviews that are positive (%)")
    upper.plot([0, 100], [0, 100], color=GREY, linewidth=1.1, label="perfectly calibrated")
    filled = table.counts > 0
    shares, rows = table.positive_share[filled], table.counts[filled]
    low, high = measure_wilson_interval(shares * rows, rows)
    means = 100 * table.mean_probability[filled]
    upper.vlines(means, 100 * low, 100 * high, color=BLUE, linewidth=1.2)
    upper.plot(means, 100 * shares, "o-", color=BLUE, label="this model, with 95 % intervals")
    upper.set(xlim=PERCENT_LIMITS, ylim=PERCENT_LIMITS, xticks=PERCENT_TICKS)
    place_legend(figure, upper.lines, columns=2)

    style_axes(lower, "Probability of positive that the model gives (%)", "Reviews")
    draw_counts(lower, table.edges, table.counts, BLUE)
    for lower_edge, count in zip(100 * table.edges[:-1], table.counts, strict=True):
        place: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
        here = (lower_edge + 5, count)
        lower.annotate(f"{count:,}", here, color=INK, fontsize=SMALL_POINTS, **place)
    lower.set_ylim(0, 1.3 * table.counts.max())
    return save_figure(figure, path)


def draw_score_histogram(
    path: Path, labels: npt.NDArray[np.int8], probabilities: npt.NDArray[np.float32]
) -> Path:
    """Draw which probabilities the model gives to positive and to negative reviews.

    Args:
        path: PNG to write.
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), P(positive).

    Returns:
        The path.
    """
    checked_labels, checked_probabilities = check_scores(labels, probabilities)
    figure = open_figure(5.8, "Which probabilities reviews of each class get")
    edges = np.linspace(0, 1, 41)
    for axes, label, name, other, side, color in zip(
        figure.subplots(2, 1, sharex=True),
        (1, 0),
        ("positive", "negative"),
        ("negative", "positive"),
        ("left", "right"),
        (BLUE, VERMILION),
        strict=True,
    ):
        style_axes(axes, "", "Reviews (bars of 2.5 points)")
        axes.set(xlim=PERCENT_LIMITS, xticks=PERCENT_TICKS)
        members = checked_probabilities[checked_labels == label]
        title = f"{len(members):,} {name} reviews"
        if len(members) > 0:
            wrong = ((members >= 0.5) != label).sum()
            share = show_percent(wrong / len(members))
            title += f"; the {wrong:,} on the {side} ({share}) are called {other}"
        axes.set_title(title, fontsize=TEXT_POINTS, loc="left", color=color)
        draw_counts(axes, edges, np.histogram(members, edges)[0], color)
        axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlabel("Probability of positive that the model gives (%)")
    return save_figure(figure, path)


def _thin_out(length: int) -> npt.NDArray[np.intp]:
    """Return at most `_MAX_CURVE_POINTS` evenly spread positions, the first and last included."""
    return np.unique(np.linspace(0, length - 1, _MAX_CURVE_POINTS).astype(np.intp))
