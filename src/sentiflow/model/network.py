"""The network: embedding, recurrent layers, pooling, dense layers, softmax over two classes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import keras

from sentiflow.model.layers import (
    AttentionPooling,
    FusedLSTM,
    Pooling,
    ReverseSteps,
    TokenCount,
    WordDropout,
)
from sentiflow.model.tokenization import UNKNOWN
from sentiflow.settings import NetworkSettings

# What the wide branch says of a token: its own weight, and that of longer n-grams over it.
CHANNELS: Final = 2
_ATTENTION_UNITS: Final = 32
_CELLS: Final = {
    "lstm": FusedLSTM,
    "gru": keras.layers.GRU,
    "rnn": keras.layers.SimpleRNN,
}


def build_network(network: NetworkSettings, vocabulary_size: int, seed: int = 0) -> keras.Model:
    """Return the model token_ids (and channels) → class probabilities, with fresh weights.

    Args:
        network: cells, widths, pooling and dropout.
        vocabulary_size: number of ids, padding and unknown included.
        seed: the fresh weights follow from it alone. Keras by itself draws them from the random
            numbers of the whole process, of which any thread may take some in between.

    Returns:
        A model from int32 (n, steps), 0 = padding on the right, to float32 (n, 2): P(negative)
        and P(positive). Padding changes nothing; a row of padding only is answered too.
        With channels the inputs are the ids and float32 (n, steps, 2), see `wide.py`.
    """
    seeds = _draw_seeds(seed)
    pooling = network.pooling
    if pooling == "auto":
        pooling = "attention" if network.has_channels else "mean_max"
    token_ids = keras.Input(shape=(None,), dtype="int32", name="token_ids")
    lengths = TokenCount(name="lengths")(token_ids)
    words: Any = token_ids
    if network.word_dropout:
        words = WordDropout(network.word_dropout, UNKNOWN, seed=next(seeds), name="word_dropout")(
            words
        )
    embedded: Any = keras.layers.Embedding(
        vocabulary_size,
        network.embedding,
        embeddings_initializer=keras.initializers.RandomUniform(seed=next(seeds)),
        name="embedding",
    )(words)
    embedded = _dropout(embedded, network.embedding_dropout, "embedding_dropout", seeds)
    states, inputs = embedded, [token_ids]
    if network.has_channels:
        channels = keras.Input(shape=(None, CHANNELS), dtype="float32", name="channels")
        states = keras.layers.Concatenate(name="with_channels")([embedded, channels])
        inputs.append(channels)
    for index, units in enumerate(network.units):
        states = _read_both_ways(
            states, lengths, network, units, index, pooling == "attention", seeds
        )
    if pooling == "attention":
        attention = AttentionPooling(_ATTENTION_UNITS, seed=next(seeds), name="pooling")
        pooled = attention(states, lengths)
    else:
        pooled = Pooling(pooling, name="pooling")(states, lengths)
    if network.embedding_skip:
        mean = Pooling("mean", name="embedding_mean")(embedded, lengths)
        pooled = keras.layers.Concatenate(name="with_embedding_mean")([pooled, mean])
    for index, units in enumerate(network.dense):
        pooled = _dropout(pooled, network.dropout, f"dropout_{index}", seeds)
        pooled = keras.layers.Dense(
            units,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            name=f"dense_{index}",
        )(pooled)
    pooled = _dropout(pooled, network.dropout, "dropout", seeds)
    probabilities = keras.layers.Dense(
        2,
        activation="softmax",
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        name="probabilities",
    )(pooled)
    return keras.Model(
        inputs if network.has_channels else token_ids,
        probabilities,
        name=f"sentiment_{network.cell}",
    )


def _draw_seeds(seed: int) -> Iterator[int]:
    """Give one seed after another, the ones that Keras draws after `set_random_seed`."""
    draw = random.Random(seed)
    while True:
        yield draw.randint(1, 1_000_000_000)


def _read_both_ways(
    states: Any,
    lengths: Any,
    network: NetworkSettings,
    units: int,
    index: int,
    is_aligned: bool,
    seeds: Iterator[int],
) -> Any:
    """Run one recurrent layer forwards and, where asked for, another one backwards.

    The backward states of the last layer stay in reading order unless they must be aligned: every
    pooling but attention takes either all steps alike or, as `last`, the step that has read the
    whole text.
    """

    def read(sequence: Any, direction: str) -> Any:
        return _CELLS[network.cell](
            units,
            return_sequences=True,
            dropout=network.input_dropout,
            recurrent_dropout=network.recurrent_dropout,
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
            seed=next(seeds),
            name=f"{network.cell}_{index}_{direction}",
        )(sequence)

    forward = read(states, "forward")
    if not network.bidirectional:
        return forward
    reversed_states = ReverseSteps(name=f"reversed_{index}")(states, lengths)
    backward = read(reversed_states, "backward")
    if is_aligned or index < len(network.units) - 1:
        backward = ReverseSteps(name=f"realigned_{index}")(backward, lengths)
    return keras.layers.Concatenate(name=f"both_ways_{index}")([forward, backward])


def _dropout(states: Any, share: float, name: str, seeds: Iterator[int]) -> Any:
    if not share:
        return states
    return keras.layers.Dropout(share, seed=next(seeds), name=name)(states)
