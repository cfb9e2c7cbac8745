"""The project's own Keras parts, registered so that a saved model names them."""

from __future__ import annotations

from typing import Any, Final, Literal

import keras
import tensorflow as tf

_PACKAGE: Final = "sentiflow"

_SPACE: Final = 0x20
# RE2 patterns, applied in this order to lower-cased text.
_HTML_TAG: Final = r"</?[a-z][^<>]{0,200}>"
_HTML_ENTITY: Final = r"&(amp|nbsp|quot|lt|gt|#[0-9]{1,7});"
_APOSTROPHE: Final = "[\u2018\u2019\u02bc\u00b4`]|&#0?39;|&apos;|&rsquo;"
# U+FFFD stands for what could not be read, though Unicode files it among the symbols.
_NOT_A_TOKEN: Final = "\ufffd|" + r"[^\p{L}\p{M}\p{N}\p{So}\p{Sk}'!?]"
_TOKEN_OF_ITS_OWN: Final = r"[!?\p{So}\p{Han}\p{Hiragana}\p{Katakana}]"
_QUOTING_APOSTROPHE: Final = r"(^|\s)'+|'+(\s|$)"


@keras.saving.register_keras_serializable(package=_PACKAGE)  # type: ignore[untyped-decorator]
def standardize_texts(texts: tf.Tensor) -> tf.Tensor:
    """Return the texts as words separated by spaces, keeping what carries sentiment.

    Negations keep their apostrophe, curly or straight; `!`, `?`, emoji and CJK characters
    stand alone; HTML tags and entities and all other punctuation become spaces.

    Args:
        texts: string tensor of any shape; bytes that are no UTF-8 count as spaces.

    Returns:
        String tensor of the same shape.
    """
    # Lower-casing would end a text at a NUL, so control characters go first.
    texts = tf.strings.unicode_transcode(
        texts,
        "UTF-8",
        "UTF-8",
        errors="replace",
        replacement_char=_SPACE,
        replace_control_characters=True,
    )
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _HTML_TAG, " ")
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    texts = tf.strings.regex_replace(texts, _HTML_ENTITY, " ")
    texts = tf.strings.regex_replace(texts, _NOT_A_TOKEN, " ")
    texts = tf.strings.regex_replace(texts, _TOKEN_OF_ITS_OWN, r" \0 ")
    return tf.strings.regex_replace(texts, _QUOTING_APOSTROPHE, " ")


# One column of padding keeps a batch of empty texts from having no time step.
_ONE_MORE: Final = ((0, 0), (0, 1))


def find_kept(token_ids: tf.Tensor, length: int, head_share: float) -> tf.Tensor:
    """Return which positions of padded rows are kept: head and tail of the long ones.

    Args:
        token_ids: (n, any) int ids, 0 = padding on the right.
        length: most tokens kept of a row.
        head_share: share of `length` taken from the start, 0 to 1.

    Returns:
        int32 (n, 1 to length), positions within the ids and one more column of padding.
    """
    token_ids = tf.pad(tf.cast(token_ids, tf.int32), _ONE_MORE)
    lengths = tf.math.count_nonzero(token_ids, axis=1, keepdims=True, dtype=tf.int32)
    width = tf.clip_by_value(tf.shape(token_ids)[1] - 1, 1, length)
    positions = tf.range(width)[tf.newaxis, :]
    skipped = tf.maximum(lengths - length, 0)
    return tf.where(positions < round(length * head_share), positions, positions + skipped)


class Shortener(keras.layers.Layer):  # type: ignore[misc]
    """What keeps the first and last tokens of long rows: its settings.

    Args:
        length: most tokens kept of a row.
        head_share: share of `length` taken from the start, 0 to 1.
    """

    def __init__(self, length: int, head_share: float, **keywords: Any) -> None:
        """Keep the settings."""
        super().__init__(**keywords)
        self.length = length
        self.head_share = head_share

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "length": self.length, "head_share": self.head_share}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class HeadAndTail(Shortener):
    """Shorten long rows of token ids to their first and last tokens.

    >>> HeadAndTail(4, 0.5)(keras.ops.array([[1, 2, 3, 4, 5, 6]])).numpy().tolist()
    [[1, 2, 5, 6]]
    """

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Shorten (n, any) int ids, 0 = padding on the right, to int32 (n, 1 to length)."""
        positions = find_kept(token_ids, self.length, self.head_share)
        return tf.gather(tf.pad(tf.cast(token_ids, tf.int32), _ONE_MORE), positions, batch_dims=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (n, unknown)."""
        return (input_shape[0], None)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Return the symbolic output: int32 of shape (n, unknown)."""
        return keras.KerasTensor((inputs.shape[0], None), dtype="int32")


# At 32 units a training step takes three quarters of the loop's CPU time (88 ms against 117, one
# run beside other work, 2026-12-01); at 64 units others found no gain, at 128 a loss.
_MOST_UNITS_TRAINED_FUSED: Final = 48


@keras.saving.register_keras_serializable(package=_PACKAGE)
class FusedLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """An LSTM that answers, and where it is faster trains, in one TensorFlow kernel.

    Keras runs some ten small operations per step; the fused kernel (`BlockLSTMV2`) halves the
    time of one answer and differs from the loop by rounding only. Weights are those of
    `keras.layers.LSTM`.
    """

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        """Run over (n, steps, width) float32; returns last output, outputs and final states."""
        is_wide = training and self.units > _MOST_UNITS_TRAINED_FUSED
        has_dropout = training and (self.dropout or self.recurrent_dropout)
        loop_is_needed = is_wide or has_dropout or mask is not None or self.go_backwards
        if loop_is_needed or self.compute_dtype != "float32":
            return super().inner_loop(sequences, initial_state, mask, training=training)
        outputs, cells = _run_lstm(
            tf.transpose(sequences, [1, 0, 2]),
            *initial_state,
            tf.concat([self.cell.kernel, self.cell.recurrent_kernel], axis=0),
            tf.convert_to_tensor(self.cell.bias),
        )
        outputs = tf.transpose(outputs, [1, 0, 2])
        return outputs[:, -1], outputs, [outputs[:, -1], cells[-1]]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _run_lstm(
    inputs: tf.Tensor, output: tf.Tensor, cell: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
) -> Any:
    """Return outputs and cell states of all steps, each (steps, n, units).

    TensorFlow registers the gradient of the first version of the kernel for the second, whose
    gates are in another order: training would run and learn badly. So the gradient is named here.

    Args:
        inputs: (steps, n, width).
        output: h before the first step, (n, units).
        cell: c before the first step, (n, units).
        kernel: (width + units, 4 units), gates in Keras' order: input, forget, cell, output.
        bias: (4 units,).
    """
    no_peephole = tf.zeros([tf.shape(cell)[1]], inputs.dtype)
    given = {
        "seq_len_max": tf.shape(inputs, out_type=tf.int64)[0],
        "x": inputs,
        "cs_prev": cell,
        "h_prev": output,
        "w": kernel,
        "wci": no_peephole,
        "wcf": no_peephole,
        "wco": no_peephole,
        "b": bias,
        "use_peephole": False,
    }
    states = tf.raw_ops.BlockLSTMV2(**given, cell_clip=-1.0)

    def compute_gradients(outputs_gradient: tf.Tensor, cells_gradient: tf.Tensor) -> Any:
        gradients = tf.raw_ops.BlockLSTMGradV2(
            **given,
            i=states.i,
            cs=states.cs,
            f=states.f,
            o=states.o,
            ci=states.ci,
            co=states.co,
            h=states.h,
            cs_grad=cells_gradient,
            h_grad=outputs_gradient,
        )
        return (
            gradients.x_grad,
            gradients.h_prev_grad,
            gradients.cs_prev_grad,
            gradients.w_grad,
            gradients.b_grad,
        )

    return (states.h, states.cs), compute_gradients


@keras.saving.register_keras_serializable(package=_PACKAGE)
class WordDropout(keras.layers.Layer):  # type: ignore[misc]
    """In training only, hide words: replace token ids by the unknown token's at random.

    Args:
        rate: share of words hidden, 0 to 1.
        unknown: the unknown token's id.
    """

    def __init__(self, rate: float, unknown: int, seed: int | None = None, **keywords: Any) -> None:
        """Keep the settings; the seed only starts the random numbers, so it is not one of them."""
        super().__init__(**keywords)
        self.rate = rate
        self.unknown = unknown
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Hide words of (n, steps) int32; padding, 0, stays."""
        if not training:
            return token_ids
        chance = keras.random.uniform(tf.shape(token_ids), seed=self.seed_generator)
        return tf.where((chance < self.rate) & (token_ids > 0), self.unknown, token_ids)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape."""
        return input_shape

    def compute_output_spec(self, inputs: Any, training: bool = False) -> keras.KerasTensor:  # noqa: ARG002
        """Return the symbolic output: as the input."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "rate": self.rate, "unknown": self.unknown}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ReverseSteps(keras.layers.Layer):  # type: ignore[misc]
    """Reverse each row's tokens and leave its padding on the right.

    A recurrent layer over the reversed rows reads backwards and, like the forward one, meets
    padding only after the last token. So neither needs a mask inside its loop.
    """

    def call(self, states: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Reverse (n, steps, width) within lengths (n,) int32."""
        return tf.reverse_sequence(states, lengths, seq_axis=1, batch_axis=0)

    def compute_output_shape(
        self,
        states_shape: tuple[int | None, ...],
        lengths_shape: tuple[int | None, ...] | None = None,  # noqa: ARG002
    ) -> tuple[int | None, ...]:
        """Return the input's shape."""
        return states_shape


@keras.saving.register_keras_serializable(package=_PACKAGE)
class TokenCount(keras.layers.Layer):  # type: ignore[misc]
    """Count the tokens of each row of right-padded token ids."""

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Count in (n, steps) int32; returns (n,) int32."""
        return tf.math.count_nonzero(token_ids, axis=1, dtype=tf.int32)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Return the symbolic output: int32 of shape (n,)."""
        return keras.KerasTensor((inputs.shape[0],), dtype="int32")


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Pooling(keras.layers.Layer):  # type: ignore[misc]
    """Pool each row's time steps up to its length; a row without tokens gives zeros.

    Args:
        mode: `last`, `mean`, `max` or `mean_max` (both, side by side).
    """

    def __init__(self, mode: Literal["last", "mean", "max", "mean_max"], **keywords: Any) -> None:
        """Keep the mode."""
        super().__init__(**keywords)
        self.mode = mode

    def call(self, states: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Pool (n, steps, width) float32 under lengths (n,) int32 to (n, width or 2 width)."""
        present = tf.sequence_mask(lengths, tf.shape(states)[1], states.dtype)[:, :, tf.newaxis]
        counts = tf.cast(lengths, states.dtype)[:, tf.newaxis]
        pooled = []
        if self.mode == "last":
            last = tf.gather(states, tf.maximum(lengths - 1, 0), batch_dims=1)
            pooled.append(last * tf.minimum(counts, 1.0))
        if self.mode in ("mean", "mean_max"):
            pooled.append(tf.reduce_sum(states * present, axis=1) / tf.maximum(counts, 1.0))
        if self.mode in ("max", "mean_max"):
            highest = tf.reduce_max(tf.where(present > 0, states, states.dtype.min), axis=1)
            pooled.append(tf.where(counts > 0, highest, 0.0))
        return tf.concat(pooled, axis=-1)

    def compute_output_shape(
        self,
        states_shape: tuple[int | None, ...],
        lengths_shape: tuple[int | None, ...] | None = None,  # noqa: ARG002
    ) -> tuple[int | None, ...]:
        """Return (n, width) or (n, 2 width)."""
        width = states_shape[-1]
        assert width is not None
        return (states_shape[0], 2 * width if self.mode == "mean_max" else width)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class AttentionPooling(keras.layers.Layer):  # type: ignore[misc]
    """Average each row's time steps, weighted by what a small network makes of each.

    Additive attention of one query: Yang et al., "Hierarchical Attention Networks for Document
    Classification", NAACL 2016, equations 5 to 7. A row without tokens gives zeros.

    Args:
        units: width of the hidden layer.
    """

    def __init__(self, units: int, seed: int | None = None, **keywords: Any) -> None:
        """Keep the width; the seed only starts the weights, so it is not one of the settings."""
        super().__init__(**keywords)
        self.units = units
        start = keras.initializers.GlorotUniform(seed=seed)
        self.hidden = keras.layers.Dense(
            units, activation="tanh", kernel_initializer=start, name="hidden"
        )
        self.query = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="query")

    def build(self, states_shape: tuple[int | None, ...], *_: Any) -> None:
        """Make the weights for (n, steps, width)."""
        self.hidden.build(states_shape)
        self.query.build((*states_shape[:-1], self.units))
        super().build(states_shape)

    def call(self, states: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Pool (n, steps, width) float32 under lengths (n,) int32 to (n, width)."""
        present = tf.sequence_mask(lengths, tf.shape(states)[1])[:, :, tf.newaxis]
        scores = tf.where(present, self.query(self.hidden(states)), -1e9)
        weights = tf.where(present, tf.nn.softmax(scores, axis=1), 0.0)
        return tf.reduce_sum(states * weights, axis=1)

    def compute_output_shape(
        self,
        states_shape: tuple[int | None, ...],
        lengths_shape: tuple[int | None, ...] | None = None,  # noqa: ARG002
    ) -> tuple[int | None, ...]:
        """Return (n, width)."""
        return (states_shape[0], states_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs."""
        return {**super().get_config(), "units": self.units}
