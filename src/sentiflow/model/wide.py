"""Fit the wide branch: a weight for every word, pair and triple of words.

With some ten thousand reviews a linear model over n-grams knows more words' worth than a recurrent
network can learn. It is fitted first, on training rows alone; the network then reads the texts with
these weights beside the words (`Channels`) and what both say is joined (`stack.py`).

TF-IDF with sublinear counts, each n-gram scaled by how much more often one class uses it: Wang and
Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL 2012. There
counts are binary and r keeps its sign; a logistic regression learns the sign, so |r| is enough.

Measured on 15,000 real reviews, one core: docs/results.md, "The wide branch".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import SentiflowError
from sentiflow.model.tokenization import UNKNOWN, TokenIds
from sentiflow.progress import report_progress
from sentiflow.settings import WideSettings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

logger = logging.getLogger(__name__)

INNER_FOLDS: Final = 5
# An n-gram that both classes use alike still counts for something.
_LEAST_RATIO: Final = 0.1
# See baseline.py for what the default of 1e-4 would leave undone.
_TOLERANCE: Final = 1e-6
_CHUNK_ROWS: Final = 20_000

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WideBranch:
    """A linear model over n-grams of token ids.

    Attributes:
        keys: the n-grams' keys (`make_keys`), ascending, shape (k,), dtype int64.
        idf: inverse document frequencies, shape (k,), dtype float32.
        weights: what an n-gram of TF-IDF 1 adds to the log-odds, shape (k,), dtype float32.
        bias: log-odds of a text without n-grams.
        scales: standard deviation of both channels over the training tokens, shape (2,), float32.
        longest: words of the longest n-grams.
    """

    keys: Keys
    idf: Floats
    weights: Floats
    bias: float
    scales: Floats
    longest: int

    def save(self, path: Path) -> None:
        """Write all arrays to one .npz file."""
        np.savez(
            path,
            keys=self.keys,
            idf=self.idf,
            weights=self.weights,
            bias=np.float64(self.bias),
            scales=self.scales,
            longest=np.int64(self.longest),
        )

    @classmethod
    def load(cls, path: Path) -> WideBranch:
        """Read what `save` wrote; nothing is unpickled."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                keys=arrays["keys"],
                idf=arrays["idf"],
                weights=arrays["weights"],
                bias=float(arrays["bias"]),
                scales=arrays["scales"],
                longest=int(arrays["longest"]),
            )


@dataclass(frozen=True)
class WideFit:
    """A fitted wide branch and what it says of the rows that it was fitted with.

    Attributes:
        branch: the model.
        train_channels: shape (training tokens, 2), dtype float32, each row by a fit without it.
        validation_channels: shape (validation tokens, 2), dtype float32.
        validation_logits: log-odds of the validation rows, shape (m,), dtype float64.
        notes: JSON values: rows, n-grams, what was cut, the grid.
    """

    branch: WideBranch
    train_channels: Floats
    validation_channels: Floats
    validation_logits: npt.NDArray[np.float64]
    notes: dict[str, Any]


def make_keys(values: npt.NDArray[np.int32], size: int, vocabulary_size: int) -> Keys:
    """Return a number for each run of `size` token ids, its last id at positions size - 1 and on.

    >>> make_keys(np.array([5, 7, 9], np.int32), 2, 100).tolist()
    [507, 709]

    Args:
        values: token ids of all texts, one after another.
        size: words of an n-gram, 1 to 3.
        vocabulary_size: ids in use; three of them must fit into an int64.

    Returns:
        Array of shape (max(len(values) - size + 1, 0),), dtype int64. N-grams of different sizes
        never share a key, as no token has the id 0.
    """
    ends = len(values) - size + 1
    if ends <= 0:
        return np.empty(0, np.int64)
    keys = np.zeros(ends, np.int64)
    for at in range(size):
        keys = keys * vocabulary_size + values[at : at + ends]
    return keys


def fit_wide(
    train_ids: TokenIds,
    train_labels: npt.NDArray[np.int8],
    validation_ids: TokenIds,
    validation_labels: npt.NDArray[np.int8],
    folds: npt.NDArray[np.integer[Any]],
    vocabulary_size: int,
    settings: WideSettings,
) -> WideFit:
    """Fit the wide branch on training rows, its regularization by validation log loss.

    Args:
        train_ids: token ids of n training reviews, of the whole texts.
        train_labels: shape (n,), dtype int8, 1 = positive.
        validation_ids: token ids of m validation reviews.
        validation_labels: shape (m,), dtype int8.
        folds: for each training row one of INNER_FOLDS groups, shape (n,); copies of a text
            belong into one.
        vocabulary_size: ids in use, padding and unknown included.
        settings: n-grams, limits and the grid.

    Raises:
        SentiflowError: no n-gram occurs often enough, or a class is missing.
    """
    from sklearn.metrics import log_loss

    if len(np.unique(train_labels)) < 2:
        raise SentiflowError(
            "The wide branch needs training rows of both classes. Received: "
            f"{len(train_labels)} rows of one. Check which column holds the label."
        )
    fitted_rows = _choose_rows(len(train_ids), settings.max_rows)
    keys, documents, found = _count_ngrams(train_ids, fitted_rows, vocabulary_size, settings)
    if len(keys) == 0:
        raise SentiflowError(
            f"The wide branch needs n-grams in at least {settings.min_documents} training reviews. "
            f"Received: none in {len(fitted_rows)} reviews. Lower wide.min_documents, check which "
            "column holds the text, or train without it: network.wide=false."
        )
    idf = np.log((1 + len(fitted_rows)) / (1 + documents)) + 1
    train = _weigh(train_ids, keys, idf, vocabulary_size, settings.longest)
    validation = _weigh(validation_ids, keys, idf, vocabulary_size, settings.longest)
    labels = train_labels[fitted_rows]
    grid = []
    for number, c in enumerate(sorted(set(settings.regularizations))):
        weights, bias = _fit(train[fitted_rows], labels, c)
        logits = validation @ weights + bias
        loss = float(log_loss(validation_labels, _to_probabilities(logits), labels=[0, 1]))
        grid.append((loss, c, weights, bias, logits))
        report_progress("train", number + 1, len(settings.regularizations), f"wide branch, C={c:g}")
    best_loss, best_c, weights, bias, logits = min(grid, key=lambda point: point[:2])
    channels = np.empty((len(train_ids.values), 2), np.float32)
    rows_of_tokens = np.repeat(np.arange(len(train_ids)), train_ids.lengths)
    for fold in range(INNER_FOLDS):
        is_out = folds == fold
        rows = fitted_rows[~is_out[fitted_rows]]
        inner = (
            _fit(train[rows], train_labels[rows], best_c)[0]
            if is_out.any() and len(np.unique(train_labels[rows])) == 2
            else np.zeros_like(weights)
        )
        out = is_out[rows_of_tokens]
        channels[out] = _compute_channels(
            train_ids, keys, inner * idf, vocabulary_size, settings.longest
        )[out]
        report_progress(
            "train", fold + 1, INNER_FOLDS, f"wide branch, fit {fold + 1} without a fifth"
        )
    scales = np.maximum(channels.std(axis=0, dtype=np.float64), 1e-6).astype(np.float32)
    branch = WideBranch(
        keys=keys,
        idf=idf.astype(np.float32),
        weights=weights.astype(np.float32),
        bias=float(bias),
        scales=scales,
        longest=settings.longest,
    )
    notes = {
        "rows": len(fitted_rows),
        "rows_available": len(train_ids),
        "ngrams": len(keys),
        "ngrams_found": found,
        "C": best_c,
        "validation_log_loss": best_loss,
        "grid": [{"C": point[1], "validation_log_loss": point[0]} for point in grid],
    }
    logger.debug("fitted the wide branch: %s", notes)
    return WideFit(
        branch=branch,
        train_channels=channels / scales,
        validation_channels=_compute_channels(
            validation_ids, keys, weights * idf, vocabulary_size, settings.longest
        )
        / scales,
        validation_logits=np.asarray(logits, np.float64),
        notes=notes,
    )


def _to_probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.special import expit

    probabilities: npt.NDArray[np.float64] = expit(logits)
    return probabilities


def _choose_rows(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Return the positions of the rows to fit on: all, or evenly spread ones."""
    if rows <= most:
        return np.arange(rows)
    return np.linspace(0, rows - 1, most).round().astype(np.int64)


def _count_ngrams(
    token_ids: TokenIds,
    rows: npt.NDArray[np.int64],
    vocabulary_size: int,
    settings: WideSettings,
) -> tuple[Keys, npt.NDArray[np.int64], int]:
    """Return the keys of the n-grams to keep, in how many rows each occurs, and how many were."""
    all_keys, all_documents = [], []
    for size in range(1, settings.longest + 1):
        keys, documents = np.empty(0, np.int64), np.empty(0, np.int64)
        for start in range(0, len(rows), _CHUNK_ROWS):
            found, counts = _count_documents(
                token_ids, rows[start : start + _CHUNK_ROWS], size, vocabulary_size
            )
            keys, documents = _add_counts(keys, documents, found, counts)
        is_kept = documents >= settings.min_documents
        all_keys.append(keys[is_kept])
        all_documents.append(documents[is_kept])
    keys, documents = np.concatenate(all_keys), np.concatenate(all_documents)
    found_in_all = len(keys)
    if len(keys) > settings.max_ngrams:
        # The most frequent; among equals the smaller key, whose words are more frequent.
        order = np.lexsort((keys, -documents))[: settings.max_ngrams]
        keys, documents = keys[order], documents[order]
    order = np.argsort(keys)
    return keys[order], documents[order], found_in_all


def _count_documents(
    token_ids: TokenIds, rows: npt.NDArray[np.int64], size: int, vocabulary_size: int
) -> tuple[Keys, npt.NDArray[np.int64]]:
    """Return the n-grams of one size in these rows, and in how many of them each occurs."""
    at, keys = _find_ngrams(token_ids, size, vocabulary_size, rows)
    order = np.lexsort((at, keys))
    at, keys = at[order], keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = (keys[1:] != keys[:-1]) | (at[1:] != at[:-1])
    found, counts = np.unique(keys[is_first], return_counts=True)
    return found, counts


def _add_counts(
    keys: Keys, counts: npt.NDArray[np.int64], more: Keys, more_counts: npt.NDArray[np.int64]
) -> tuple[Keys, npt.NDArray[np.int64]]:
    if len(keys) == 0:
        return more, more_counts
    both, inverse = np.unique(np.concatenate([keys, more]), return_inverse=True)
    total = np.bincount(inverse, np.concatenate([counts, more_counts]), len(both))
    return both, total.astype(np.int64)


def _find_ngrams(
    token_ids: TokenIds,
    size: int,
    vocabulary_size: int,
    rows: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.int64], Keys]:
    """Return row and key of each n-gram of known words in the texts (or in some rows of them)."""
    ends = max(len(token_ids.values) - size + 1, 0)
    row_of = np.repeat(np.arange(len(token_ids)), token_ids.lengths)
    is_ngram = row_of[:ends] == row_of[size - 1 :][:ends]
    for at in range(size):
        is_ngram &= token_ids.values[at : at + ends] > UNKNOWN
    if rows is not None:
        is_wanted = np.zeros(len(token_ids), bool)
        is_wanted[rows] = True
        is_ngram &= is_wanted[row_of[:ends]]
    return row_of[:ends][is_ngram], make_keys(token_ids.values, size, vocabulary_size)[is_ngram]


def look_up(keys: Keys, wanted: Keys) -> npt.NDArray[np.int64]:
    """Return the position of each wanted key among ascending keys; -1 where it is not."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def _weigh(
    token_ids: TokenIds,
    keys: Keys,
    idf: npt.NDArray[np.float64],
    vocabulary_size: int,
    longest: int,
) -> csr_matrix:
    """Return (1 + ln count) · idf of each row's n-grams, rows of length 1; (n, k), float32."""
    from scipy import sparse
    from sklearn.preprocessing import normalize

    rows, columns = [], []
    for size in range(1, longest + 1):
        row, key = _find_ngrams(token_ids, size, vocabulary_size)
        at = look_up(keys, key)
        rows.append(row[at >= 0])
        columns.append(at[at >= 0])
    where = (np.concatenate(rows), np.concatenate(columns))
    counts = sparse.coo_matrix(
        (np.ones(len(where[0])), where), shape=(len(token_ids), len(keys))
    ).tocsr()
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    return normalize(counts, copy=False).astype(np.float32)


def _fit(
    weighted: csr_matrix, labels: npt.NDArray[np.int8], c: float
) -> tuple[npt.NDArray[np.float64], float]:
    """Return weight and bias of a logistic regression over n-grams scaled by their class ratio."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    ratio = _measure_ratio(weighted, labels)
    scaled = (weighted @ sparse.diags(ratio.astype(np.float32))).tocsr()
    model = LogisticRegression(C=c, solver="newton-cg", tol=_TOLERANCE)
    model.fit(scaled, labels)
    return model.coef_[0].astype(np.float64) * ratio, float(model.intercept_[0])


def _measure_ratio(weighted: csr_matrix, labels: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Return |log of how much more of the one class's n-grams it is than of the other's| + 0.1."""
    of_class = []
    for label in (1, 0):
        occurrences = weighted[labels == label].indices
        of_class.append(1.0 + np.bincount(occurrences, minlength=weighted.shape[1]))
    positive, negative = of_class
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    result: npt.NDArray[np.float64] = np.abs(ratio) + _LEAST_RATIO
    return result


def _compute_channels(
    token_ids: TokenIds,
    keys: Keys,
    weights: npt.NDArray[np.float64],
    vocabulary_size: int,
    longest: int,
) -> Floats:
    """Return each token's own weight, and that of the longer n-grams that cover it.

    A pair gives each of its two tokens half of its weight, a triple each of its three a third.

    Args:
        token_ids: the texts.
        keys: the n-grams.
        weights: what an n-gram that occurs adds, shape (k,).
        vocabulary_size: ids in use.
        longest: words of the longest n-grams.

    Returns:
        Array of shape (tokens, 2), dtype float32.
    """
    channels = np.zeros((len(token_ids.values), 2), np.float32)
    row_of = np.repeat(np.arange(len(token_ids)), token_ids.lengths)
    for size in range(1, longest + 1):
        ends = max(len(token_ids.values) - size + 1, 0)
        at = look_up(keys, make_keys(token_ids.values, size, vocabulary_size))
        is_ngram = (row_of[:ends] == row_of[size - 1 :][:ends]) & (at >= 0)
        share = np.where(is_ngram, weights[at], 0.0) / size
        for offset in range(size):
            channels[offset : offset + ends, 0 if size == 1 else 1] += share.astype(np.float32)
    return channels
