"""Score probabilities against labels: on all rows, by slice, and by how far they can be trusted.

A probability of 0.5 or more counts as positive, here as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import SentiflowError
from sentiflow.model.calibration import check_scores, measure_ece

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES: Final = 10

# Keras clips at the same distance from 0 and 1 in its cross-entropy, so that a saturated float32
# probability on the wrong side costs 16.1 both in training and here, and never infinity.
_LOG_LOSS_CLIP: Final = 1e-7


@dataclass(frozen=True)
class Metrics:
    """How good probabilities are on one set of rows.

    Attributes:
        rows: number of rows scored.
        accuracy: share of rows whose predicted label is right.
        balanced_accuracy: mean recall of the classes that occur among the labels.
        macro_f1: mean F1 of the classes that occur among labels or predictions.
        roc_auc: area under the ROC curve; NaN when only one class occurs.
        average_precision: of the positive class; NaN when only one class occurs.
        log_loss: mean cross-entropy in nats, probabilities clipped to [1e-7, 1 - 1e-7].
        brier: mean squared difference of probability and label.
        ece: expected calibration error of the predicted label, see `measure_ece`.
        confusion: ((true negatives, false positives), (false negatives, true positives)), rows.
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    roc_auc: float
    average_precision: float
    log_loss: float
    brier: float
    ece: float
    confusion: tuple[tuple[int, int], tuple[int, int]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN becomes None and the confusion matrix two lists."""
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, float) and math.isnan(value):
                values[name] = None
        values["confusion"] = [list(row) for row in self.confusion]
        return values


@dataclass(frozen=True)
class SliceMetrics:
    """How good probabilities are on the rows that share something.

    Attributes:
        kind: what the rows share: "stars", "length", "year" or "category".
        name: which of that kind, in words, such as "4" or "over 160 words".
        rows: number of rows in the slice.
        metrics: the slice's metrics.
    """

    kind: str
    name: str
    rows: int
    metrics: Metrics

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "rows": self.rows,
            "metrics": self.metrics.as_dict(),
        }


def score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Metrics:
    """Return how good the probabilities are, in every metric that sentiflow reports.

    Args:
        labels: shape (n,), integers, 1 = positive, 0 = negative; n is at least 1.
        probabilities: shape (n,), floats from 0 to 1, P(positive).

    Returns:
        The metrics. With one class among the labels, those that need two are NaN.

    Raises:
        SentiflowError: shapes differ or are not (n,), n is 0, or a value is not allowed.
    """
    from sklearn import metrics

    labels, probabilities = check_scores(labels, probabilities)
    predicted = (probabilities >= 0.5).astype(np.int8)
    occurring = np.unique(labels)
    both_classes = len(occurring) == 2
    (tn, fp), (fn, tp) = metrics.confusion_matrix(labels, predicted, labels=[0, 1]).tolist()
    return Metrics(
        rows=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        # scikit-learn's balanced_accuracy_score is this number, but warns about a single class.
        balanced_accuracy=float(
            metrics.recall_score(
                labels, predicted, labels=occurring, average="macro", zero_division=0
            )
        ),
        macro_f1=float(metrics.f1_score(labels, predicted, average="macro", zero_division=0)),
        roc_auc=float(metrics.roc_auc_score(labels, probabilities)) if both_classes else math.nan,
        average_precision=(
            float(metrics.average_precision_score(labels, probabilities))
            if both_classes
            else math.nan
        ),
        log_loss=float(
            metrics.log_loss(
                labels,
                np.clip(probabilities, _LOG_LOSS_CLIP, 1 - _LOG_LOSS_CLIP),
                labels=[0, 1],
            )
        ),
        brier=float(metrics.brier_score_loss(labels, probabilities, labels=[0, 1], pos_label=1)),
        ece=measure_ece(labels, probabilities),
        confusion=((tn, fp), (fn, tp)),
    )


def measure_wilson_interval(
    successes: npt.ArrayLike, rows: npt.ArrayLike, z: float = 1.959964
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the interval that a share lies in, honest for few rows and for shares near 0 or 1.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Args:
        successes: counts, any shape.
        rows: out of how many, same shape, at least 1.
        z: quantile of the normal distribution; the default gives 95 %.

    Returns:
        Lower and upper bounds, same shape.
    """
    rows = np.asarray(rows, dtype=np.float64)
    shares = np.asarray(successes, dtype=np.float64) / rows
    centers = (shares + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half_widths = (
        z / (1 + z**2 / rows) * np.sqrt(shares * (1 - shares) / rows + z**2 / (4 * rows**2))
    )
    return np.maximum(centers - half_widths, 0.0), np.minimum(centers + half_widths, 1.0)


def count_words(texts: Sequence[str] | pd.Series[str]) -> npt.NDArray[np.int64]:
    """Return the number of words, as white space separates them, in each text; shape (n,)."""
    # 150,000 reviews a second; pyarrow's split (109,000) and regex (77,000) and pandas' str.split
    # (57,000) were slower on 79,000 real reviews, 2026-11-24.
    return np.fromiter((len(text.split()) for text in texts), dtype=np.int64, count=len(texts))


def measure_length_edges(texts: Sequence[str] | pd.Series[str]) -> tuple[float, float, float]:
    """Return the word counts that part texts into four groups of about equal size.

    Measure them on training rows and pass them to `score_slices`, so that a slice means the same
    thing whatever the test rows are.

    Args:
        texts: n texts, n at least 1.

    Returns:
        The 25th, 50th and 75th percentile of words; whole numbers that occur among the texts.

    Raises:
        SentiflowError: there is no text.
    """
    if len(texts) == 0:
        raise SentiflowError(
            "Length quartiles need at least one text; pass the training rows' texts. "
            "Received: len(texts)=0"
        )
    return split_lengths(count_words(texts))


def split_lengths(words: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the word counts that part texts into four groups of about equal size.

    Args:
        words: shape (n,), words of each text; n at least 1.

    Returns:
        As `measure_length_edges`.
    """
    counts = np.asarray(words, dtype=np.int64)
    low, middle, high = np.quantile(counts, (0.25, 0.5, 0.75), method="inverted_cdf")
    return float(low), float(middle), float(high)


def score_slices(
    reviews: pd.DataFrame,
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    length_edges: tuple[float, float, float],
    min_rows: int = 30,
) -> list[SliceMetrics]:
    """Return the metrics of parts of the rows, to see where the model is weak.

    Args:
        reviews: n rows in the order of `labels`, with columns stars, date, words (or text, from
            which words are counted) and, optionally, categories (comma-separated names). Rows
            where one is missing, or stars are not 1, 2, 3, 4 or 5, belong to no slice of the kind.
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), P(positive).
        length_edges: three ascending word counts from `measure_length_edges`; a slice holds its
            upper edge.
        min_rows: slices with fewer rows are left out.

    Returns:
        Slices by stars, length in words, year, and the ten most frequent categories.

    Raises:
        SentiflowError: as for `score`, or `reviews` has another number of rows.
    """
    labels, probabilities = check_scores(labels, probabilities)
    if len(reviews) != len(labels):
        raise SentiflowError(
            "Slices need one review per label, in the same order. "
            f"Received: len(reviews)={len(reviews)}, len(labels)={len(labels)}"
        )
    return [
        SliceMetrics(kind, name, len(rows), score(labels[rows], probabilities[rows]))
        for kind, name, rows in list_slices(reviews, length_edges)
        if len(rows) >= max(min_rows, 1)
    ]


def list_slices(
    reviews: pd.DataFrame, length_edges: tuple[float, float, float]
) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """Yield kind, name and row positions of every slice, empty ones too.

    Args:
        reviews: as for `score_slices`.
        length_edges: as for `score_slices`.

    Yields:
        Kind, name and the positions of the slice's rows, dtype int64.
    """
    stars = reviews["stars"].to_numpy(dtype=np.float64, na_value=np.nan)
    for value in range(1, 6):
        yield "stars", str(value), np.flatnonzero(stars == value)

    words = reviews["words"].to_numpy() if "words" in reviews else count_words(reviews["text"])
    quartiles = np.digitize(words, length_edges, right=True)
    low, middle, high = (math.floor(edge) for edge in length_edges)
    names = (
        f"up to {low} words",
        _name_lengths(low + 1, middle),
        _name_lengths(middle + 1, high),
        f"over {high} words",
    )
    for quartile, name in enumerate(names):
        yield "length", name, np.flatnonzero(quartiles == quartile)

    years = reviews["date"].dt.year.to_numpy(dtype=np.float64, na_value=np.nan)
    for year in np.unique(years[~np.isnan(years)]):
        yield "year", f"{year:.0f}", np.flatnonzero(years == year)

    if "categories" in reviews:
        categories = reviews["categories"].reset_index(drop=True).astype("string")
        listed = categories.str.split(",").explode().str.strip()
        listed = listed[listed.notna() & (listed != "")]
        members = listed.groupby(listed).groups
        # A name that a business lists twice counts once.
        rows_by_name = {str(name): np.unique(rows) for name, rows in members.items()}
        by_frequency = sorted(rows_by_name, key=lambda name: (-len(rows_by_name[name]), name))
        for name in by_frequency[:MAX_CATEGORIES]:
            yield "category", name, rows_by_name[name]


def _name_lengths(shortest: int, longest: int) -> str:
    """Return "3 to 7 words", or "7 words" where that is all."""
    return f"{longest} words" if shortest == longest else f"{shortest} to {longest} words"
