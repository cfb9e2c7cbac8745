"""All figures of a night, usual and degenerate, by what their pixels show."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from sentiflow.errors import SentiflowError
from sentiflow.model.evaluation import SliceMetrics, score
from sentiflow.reporting.canvas import BLUE
from sentiflow.reporting.figures import (
    draw_all,
    draw_confusion_matrix,
    draw_learning_curves,
    draw_slices,
)

NAMES = [
    "learning_curves.png",
    "confusion_matrix.png",
    "ranking_curves.png",
    "reliability.png",
    "score_histogram.png",
    "slices.png",
]


def make_history(val_losses):
    return [
        {
            "epoch": epoch,
            "loss": 0.7 / epoch,
            "accuracy": 1 - 0.3 / epoch,
            "val_loss": val_loss,
            "val_accuracy": 0.8,
        }
        for epoch, val_loss in enumerate(val_losses, start=1)
    ]


def make_rows(count, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.6).astype(np.int8)
    answers = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.25, count), 0, 1)
    return labels, answers.astype(np.float32)


def make_slice(kind, name, rows=100, right=80):
    labels = np.ones(rows, dtype=np.int8)
    metrics = score(labels, np.where(np.arange(rows) < right, 0.9, 0.1))
    return SliceMetrics(kind, name, rows, metrics)


LABELS, PROBABILITIES = make_rows(200)
SLICES = [
    *(make_slice("stars", str(stars), right=70 + 5 * stars) for stars in range(1, 6)),
    make_slice("category", "Bars, Pubs and Other Addresses to Meet Strangers", rows=31, right=31),
]
BASELINES = {"majority": np.full(200, 0.6), "tfidf_logreg": make_rows(200, seed=1)[1]}

SITUATIONS = {
    "a usual night": (make_history([0.5, 0.4, 0.45]), LABELS, PROBABILITIES, BASELINES, SLICES),
    "one epoch and one slice": (make_history([0.5]), LABELS, PROBABILITIES, {}, SLICES[:1]),
    "no epoch and no slice": ([], LABELS, PROBABILITIES, BASELINES, []),
    "one class": (
        make_history([0.5, 0.4]),
        np.zeros(200, dtype=np.int8),
        PROBABILITIES,
        BASELINES,
        SLICES,
    ),
    "one row": (make_history([0.5]), np.array([1]), np.array([0.0]), {"majority": [1.0]}, []),
    "saturated probabilities": (make_history([0.0]), LABELS, LABELS * 1.0, {}, SLICES),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_six_pictures_of_sensible_size_that_are_not_blank(situation, tmp_path):
    paths = draw_all(tmp_path / "new" / "folder", *situation)
    assert [path.name for path in paths] == NAMES
    for path in paths:
        assert path.parent == tmp_path / "new" / "folder"
        picture = imread(path)
        height, width, _ = picture.shape
        assert (width, 250 < height < 2000) == (1350, True), path.name
        assert picture[..., :3].std() > 0.03, path.name
        assert path.stat().st_size < 200_000, path.name


def test_the_same_values_give_the_same_bytes_even_from_several_threads(tmp_path):
    history = make_history([0.5, 0.4, 0.45])

    def draw(number):
        return draw_learning_curves(tmp_path / f"{number}.png", history).read_bytes()

    alone = draw(0)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(draw, range(1, 7))) == [alone] * 6


def test_probabilities_that_cannot_be_scored_leave_no_folder(tmp_path):
    with pytest.raises(SentiflowError, match="finite"):
        draw_all(tmp_path / "folder", [], LABELS, PROBABILITIES * np.nan, {}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("best", "center"), [(1, 0.1), (3, 0.5), (5, 0.9)])
def test_the_ring_is_around_the_epoch_with_the_lowest_validation_loss(best, center, tmp_path):
    val_losses = [0.5] * 5
    val_losses[best - 1] -= 1e-6
    path = draw_learning_curves(tmp_path / "curves.png", make_history(val_losses))
    picture = imread(path)[..., :3]
    blue = np.abs(picture - to_rgb(BLUE)).max(axis=2) < 0.1
    left_panel = blue[: int(0.8 * len(blue)), : blue.shape[1] // 2]
    line = np.nonzero(left_panel.any(axis=0))[0]
    # The ring is 21 pixels high, the dots on the line 9.
    heights = [np.ptp(np.nonzero(column)[0]) if column.any() else 0 for column in left_panel.T]
    ring = np.nonzero(np.array(heights) > 12)[0]
    place = (ring.mean() - line[0]) / (line[-1] - line[0])
    assert place == pytest.approx(center, abs=0.11)


def test_the_first_of_two_equally_good_epochs_is_marked(tmp_path):
    pictures = [
        draw_learning_curves(tmp_path / "curves.png", make_history(val_losses)).read_bytes()
        for val_losses in ([0.5, 0.4, 0.4], [0.5, 0.4 - 1e-9, 0.4], [0.5, 0.4, 0.4 - 1e-9])
    ]
    assert pictures[0] == pictures[1] != pictures[2]


def test_cells_of_the_confusion_matrix_are_dark_where_the_share_is_high(tmp_path):
    # 90 % of negatives and 20 % of positives right.
    labels = np.repeat([0, 1], [10, 100])
    answers = np.concatenate([np.repeat([0.1, 0.9], [9, 1]), np.repeat([0.1, 0.9], [80, 20])])
    path = draw_confusion_matrix(tmp_path / "confusion.png", score(labels, answers))
    picture = imread(path)[..., :3].mean(axis=2)
    height, width = picture.shape
    cells = {
        (truth, called): np.median(
            picture[
                int((0.1 + 0.42 * truth) * height) : int((0.4 + 0.42 * truth) * height),
                int((0.15 + 0.45 * called) * width) : int((0.5 + 0.45 * called) * width),
            ]
        )
        for truth in (0, 1)
        for called in (0, 1)
    }
    assert sorted(cells, key=cells.__getitem__) == [(0, 0), (1, 0), (1, 1), (0, 1)]


def test_a_picture_of_slices_grows_with_their_number(tmp_path):
    overall = score(LABELS, PROBABILITIES)
    heights = [
        imread(draw_slices(tmp_path / "slices.png", slices, overall)).shape[0]
        for slices in (SLICES[:1], SLICES[:5], SLICES * 5)
    ]
    assert heights == sorted(set(heights))


def test_names_of_categories_are_no_formulas(tmp_path):
    overall = score(LABELS, PROBABILITIES)
    slices = [make_slice("category", r"$\frac$ {_^} 100%")]
    assert draw_slices(tmp_path / "slices.png", slices, overall).exists()
