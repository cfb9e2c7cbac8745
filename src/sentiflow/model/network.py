"""The network: embedding, recurrent layers, pooling, dense layers, softmax over two classes."""

from __future__ import annotations

from typing import Any, Final

import keras

from sentiflow.model.layers import MaskedPooling
from sentiflow.settings import NetworkSettings

_CELLS: Final = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "rnn": keras.layers.SimpleRNN,
}


def build_network(network: NetworkSettings, vocabulary_size: int) -> keras.Model:
    """Return the model token_ids → class probabilities, with fresh weights.

    Args:
        network: cells, widths, pooling and dropout.
        vocabulary_size: number of ids, padding and unknown included.

    Returns:
        A model from int32 (n, steps), 0 = padding on the right, to float32 (n, 2): P(negative)
        and P(positive). Padding changes nothing; a row of padding only is answered too.
    """
    token_ids = keras.Input(shape=(None,), dtype="int32", name="token_ids")
    states: Any = keras.layers.Embedding(
        vocabulary_size, network.embedding, mask_zero=True, name="embedding"
    )(token_ids)
    if network.embedding_dropout:
        states = keras.layers.SpatialDropout1D(network.embedding_dropout, name="embedding_dropout")(
            states
        )
    for index, units in enumerate(network.units):
        is_last = index == len(network.units) - 1
        cell = _CELLS[network.cell](
            units,
            return_sequences=not (is_last and network.pooling == "last"),
            dropout=network.input_dropout,
            recurrent_dropout=network.recurrent_dropout,
            name=f"{network.cell}_{index}",
        )
        if network.bidirectional:
            cell = keras.layers.Bidirectional(cell, name=f"bidirectional_{index}")
        states = cell(states)
    if network.pooling != "last":
        states = MaskedPooling(network.pooling, name="pooling")(states)
    for index, units in enumerate(network.dense):
        states = _dropout(states, network.dropout, f"dropout_{index}")
        states = keras.layers.Dense(units, activation="relu", name=f"dense_{index}")(states)
    states = _dropout(states, network.dropout, "dropout")
    probabilities = keras.layers.Dense(2, activation="softmax", name="probabilities")(states)
    return keras.Model(token_ids, probabilities, name=f"sentiment_{network.cell}")


def _dropout(states: Any, share: float, name: str) -> Any:
    return keras.layers.Dropout(share, name=name)(states) if share else states
