"""The canvas: uniform, quiet, without global state, the same bytes for the same drawing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from sentiflow.reporting.canvas import (
    BLUE,
    draw_counts,
    open_figure,
    place_legend,
    save_figure,
    style_axes,
    write_instead,
)


def draw_something(path):
    figure = open_figure(4.0, "Something")
    axes = figure.subplots()
    style_axes(axes, "Horizontal", "Vertical")
    axes.plot([0, 1], [0, 1], color=BLUE, label="a line")
    place_legend(figure, axes.lines, columns=1)
    return save_figure(figure, path)


def test_a_figure_is_a_png_of_the_agreed_width(tmp_path):
    path = draw_something(tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert imread(path).shape == (600, 1350, 4)


def test_the_same_drawing_gives_the_same_bytes(tmp_path):
    first = draw_something(tmp_path / "first.png").read_bytes()
    assert draw_something(tmp_path / "second.png").read_bytes() == first
    assert b"Software" not in first


def test_drawing_neither_imports_pyplot_nor_changes_matplotlibs_settings(tmp_path):
    # Its own process: another test may have imported pyplot here.
    code = f"""
import sys, matplotlib
before = matplotlib.rcParams.copy()  # dict() would look up the backend and import pyplot
from sentiflow.reporting.canvas import open_figure, save_figure, style_axes
from pathlib import Path
figure = open_figure(3.0, "title")
style_axes(figure.subplots(), "a", "b")
save_figure(figure, Path({str(tmp_path / "figure.png")!r}))
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "figure.png").exists()


def test_importing_the_module_does_not_import_matplotlib():
    code = "import sys, sentiflow.reporting.figures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sentence_takes_the_place_of_ticks_and_drawing():
    axes = open_figure(3.0, "title").subplots()
    write_instead(axes, "Nothing to see.")
    assert (len(axes.get_xticks()), len(axes.get_yticks())) == (0, 0)
    assert [text.get_text() for text in axes.texts] == ["Nothing to see."]


def test_counts_become_bars_over_percentages():
    axes = open_figure(3.0, "title").subplots()
    draw_counts(axes, np.array([0.0, 0.5, 1.0]), np.array([3, 1]), BLUE)
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in axes.patches] == [
        (0, 50, 3),
        (50, 50, 1),
    ]


def test_counts_of_nothing_have_an_axis_that_starts_at_zero():
    axes = open_figure(3.0, "title").subplots()
    draw_counts(axes, np.array([0.0, 1.0]), np.array([0]), BLUE)
    assert axes.get_ylim() == pytest.approx((0, 1.05))
