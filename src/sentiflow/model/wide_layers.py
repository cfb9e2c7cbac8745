"""The wide branch and the stack as Keras layers, so that one graph answers a text."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from sentiflow.model.layers import Shortener, find_kept
from sentiflow.model.stack import MOST_CERTAIN, Stack
from sentiflow.model.tokenization import UNKNOWN
from sentiflow.model.wide import WideBranch

_PACKAGE: Final = "sentiflow"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class NgramBranch(keras.layers.Layer):  # type: ignore[misc]
    """Answer right-padded token ids by their n-grams, as `wide.WideBranch` says.

    Args:
        ngrams: number of n-grams known.
        longest: words of the longest of them.
        vocabulary_size: token ids in use; part of an n-gram's key.
    """

    def __init__(self, ngrams: int, longest: int, vocabulary_size: int, **keywords: Any) -> None:
        """Make the weights, empty; `assign` fills them."""
        super().__init__(**keywords)
        self.ngrams, self.longest, self.vocabulary_size = ngrams, longest, vocabulary_size

        def add(name: str, shape: tuple[int, ...], dtype: str = "float32") -> Any:
            return self.add_weight(
                name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False
            )

        self.keys = add("keys", (ngrams,), "int64")
        self.idf = add("idf", (ngrams,))
        self.ngram_weights = add("ngram_weights", (ngrams,))
        self.bias = add("bias", ())
        self.scales = add("scales", (2,))

    def assign(self, branch: WideBranch) -> None:
        """Take over a fitted branch of this layer's sizes."""
        self.keys.assign(branch.keys)
        self.idf.assign(branch.idf)
        self.ngram_weights.assign(branch.weights)
        self.bias.assign(np.float32(branch.bias))
        self.scales.assign(branch.scales)

    def build(self, *_: Any) -> None:
        """Do nothing: the weights' shapes do not depend on the input."""
        self.built = True

    def call(self, token_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Answer (n, steps) ids, 0 = padding on the right.

        Returns:
            The log-odds, float32 (n,), and each token's channels, float32 (n, steps, 2).
        """
        token_ids = tf.cast(token_ids, tf.int64)
        found, channels = [], [tf.zeros(tf.shape(token_ids), tf.float32)] * 2
        for size in range(1, self.longest + 1):
            at, is_ngram = self._look_up(token_ids, size)
            found.append(tf.where(is_ngram, at, -1))
            weights = tf.gather(self.ngram_weights, at) * tf.gather(self.idf, at)
            share = tf.where(is_ngram, weights, 0.0) / size
            which = 0 if size == 1 else 1
            for offset in range(size):
                shifted = tf.pad(share, [[0, 0], [offset, 0]])[:, : tf.shape(share)[1]]
                channels[which] = channels[which] + shifted
        logits = self._add_up(tf.concat(found, axis=1))
        return logits, tf.stack(channels, axis=2) / self.scales

    def _look_up(self, token_ids: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the place of the n-gram that begins at each token, and whether there is one."""
        steps = tf.shape(token_ids)[1]
        padded = tf.pad(token_ids, [[0, 0], [0, size - 1]])
        keys = tf.zeros_like(token_ids)
        are_words = tf.ones_like(token_ids, tf.bool)
        for at in range(size):
            following = padded[:, at : at + steps]
            keys = keys * self.vocabulary_size + following
            are_words = are_words & (following > UNKNOWN)
        places = tf.searchsorted(self.keys, tf.reshape(keys, [-1]))
        places = tf.minimum(tf.reshape(places, tf.shape(keys)), self.ngrams - 1)
        return places, are_words & (tf.gather(self.keys, places) == keys)

    def _add_up(self, found: tf.Tensor) -> tf.Tensor:
        """Return the log-odds of rows of places of n-grams, -1 = none."""
        rows = tf.shape(found)[0]
        where = tf.where(found >= 0)
        places = tf.cast(tf.gather_nd(found, where), tf.int64)
        pairs, _, counts = tf.unique_with_counts(where[:, 0] * self.ngrams + places)
        row, place = pairs // self.ngrams, pairs % self.ngrams
        values = (1 + tf.math.log(tf.cast(counts, tf.float32))) * tf.gather(self.idf, place)
        squares = tf.math.unsorted_segment_sum(values * values, row, rows)
        sums = tf.math.unsorted_segment_sum(
            values * tf.gather(self.ngram_weights, place), row, rows
        )
        return tf.math.divide_no_nan(sums, tf.sqrt(squares)) + self.bias

    def compute_output_spec(self, token_ids: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return the symbolic outputs."""
        rows, steps = token_ids.shape
        return (
            keras.KerasTensor((rows,), dtype="float32"),
            keras.KerasTensor((rows, steps, 2), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {
            **super().get_config(),
            "ngrams": self.ngrams,
            "longest": self.longest,
            "vocabulary_size": self.vocabulary_size,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ShortenChannels(Shortener):
    """Keep the channels of the tokens that `HeadAndTail` keeps; its settings are the same."""

    def call(self, channels: tf.Tensor, token_ids: tf.Tensor) -> tf.Tensor:
        """Shorten (n, any, 2) beside their ids (n, any) to (n, 1 to length, 2)."""
        positions = find_kept(token_ids, self.length, self.head_share)
        return tf.gather(tf.pad(channels, [[0, 0], [0, 1], [0, 0]]), positions, batch_dims=1)

    def compute_output_spec(self, channels: Any, token_ids: Any) -> keras.KerasTensor:  # noqa: ARG002
        """Return the symbolic output."""
        return keras.KerasTensor((channels.shape[0], None, 2), dtype="float32")


@keras.saving.register_keras_serializable(package=_PACKAGE)
class StackBranches(keras.layers.Layer):  # type: ignore[misc]
    """Join what both branches say, as `stack.Stack` says."""

    def __init__(self, **keywords: Any) -> None:
        """Make the three weights, zero; `assign` fills them."""
        super().__init__(**keywords)
        self.weights_of = self.add_weight(
            name="weights_of", shape=(3,), initializer="zeros", trainable=False
        )

    def assign(self, stack: Stack) -> None:
        """Take over a fitted stack."""
        self.weights_of.assign([stack.wide, stack.deep, stack.bias])

    def build(self, *_: Any) -> None:
        """Do nothing: the weights' shape does not depend on the input."""
        self.built = True

    def call(self, wide: tf.Tensor, deep: tf.Tensor) -> tf.Tensor:
        """Join log-odds (n,) and class probabilities (n, 2) to class probabilities (n, 2)."""
        logits = tf.linalg.matvec(self.read(wide, deep), self.weights_of[:2]) + self.weights_of[2]
        positive = tf.sigmoid(logits)
        return tf.stack([1 - positive, positive], axis=1)

    def read(self, wide: tf.Tensor, deep: tf.Tensor) -> tf.Tensor:
        """Return both branches' log-odds, (n, 2)."""
        deep = tf.math.log(tf.clip_by_value(deep, 1 - MOST_CERTAIN, MOST_CERTAIN))
        return tf.stack([wide, deep[:, 1] - deep[:, 0]], axis=1)

    def compute_output_spec(self, wide: Any, deep: Any) -> keras.KerasTensor:
        """Return the symbolic output."""
        del wide
        return keras.KerasTensor(deep.shape, dtype="float32")
