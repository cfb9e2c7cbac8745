"""Make training batches of reviews of like length, so that little is padding.

Reviews are shuffled, cut into pools, sorted by length within a pool and cut into batches;
the batches are shuffled again. Every order follows from (seed, epoch) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sentiflow.model.tokenization import TokenIds

POOL_BATCHES: Final = 50

Padded = npt.NDArray[np.int32] | tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
Batch = tuple[Padded, npt.NDArray[np.int32]]


def plan_epoch(
    lengths: npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[npt.NDArray[np.int64]]:
    """Return the positions of each batch of one training epoch.

    Args:
        lengths: tokens in each of n reviews, shape (n,).
        batch_size: reviews in a batch; the last of a pool may be smaller.
        seed: with `epoch` decides the order.
        epoch: 0-based.

    Returns:
        Arrays of positions that together hold 0 to n - 1 once each.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * POOL_BATCHES):
        pool = order[start : start + batch_size * POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    return [batches[at] for at in random.permutation(len(batches))]


def plan_in_order(lengths: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Return batches of positions sorted by length, for evaluation."""
    order = np.argsort(lengths, kind="stable")
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def pad_batch(
    token_ids: TokenIds, positions: npt.NDArray[np.int64], width: int | None = None
) -> Padded:
    """Return the texts at `positions` right-padded with 0.

    Args:
        token_ids: the token ids of all texts.
        positions: which texts, shape (b,).
        width: columns of the result; None for the longest text's, at least 1.

    Returns:
        Array of shape (b, width), dtype int32; texts longer than `width` are cut. With channels
        a tuple of it and of theirs, shape (b, width, 2), dtype float32.
    """
    starts = token_ids.offsets[positions]
    lengths = token_ids.offsets[positions + 1] - starts
    width = width or max(int(lengths.max(initial=0)), 1)
    columns = np.arange(width)
    is_token = columns < lengths[:, np.newaxis]
    padded = np.zeros((len(positions), width), dtype=np.int32)
    tokens = (starts[:, np.newaxis] + columns)[is_token]
    padded[is_token] = token_ids.values[tokens]
    if token_ids.channels is None:
        return padded
    channels = np.zeros((*padded.shape, token_ids.channels.shape[1]), dtype=np.float32)
    channels[is_token] = token_ids.channels[tokens]
    return padded, channels


def stream_batches(
    token_ids: TokenIds,
    labels: npt.NDArray[np.int8],
    plan: Sequence[npt.NDArray[np.int64]],
    width: int | None = None,
) -> tf.data.Dataset:
    """Return a prefetched dataset of (token_ids (b, steps) int32, labels (b,) int32).

    With channels, what a network reads is (token_ids, channels (b, steps, 2) float32).
    """

    def generate() -> Iterator[Batch]:
        for positions in plan:
            yield pad_batch(token_ids, positions, width), labels[positions].astype(np.int32)

    ids: Any = tf.TensorSpec([None, None], tf.int32)
    if token_ids.channels is not None:
        ids = (ids, tf.TensorSpec([None, None, token_ids.channels.shape[1]], tf.float32))
    batches = tf.data.Dataset.from_generator(
        generate, output_signature=(ids, tf.TensorSpec([None], tf.int32))
    )
    return batches.apply(tf.data.experimental.assert_cardinality(len(plan))).prefetch(2)
