"""Draw a night's figures: how training went, what the model gets wrong, and how far to trust it.

Every function takes values and writes one PNG, 1,350 pixels wide and readable at 900. Blue is the
model or the positive class, vermilion the negative class, grey what they are compared with. The
figures of the probabilities themselves are in `curves`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.model.evaluation import Metrics, SliceMetrics, measure_wilson_interval, score
from sentiflow.reporting.canvas import (
    BLUE,
    GREY,
    INK,
    SMALL_POINTS,
    TEXT_POINTS,
    open_figure,
    place_legend,
    save_figure,
    style_axes,
    write_instead,
)
from sentiflow.reporting.curves import draw_ranking_curves, draw_reliability, draw_score_histogram
from sentiflow.rounding import show_percent

_MAX_NAME_CHARACTERS: Final = 30

_KINDS: Final = {
    "stars": "By stars",
    "length": "By length of review",
    "year": "By year",
    "category": "By category of business",
}


def draw_all(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    labels: npt.NDArray[np.int8],
    probabilities: npt.NDArray[np.float32],
    baselines: Mapping[str, npt.NDArray[np.float32]],
    slices: Sequence[SliceMetrics],
) -> list[Path]:
    """Write all figures of a night into one folder, which is made if need be.

    Args:
        folder: where to write.
        history: one mapping per epoch with epoch, loss, accuracy, val_loss and val_accuracy.
        labels: shape (n,), 0 or 1, the test rows' labels.
        probabilities: shape (n,), the model's P(positive) for them.
        baselines: by name, each shape (n,), what other models say about the same rows.
        slices: the model's metrics by slice of the test rows.

    Returns:
        The six files written.

    Raises:
        SentiflowError: labels and probabilities cannot be scored.
    """
    metrics = score(labels, probabilities)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        draw_learning_curves(folder / "learning_curves.png", history),
        draw_confusion_matrix(folder / "confusion_matrix.png", metrics),
        draw_ranking_curves(folder / "ranking_curves.png", labels, probabilities, baselines),
        draw_reliability(folder / "reliability.png", labels, probabilities),
        draw_score_histogram(folder / "score_histogram.png", labels, probabilities),
        draw_slices(folder / "slices.png", slices, metrics),
    ]


def draw_learning_curves(path: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """Draw loss and accuracy by epoch, for training and validation, and mark the epoch kept.

    The epoch kept is the first with the lowest validation loss, as in training.

    Args:
        path: PNG to write.
        history: one mapping per epoch with epoch, loss, accuracy, val_loss and val_accuracy.

    Returns:
        The path.
    """
    from matplotlib.ticker import MaxNLocator

    figure = open_figure(4.6, "How training went")
    loss, accuracy = figure.subplots(1, 2)
    style_axes(loss, "Epoch", "Loss (cross-entropy, nats per review)")
    style_axes(accuracy, "Epoch", "Accuracy (% of reviews)")
    if not history:
        for axes in (loss, accuracy):
            write_instead(axes, "No epoch was recorded.")
        return save_figure(figure, path)

    epochs = [int(log["epoch"]) for log in history]
    best = min(history, key=lambda log: log["val_loss"])
    kept = (
        f"epoch {best['epoch']:.0f}, which is kept: loss {best['val_loss']:.3f}, "
        f"accuracy {show_percent(best['val_accuracy'])}"
    )
    ring = {"color": BLUE, "markersize": 10, "markerfacecolor": "white", "markeredgewidth": 2}
    for axes, name, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for column, color, legend in (
            (name, GREY, "training"),
            (f"val_{name}", BLUE, "validation"),
        ):
            values = [scale * log[column] for log in history]
            axes.plot(epochs, values, "o-", color=color, markersize=4, label=legend)
        axes.plot(best["epoch"], scale * best[f"val_{name}"], "o", label=kept, **ring)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    place_legend(figure, loss.lines, columns=3)
    return save_figure(figure, path)


def draw_confusion_matrix(path: Path, metrics: Metrics) -> Path:
    """Draw how many reviews of each class the model calls what, and their share of the class.

    Args:
        path: PNG to write.
        metrics: whose confusion matrix to draw.

    Returns:
        The path.
    """
    counts = np.array(metrics.confusion)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, np.newaxis]
    names = ("negative", "positive")
    figure = open_figure(
        4.8,
        f"What the model calls each review: {show_percent(metrics.accuracy)} of "
        f"{metrics.rows:,} right",
    )
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for truth, called in np.ndindex(2, 2):
        name, share = names[truth], show_percent(shares[truth, called])
        note = f"{share} of {name} reviews" if totals[truth] else f"there are no {name} reviews"
        color = "white" if shares[truth, called] > 0.6 else INK
        center: dict[str, Any] = {"ha": "center", "color": color}
        axes.text(called, truth, f"{counts[truth, called]:,}", fontsize=24, va="bottom", **center)
        axes.text(called, truth + 0.08, note, fontsize=TEXT_POINTS, va="top", **center)
    style_axes(axes, "What the model says", "What the label says (number of reviews)")
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], [f"{names[row]}\n({totals[row]:,})" for row in (0, 1)])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return save_figure(figure, path)


def draw_slices(path: Path, slices: Sequence[SliceMetrics], overall: Metrics) -> Path:
    """Draw the accuracy of each slice with its 95 % interval beside that of all rows.

    Args:
        path: PNG to write.
        slices: the slices, those of a kind one after the other.
        overall: the metrics of all rows.

    Returns:
        The path.
    """
    kinds = [part.kind for part in slices]
    # A kind's name takes a line of its own above its slices.
    lines = [row + len(set(kinds[: row + 1])) for row in range(len(slices))]
    title = (
        f"Where the model does better or worse than its {show_percent(overall.accuracy)} overall"
    )
    figure = open_figure(1.6 + 0.28 * max(lines, default=4), title)
    axes = figure.subplots()
    style_axes(axes, "Accuracy (% of the slice's reviews) with 95 % interval", "")
    axes.set_yticks([])
    if not slices:
        write_instead(axes, "No slice has enough reviews.")
        return save_figure(figure, path)
    rows = np.array([part.rows for part in slices])
    shares = np.array([part.metrics.accuracy for part in slices])
    low, high = measure_wilson_interval(shares * rows, rows)
    axes.axvline(100 * overall.accuracy, color=GREY, linewidth=1.1)
    axes.hlines(lines, 100 * low, 100 * high, color=BLUE, linewidth=1.6)
    axes.plot(100 * shares, lines, "o", color=BLUE, markersize=6)
    axes.set_ylim(max(lines) + 0.7, -0.7)

    # Categories are other people's words: "$" starts no formula in them.
    beside: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "fontsize": SMALL_POINTS,
        "color": INK,
        "ha": "right",
        "va": "center",
        "parse_math": False,
    }
    axes.text(1.12, 0, "reviews", **beside)
    for line, part in zip(lines, slices, strict=True):
        name = part.name
        if len(name) > _MAX_NAME_CHARACTERS:
            name = name[: _MAX_NAME_CHARACTERS - 1] + "…"
        axes.text(-0.015, line, name, **beside)
        axes.text(1.12, line, f"{part.rows:,}", **beside)
    for kind in dict.fromkeys(kinds):
        line = lines[kinds.index(kind)] - 1
        axes.text(-0.015, line, _KINDS.get(kind, kind), weight="bold", **beside)
    return save_figure(figure, path)
