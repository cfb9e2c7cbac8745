"""Make the blank, uniformly styled canvases that figures are drawn on, and write them as PNG.

Canvases are made without pyplot, so nothing is shared between threads, and written without date or
version, so the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's palette, which color-blind readers can tell apart (jfly.uni-koeln.de/color).
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
INK: Final = "#333333"
GREY: Final = "#8A8A8A"
PALE: Final = "#E6E6E6"

# 1,350 pixels: shown at 900, the text is as large as the text around it.
WIDTH_INCHES: Final = 9.0
DOTS_PER_INCH: Final = 150
TITLE_POINTS: Final = 14
TEXT_POINTS: Final = 11
SMALL_POINTS: Final = 10

# An axis of percentages leaves room for a marker at either end.
PERCENT_LIMITS: Final = (-2, 102)
PERCENT_TICKS: Final = range(0, 101, 20)


def open_figure(height_inches: float, title: str) -> Figure:
    """Return an empty figure with its title, drawn by Agg and known to no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure((WIDTH_INCHES, height_inches), DOTS_PER_INCH, layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_POINTS, color=INK)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return the path."""
    figure.align_ylabels()
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def style_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Give the axes the look that all figures share."""
    axes.set_xlabel(x_label, fontsize=TEXT_POINTS, color=INK)
    axes.set_ylabel(y_label, fontsize=TEXT_POINTS, color=INK)
    axes.tick_params(labelsize=SMALL_POINTS, colors=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)


def place_legend(figure: Figure, lines: Sequence[Line2D], columns: int) -> None:
    """Explain the lines, each by its own label, below the axes, where nothing is hidden."""
    figure.legend(
        handles=lines,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=SMALL_POINTS,
        labelcolor=INK,
    )


def write_instead(axes: Axes, sentence: str) -> None:
    """Write why there is nothing to draw, where the drawing would be."""
    axes.set(xticks=[], yticks=[])
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, sentence, fontsize=TEXT_POINTS, color=INK, **place)


def draw_counts(
    axes: Axes, edges: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], color: str
) -> None:
    """Draw counts of rows as bars over percentages, with a hair of white between them.

    Args:
        axes: where to draw.
        edges: shape (bins + 1,), shares from 0 to 1.
        counts: shape (bins,).
        color: of the bars.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.bar(
        100 * edges[:-1], counts, 100 * np.diff(edges), align="edge", color=color, edgecolor="white"
    )
    axes.set_ylim(0, 1.05 * max(counts.max(), 1))
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
