"""The project's own Keras parts, registered so that a saved model names them."""

from __future__ import annotations

from typing import Any, Final, Literal

import keras
import tensorflow as tf

_PACKAGE: Final = "sentiflow"

# RE2 patterns, applied in this order to lower-cased text.
_HTML_TAG: Final = r"</?[a-z][^<>]{0,200}>"
_HTML_ENTITY: Final = r"&(amp|nbsp|quot|lt|gt|#[0-9]{1,7});"
_APOSTROPHE: Final = "[\u2018\u2019\u02bc\u00b4`]|&#0?39;|&apos;|&rsquo;"
_NOT_A_TOKEN: Final = r"[^\p{L}\p{M}\p{N}\p{So}\p{Sk}'!?]"
_TOKEN_OF_ITS_OWN: Final = r"[!?\p{So}\p{Han}\p{Hiragana}\p{Katakana}]"
_QUOTING_APOSTROPHE: Final = r"(^|\s)'+|'+(\s|$)"


@keras.saving.register_keras_serializable(package=_PACKAGE)  # type: ignore[untyped-decorator]
def standardize_texts(texts: tf.Tensor) -> tf.Tensor:
    """Return the texts as words separated by spaces, keeping what carries sentiment.

    Negations keep their apostrophe, curly or straight; `!`, `?`, emoji and CJK characters
    stand alone; HTML tags and entities and all other punctuation become spaces.

    Args:
        texts: string tensor of any shape; bytes that are no UTF-8 are replaced by U+FFFD.

    Returns:
        String tensor of the same shape.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _HTML_TAG, " ")
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    texts = tf.strings.regex_replace(texts, _HTML_ENTITY, " ")
    texts = tf.strings.regex_replace(texts, _NOT_A_TOKEN, " ")
    texts = tf.strings.regex_replace(texts, _TOKEN_OF_ITS_OWN, r" \0 ")
    return tf.strings.regex_replace(texts, _QUOTING_APOSTROPHE, " ")


@keras.saving.register_keras_serializable(package=_PACKAGE)
class HeadAndTail(keras.layers.Layer):  # type: ignore[misc]
    """Shorten long rows of token ids to their first and last tokens.

    >>> HeadAndTail(4, 0.5)([[1, 2, 3, 4, 5, 6]])  # doctest: +SKIP
    [[1, 2, 5, 6]]

    Args:
        length: most tokens kept of a row.
        head_share: share of `length` taken from the start, 0 to 1.
    """

    def __init__(self, length: int, head_share: float, **keywords: Any) -> None:
        """Keep the settings."""
        super().__init__(**keywords)
        self.length = length
        self.head_share = head_share

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Shorten (n, any) int ids, 0 = padding on the right, to int32 (n, 1 to length)."""
        token_ids = tf.cast(token_ids, tf.int32)
        # One column of padding keeps a batch of empty texts from having no time step.
        token_ids = tf.pad(token_ids, [[0, 0], [0, 1]])
        lengths = tf.math.count_nonzero(token_ids, axis=1, keepdims=True, dtype=tf.int32)
        width = tf.clip_by_value(tf.shape(token_ids)[1] - 1, 1, self.length)
        positions = tf.range(width)[tf.newaxis, :]
        head = round(self.length * self.head_share)
        skipped = tf.maximum(lengths - self.length, 0)
        positions = tf.where(positions < head, positions, positions + skipped)
        return tf.gather(token_ids, positions, batch_dims=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (n, unknown)."""
        return (input_shape[0], None)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Return the symbolic output: int32 of shape (n, unknown)."""
        return keras.KerasTensor((inputs.shape[0], None), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "length": self.length, "head_share": self.head_share}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class MaskedPooling(keras.layers.Layer):  # type: ignore[misc]
    """Pool the time steps that are no padding; all padding gives zeros.

    Args:
        mode: `mean`, `max` or `mean_max` (both, side by side).
    """

    def __init__(self, mode: Literal["mean", "max", "mean_max"], **keywords: Any) -> None:
        """Keep the mode."""
        super().__init__(**keywords)
        self.mode = mode
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Pooled rows have no time steps left to mask."""

    def call(self, states: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Pool (n, steps, width) float32 under the mask (n, steps) to (n, width or 2 width)."""
        if mask is None:
            mask = tf.ones(tf.shape(states)[:2], tf.bool)
        present = tf.cast(mask, states.dtype)[:, :, tf.newaxis]
        pooled = []
        if self.mode in ("mean", "mean_max"):
            counts = tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
            pooled.append(tf.reduce_sum(states * present, axis=1) / counts)
        if self.mode in ("max", "mean_max"):
            lowest = states.dtype.min
            highest = tf.reduce_max(tf.where(present > 0, states, lowest), axis=1)
            pooled.append(tf.where(highest > lowest, highest, 0.0))
        return tf.concat(pooled, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (n, width) or (n, 2 width)."""
        width = input_shape[-1]
        assert width is not None
        return (input_shape[0], 2 * width if self.mode == "mean_max" else width)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "mode": self.mode}
