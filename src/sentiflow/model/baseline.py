"""Fit the plain models that every network is measured against.

`majority` answers every review with the share of positives; `tfidf_logreg` weighs words and pairs
of words, needs seconds, and is hard to beat with little data.

Measured on the 15,858 real training reviews, one core, 2026-11-24: 15 CPU seconds and 620 MB, of
which counting takes 5, the published default 2 and the 12 points of the default grid 7. What was
tried, with the largest distance from the optimum (newton-cg, float64, tolerance 1e-7):

- newton-cg in float32 with tolerance 1e-6: 6.4 s, validation log loss within 0.00001, any
  probability within 0.0003. Float64 takes half as long again and is no closer to matter.
- newton-cg with the default tolerance 1e-4: 5.0 s, but log loss off by up to 0.0018, and by
  another amount when the order of columns changes. liblinear: 11.7 s, 0.00003. lbfgs: 15.5 s,
  0.0029, single probabilities off by 0.18; with tolerance 1e-6 28.5 s.
- A warm start from the next smaller C is a trap: scikit-learn divides the loss by C times the
  rows, so the solution for C=10 already meets the tolerance 1e-4 for C=30 and comes back
  unchanged after 0 iterations. Every point starts from zero and so does not depend on the grid.
- Counting once and taking columns by document count gives what TfidfVectorizer(min_df=...) gives;
  counting again for each of three `min_df` would add 10 seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sentiflow.data.splitting import digest_texts
from sentiflow.errors import SentiflowError
from sentiflow.model.calibration import check_scores
from sentiflow.model.evaluation import score
from sentiflow.settings import BaselineSettings

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    Texts: TypeAlias = Sequence[str] | pd.Series[str]

# Reached in 6 to 8 iterations; see above for what the default of 1e-4 would leave undone.
_TOLERANCE: Final = 1e-6

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baseline:
    """What a plain model says about the test rows, and how it came to be.

    Attributes:
        name: "majority", "tfidf_logreg" or "tfidf_logreg_default".
        probabilities: shape (n_test,), dtype float32, P(positive).
        notes: JSON values: rows it was fitted on, settings, and what else it was chosen from.
    """

    name: str
    probabilities: npt.NDArray[np.float32]
    notes: dict[str, Any]


def fit_majority(train_labels: npt.NDArray[np.int8], n_test: int) -> Baseline:
    """Return the baseline that answers every review with the share of positives in training.

    Args:
        train_labels: shape (n,), 0 or 1, n at least 1.
        n_test: how many test rows to answer.

    Returns:
        The baseline "majority"; its label is the more frequent class, positive on a tie.

    Raises:
        SentiflowError: labels are empty or not 0 and 1.
    """
    labels, _ = check_scores(train_labels, np.zeros(len(train_labels)))
    positive_share = float(labels.mean())
    return Baseline(
        name="majority",
        probabilities=np.full(n_test, positive_share, dtype=np.float32),
        notes={"train_rows": len(labels), "positive_share": positive_share},
    )


def fit_tfidf_logreg(
    train_texts: Texts,
    train_labels: npt.NDArray[np.int8],
    validation_texts: Texts,
    validation_labels: npt.NDArray[np.int8],
    test_texts: Texts,
    settings: BaselineSettings,
    seed: int,
) -> tuple[Baseline, Baseline]:
    """Return TF-IDF with logistic regression twice: tuned, and as most people publish it.

    Both weigh words and pairs of neighbouring words. The tuned one uses sublinear term counts and
    takes from the grid of `settings` the point with the lowest log loss on the validation rows:
    accuracy moves in steps of one row and its differences between good points are chance, log loss
    sees every probability. On equal log loss the higher accuracy wins, then fewer features, then
    the smaller C. The default is scikit-learn's TfidfVectorizer(ngram_range=(1, 2)) and
    LogisticRegression(C=1) as they come. Neither ever learns from validation or test rows.

    Args:
        train_texts: n texts. If n is above `settings.max_rows`, that many are sampled by their
            content, so the sample does not depend on the order of rows.
        train_labels: shape (n,), 0 or 1; both must occur.
        validation_texts: texts to choose the grid point with, at least one.
        validation_labels: their labels.
        test_texts: m texts to answer.
        settings: the grid and the most rows to fit on.
        seed: chooses the sample.

    Returns:
        The baselines "tfidf_logreg" and "tfidf_logreg_default", each with m probabilities.

    Raises:
        SentiflowError: training texts hold no word or one class only, or no grid point is left.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    rows = _sample_rows(train_texts, settings.max_rows, seed)
    labels = np.asarray(train_labels)[rows]
    if len(np.unique(labels)) != 2:
        raise SentiflowError(
            "The TF-IDF baseline needs both classes among its training rows; add reviews of the "
            f"missing one. Received: {len(labels)} rows, labels {np.unique(labels).tolist()}"
        )
    texts = np.asarray(train_texts, dtype=object)[rows]
    counter = CountVectorizer(ngram_range=(1, 2), dtype=np.float32)
    try:
        train_counts = counter.fit_transform(texts)
    except ValueError as error:  # scikit-learn's "empty vocabulary"
        raise SentiflowError(
            "The TF-IDF baseline needs words of two letters or more in its training texts; check "
            f"which column holds the text. Received: {len(texts)} texts without any"
        ) from error
    counts = _Matrices(
        train_counts, counter.transform(validation_texts), counter.transform(test_texts)
    )
    documents = np.bincount(train_counts.indices, minlength=train_counts.shape[1])
    logger.debug("counted %d n-grams in %d training rows", len(documents), len(texts))

    # The default stays float64: that is what others get from the same two lines.
    weights = _weigh(counts, slice(None), TfidfTransformer(), np.float64)
    default = _fit_point(LogisticRegression(C=1.0), 1, weights, labels, validation_labels)
    points = []
    for min_df in sorted(set(settings.min_document_counts)):
        columns = np.flatnonzero(documents >= min_df)
        if len(columns) == 0:
            logger.warning("no n-gram occurs in %d training rows: left out of the grid", min_df)
            continue
        weights = _weigh(counts, columns, TfidfTransformer(sublinear_tf=True), np.float32)
        for c in sorted(set(settings.regularizations)):
            model = LogisticRegression(C=c, solver="newton-cg", tol=_TOLERANCE)
            points.append(_fit_point(model, min_df, weights, labels, validation_labels))
    if not points:
        raise SentiflowError(
            "The TF-IDF baseline needs a grid point to choose; set baseline.regularizations and "
            "lower baseline.min_document_counts. Received: min_document_counts="
            f"{settings.min_document_counts}, regularizations={settings.regularizations}, "
            f"{len(texts)} training rows"
        )
    tuned = min(points, key=_rank_point)
    fitted_on = {
        "train_rows": len(texts),
        "train_rows_available": len(train_texts),
        "sampled": len(texts) < len(train_texts),
    }
    return (
        Baseline(
            "tfidf_logreg",
            tuned.test_probabilities,
            {
                **tuned.notes,
                **fitted_on,
                "chosen_by": "validation_log_loss",
                "grid": [point.notes for point in points],
            },
        ),
        Baseline("tfidf_logreg_default", default.test_probabilities, default.notes | fitted_on),
    )


class _Matrices(NamedTuple):
    """One sparse matrix per split, (rows, n-grams), all over the training rows' n-grams."""

    train: csr_matrix
    validation: csr_matrix
    test: csr_matrix


class _Point(NamedTuple):
    """One fitted setting: what it is and how it did on validation, and its test answers."""

    notes: dict[str, Any]
    test_probabilities: npt.NDArray[np.float32]


def _rank_point(point: _Point) -> tuple[float, float, int, float]:
    """Return a key that is smallest for the point to choose."""
    notes = point.notes
    return (
        notes["validation_log_loss"],
        -notes["validation_accuracy"],
        -notes["min_df"],
        notes["C"],
    )


def _sample_rows(texts: Texts, max_rows: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the ascending positions of at most `max_rows` texts, chosen by content and seed."""
    if len(texts) <= max_rows:
        return np.arange(len(texts))
    # Digests are uniform, so flipping the same random bits in each gives a random order.
    mask = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    return np.sort(np.argsort(digest_texts(texts) ^ mask, kind="stable")[:max_rows])


def _weigh(
    counts: _Matrices,
    columns: npt.NDArray[np.intp] | slice,
    weigher: TfidfTransformer,
    dtype: type[np.floating[Any]],
) -> _Matrices:
    """Return TF-IDF weights of the chosen n-grams; document shares come from training alone."""
    chosen = [matrix[:, columns].astype(dtype) for matrix in counts]
    weigher.fit(chosen[0])
    # In place: the chosen columns are copies already.
    return _Matrices(*(weigher.transform(matrix, copy=False) for matrix in chosen))


def _fit_point(
    model: LogisticRegression,
    min_df: int,
    weights: _Matrices,
    labels: npt.NDArray[np.int8],
    validation_labels: npt.NDArray[np.int8],
) -> _Point:
    """Fit the model on training rows, score it on validation rows and answer the test rows."""
    model.fit(weights.train, labels)
    metrics = score(validation_labels, model.predict_proba(weights.validation)[:, 1])
    notes = {
        "C": model.C,
        "min_df": min_df,
        "ngrams": weights.train.shape[1],
        "converged": bool(model.n_iter_.max() < model.max_iter),
        "validation_log_loss": metrics.log_loss,
        "validation_accuracy": metrics.accuracy,
    }
    logger.debug("fitted tf-idf with logistic regression: %s", notes)
    return _Point(notes, model.predict_proba(weights.test)[:, 1].astype(np.float32))
