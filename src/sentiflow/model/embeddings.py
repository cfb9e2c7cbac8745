"""Start the embedding from word vectors of the training texts, not from noise.

With some ten thousand reviews an embedding that starts from noise overfits before it has
learned which words are alike. Which words are alike can be read off the same training rows:
words with the same neighbours get like vectors.

Positive pointwise mutual information of words within a window, weighted by 1 / distance,
factorized by a truncated SVD: Levy, Goldberg and Dagan, "Improving Distributional
Similarity with Lessons Learned from Word Embeddings", TACL 2015 (context distribution
smoothing, section 3.2; square root of the singular values, section 3.3).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sentiflow.model.tokenization import UNKNOWN, TokenIds

WINDOW: Final = 5
_SMOOTHING: Final = 0.75
# Standard deviation of the vectors' entries. Of 0.1 and 0.4 the latter did better on validation
# rows, but with averaged weights beside it: docs/results.md.
_SPREAD: Final = 0.4


def fit_word_vectors(
    token_ids: TokenIds, vocabulary_size: int, width: int, seed: int
) -> npt.NDArray[np.float32]:
    """Return a vector for each token id, from the words it stands beside.

    Args:
        token_ids: the training texts.
        vocabulary_size: ids in use, padding and unknown included.
        width: entries of a vector.
        seed: of the randomized SVD.

    Returns:
        Array of shape (vocabulary_size, width), dtype float32, mean square 0.4² over the words
        that occur; padding, unknown and words without neighbours get small noise.
    """
    random = np.random.default_rng(seed)
    vectors = random.normal(0, 0.05, (vocabulary_size, width)).astype(np.float32)
    information = _measure_information(_count_neighbours(token_ids, vocabulary_size))
    rank = min(width, vocabulary_size - 1)
    left, singular, _ = randomized_svd(information, rank, n_iter=4, random_state=seed)
    factors = left * np.sqrt(singular)
    is_known = np.asarray(information.sum(axis=1)).ravel() > 0
    if is_known.any():
        factors *= _SPREAD / max(float(np.sqrt(np.square(factors[is_known]).mean())), 1e-12)
        vectors[is_known, :rank] = factors[is_known]
    return vectors


def _count_neighbours(token_ids: TokenIds, vocabulary_size: int) -> sparse.csr_matrix:
    """Return how often word pairs stand within WINDOW, each weighted by 1 / distance."""
    texts = np.repeat(np.arange(len(token_ids)), token_ids.lengths)
    shape = (vocabulary_size, vocabulary_size)
    counts = sparse.csr_matrix(shape, dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        left, right = token_ids.values[:-distance], token_ids.values[distance:]
        is_pair = (texts[:-distance] == texts[distance:]) & (left > UNKNOWN) & (right > UNKNOWN)
        weights = np.full(int(is_pair.sum()), 1 / distance, np.float32)
        counts += sparse.csr_matrix((weights, (left[is_pair], right[is_pair])), shape=shape)
    return (counts + counts.T).tocsr()


def _measure_information(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return max(0, log(P(word, context) / (P(word) P(context)))) of every pair that occurs."""
    pairs = counts.tocoo()
    words = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    contexts = words**_SMOOTHING
    total, all_contexts = words.sum(), contexts.sum()
    if total == 0:
        return counts
    expected = words[pairs.row] / total * contexts[pairs.col] / all_contexts
    information = np.log(pairs.data / total / expected)
    is_positive = information > 0
    return sparse.csr_matrix(
        (
            information[is_positive].astype(np.float32),
            (pairs.row[is_positive], pairs.col[is_positive]),
        ),
        shape=counts.shape,
    )
