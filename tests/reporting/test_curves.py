"""Curves of probabilities, read back from the pixels that carry the model's color."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from sentiflow.errors import SentiflowError
from sentiflow.reporting.canvas import BLUE, GREY, VERMILION
from sentiflow.reporting.curves import (
    _MAX_CURVE_POINTS,
    _thin_out,
    draw_ranking_curves,
    draw_reliability,
    draw_score_histogram,
)

LABELS = np.tile([0, 1], 50).astype(np.int8)


def find_pixels(path, color):
    """Rows and columns, as shares of height and width, of the pixels of exactly this color."""
    picture = imread(path)[..., :3]
    rows, columns = np.nonzero(np.abs(picture - to_rgb(color)).max(axis=2) < 0.01)
    return rows / picture.shape[0], columns / picture.shape[1]


def make_probabilities(seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.25, len(LABELS))
    return np.clip(0.3 + 0.4 * LABELS + noise, 0, 1).astype(np.float32)


def test_the_roc_curve_of_a_perfect_model_is_above_that_of_a_perverse_one(tmp_path):
    means = {}
    for name, answers in (("perfect", LABELS), ("perverse", 1 - LABELS)):
        path = draw_ranking_curves(tmp_path / name, LABELS, answers.astype(np.float32), {})
        rows, columns = find_pixels(path, BLUE)
        means[name] = rows[(columns < 0.5) & (rows < 0.8)].mean()
    assert means["perfect"] < means["perverse"] - 0.1


def test_a_constant_answer_has_its_precision_at_every_recall(tmp_path):
    answers = np.full(len(LABELS), 0.5, dtype=np.float32)
    path = draw_ranking_curves(tmp_path / "curves.png", LABELS, answers, {})
    rows, columns = find_pixels(path, BLUE)
    right = (columns > 0.55) & (rows < 0.8)
    # One flat line at half height, none to the corner of precision 1 at recall 0.
    assert np.ptp(rows[right]) < 0.01
    assert np.ptp(columns[right]) > 0.3


def test_one_class_is_said_to_have_no_ranking_in_both_panels(tmp_path):
    answers = make_probabilities()
    path = draw_ranking_curves(tmp_path / "curves.png", np.ones_like(LABELS), answers, {})
    assert len(find_pixels(path, BLUE)[0]) == 0
    middle = imread(path)[400:560, :, :3]
    for columns in (slice(100, 600), slice(800, 1250)):
        assert (middle[:, columns] < 0.5).any()


def test_each_baseline_adds_grey_to_the_blue_of_the_model(tmp_path):
    baselines = {"majority": np.full(len(LABELS), 0.5), "something_else": make_probabilities(1)}
    grey = []
    for number in range(3):
        some = dict(list(baselines.items())[:number])
        path = draw_ranking_curves(tmp_path / "curves.png", LABELS, make_probabilities(), some)
        grey.append(len(find_pixels(path, GREY)[0]))
        assert len(find_pixels(path, BLUE)[0]) > 1000
    assert grey[0] < grey[1] < grey[2]


def test_long_curves_are_thinned_and_keep_both_ends():
    assert _thin_out(3).tolist() == [0, 1, 2]
    kept = _thin_out(1_000_000)
    assert len(kept) == _MAX_CURVE_POINTS
    assert (kept[0], kept[-1]) == (0, 999_999)


def test_reliability_shows_an_overconfident_model_below_the_diagonal(tmp_path):
    # Half of the reviews are positive, the model says 95 % of each.
    path = draw_reliability(
        tmp_path / "reliability.png", LABELS, np.full(len(LABELS), 0.95, dtype=np.float32)
    )
    rows, columns = find_pixels(path, BLUE)
    above_legend = rows < 0.88
    assert columns[above_legend].min() > 0.8
    point = above_legend & (rows < 0.65)
    assert rows[point].mean() == pytest.approx(0.34, abs=0.03)


def test_the_score_histogram_puts_each_class_where_its_probabilities_are(tmp_path):
    answers = np.where(LABELS == 1, 0.97, 0.21).astype(np.float32)
    path = draw_score_histogram(tmp_path / "histogram.png", LABELS, answers)
    # The upper panel is the positive class's, its title above the bars.
    rows, columns = find_pixels(path, BLUE)
    assert columns[(rows > 0.15) & (rows < 0.5)].min() > 0.85
    rows, columns = find_pixels(path, VERMILION)
    low, high = columns[rows > 0.65].min(), columns[rows > 0.65].max()
    assert 0.2 < low < high < 0.35


@pytest.mark.parametrize("draw", [draw_reliability, draw_score_histogram])
def test_what_cannot_be_scored_is_not_drawn(draw, tmp_path):
    with pytest.raises(SentiflowError, match="n at least 1"):
        draw(tmp_path / "figure.png", np.array([], dtype=np.int8), np.array([]))
    assert list(tmp_path.iterdir()) == []
