import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sentiflow.model.layers import AttentionPooling, FusedLSTM, Pooling, WordDropout
from sentiflow.model.network import build_network
from sentiflow.settings import NetworkSettings

SHAPES = [
    NetworkSettings(
        wide=False, cell=cell, units=(4,), embedding=5, pooling=pooling, bidirectional=both
    )
    for cell, pooling, both in itertools.product(
        ("lstm", "gru", "rnn"), ("last", "mean_max"), (True, False)
    )
] + [
    NetworkSettings(wide=False, units=(4, 3), embedding=5, dense=(6, 4), pooling="max"),
    NetworkSettings(
        wide=False, units=(4,), embedding=5, pooling="mean", embedding_skip=False, dropout=0
    ),
]


@pytest.fixture(
    params=SHAPES, ids=lambda shape: f"{shape.cell}-{shape.pooling}-{shape.bidirectional}"
)
def network(request: pytest.FixtureRequest):
    return build_network(request.param, 20)


def test_every_network_answers_with_two_probabilities(network) -> None:
    answers = network(np.array([[3, 4, 5], [7, 0, 0]], np.int32)).numpy()
    assert answers.shape == (2, 2)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)


def test_padding_changes_nothing(network) -> None:
    short = network(np.array([[3, 4, 5]], np.int32)).numpy()
    padded = network(np.array([[3, 4, 5, 0, 0, 0, 0]], np.int32)).numpy()
    np.testing.assert_allclose(short, padded, atol=1e-6)


def test_order_matters_to_every_network(network) -> None:
    one = network(np.array([[3, 4, 5, 6]], np.int32)).numpy()
    other = network(np.array([[6, 5, 4, 3]], np.int32)).numpy()
    assert np.abs(one - other).max() > 1e-7


def test_a_row_of_padding_and_a_row_of_unknowns_are_answered(network) -> None:
    answers = network(np.array([[0, 0, 0], [1, 1, 1]], np.int32)).numpy()
    assert np.isfinite(answers).all()


def test_pooling_leaves_out_masked_steps() -> None:
    states = np.array([[[1.0, -5.0], [3.0, -1.0], [99.0, 99.0]]], np.float32)
    two = np.array([2], np.int32)
    assert Pooling("last")(states, two).numpy().tolist() == [[3.0, -1.0]]
    assert Pooling("mean")(states, two).numpy().tolist() == [[2.0, -3.0]]
    assert Pooling("max")(states, two).numpy().tolist() == [[3.0, -1.0]]
    assert Pooling("mean_max")(states, two).numpy().tolist() == [[2.0, -3.0, 3.0, -1.0]]


@pytest.mark.parametrize("mode", ["last", "mean", "max", "mean_max"])
def test_pooling_of_nothing_is_zero(mode: str) -> None:
    pooled = Pooling(mode)(np.ones((1, 2, 2), np.float32), np.array([0], np.int32)).numpy()
    assert not pooled.any()


def test_words_are_hidden_in_training_only_and_padding_never() -> None:
    ids = np.array([[5] * 1_000 + [0] * 1_000], np.int32)
    layer = WordDropout(0.3, 1)
    assert np.array_equal(layer(ids).numpy(), ids)
    hidden = layer(ids, training=True).numpy()
    assert not hidden[0, 1_000:].any()
    assert set(hidden[0, :1_000].tolist()) == {1, 5}
    assert 0.2 < (hidden[0, :1_000] == 1).mean() < 0.4


def test_reading_backwards_ends_at_the_first_word() -> None:
    shape = NetworkSettings(
        wide=False, units=(4,), embedding=5, pooling="last", embedding_skip=False
    )
    network = build_network(shape, 20)
    # `last` of the backward half has read everything: with a text of one other first word the
    # whole answer changes, however long the text is.
    one = network(np.array([[3, *[4] * 5]], np.int32)).numpy()
    other = network(np.array([[9, *[4] * 5]], np.int32)).numpy()
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_stacked_layers_read_as_keras_own_bidirectional_does(cell: str) -> None:
    shape = NetworkSettings(wide=False, cell=cell, units=(4, 3), embedding=5)
    network = build_network(shape, 20)
    token_ids = np.array([[3, 4, 5, 6, 7, 2]], np.int32)
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[cell]
    oracle = keras.layers.Bidirectional(kind(4, return_sequences=True))
    embedded = network.get_layer("embedding")(token_ids)
    oracle.build(embedded.shape)
    weights = [
        network.get_layer(f"{cell}_0_{way}").get_weights() for way in ("forward", "backward")
    ]
    oracle.set_weights(weights[0] + weights[1])
    states = keras.Model(network.input, network.get_layer("both_ways_0").output)(token_ids)
    np.testing.assert_allclose(states, oracle(embedded), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 37])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_the_fused_lstm_answers_and_learns_as_keras_own(steps: int, return_sequences: bool) -> None:
    random = np.random.default_rng(0)
    sequences = random.normal(size=(3, steps, 5)).astype(np.float32) * 3
    fused, plain = (
        kind(4, return_sequences=return_sequences, return_state=True)
        for kind in (FusedLSTM, keras.layers.LSTM)
    )
    plain.build(sequences.shape)
    fused.build(sequences.shape)
    weights = [random.normal(size=weight.shape) for weight in plain.get_weights()]
    plain.set_weights(weights)
    fused.set_weights(weights)
    for one, other in zip(fused(sequences), plain(sequences), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(
        fused(sequences, training=True), plain(sequences, training=True), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_fused_lstm_leaves_dropout_and_wide_layers_to_keras() -> None:
    sequences = np.random.default_rng(2).normal(size=(2, 6, 3)).astype(np.float32)
    for units, dropout in ((4, 0.5), (64, 0.0)):
        answers = []
        for kind in (FusedLSTM, keras.layers.LSTM):
            layer = kind(units, dropout=dropout, seed=7)
            layer.build(sequences.shape)
            draw = np.random.default_rng(3)
            layer.set_weights([draw.normal(size=weight.shape) for weight in layer.get_weights()])
            answers.append(layer(sequences, training=True).numpy())
        np.testing.assert_array_equal(*answers)


def test_the_fused_lstm_starts_from_the_state_it_is_given_and_leaves_masks_to_keras() -> None:
    sequences = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    state = [np.full((2, 4), 0.5, np.float32), np.full((2, 4), -0.25, np.float32)]
    mask = np.array([[True, True, False, False], [True] * 4])
    fused, plain = FusedLSTM(4), keras.layers.LSTM(4)
    for layer in (fused, plain):
        layer.build(sequences.shape)
    fused.set_weights(plain.get_weights())
    for keywords in ({"initial_state": state}, {"mask": mask}):
        np.testing.assert_allclose(
            fused(sequences, **keywords), plain(sequences, **keywords), atol=1e-6
        )


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (1, 9), (3, 2), (4, 31)])
def test_the_fused_lstm_has_the_gradients_of_keras_own(rows: int, steps: int) -> None:
    random = np.random.default_rng(steps)
    sequences = tf.constant(random.normal(size=(rows, steps, 5)).astype(np.float32))
    upstream = random.normal(size=(rows, steps, 4)).astype(np.float32)
    weights, gradients = None, []
    for kind in (keras.layers.LSTM, FusedLSTM):
        layer = kind(4, return_sequences=True)
        layer.build(sequences.shape)
        weights = weights or [random.normal(size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            loss = tf.reduce_sum(layer(sequences, training=True) * upstream)
        gradients.append(tape.gradient(loss, [sequences, *layer.trainable_variables]))
    for own, fused in zip(*gradients, strict=True):
        scale = float(np.abs(own).max())
        np.testing.assert_allclose(fused, own, atol=2e-6 * max(scale, 1))


def test_attention_leaves_out_padding_and_answers_nothing_with_zeros() -> None:
    layer = AttentionPooling(3, seed=1)
    states = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    layer(states, np.array([4, 4, 4], np.int32))
    layer.set_weights([np.ones(weight.shape) for weight in layer.get_weights()])
    pooled = layer(states, np.array([4, 2, 0], np.int32)).numpy()
    for row, length in enumerate((4, 2)):
        shown = states[row, :length]
        scores = np.exp(np.tanh(shown.sum(axis=1) + 1) * 3)
        np.testing.assert_allclose(pooled[row], scores @ shown / scores.sum(), atol=1e-5)
    assert not pooled[2].any()


def test_a_network_with_channels_reads_them_and_aligns_both_ways_under_attention() -> None:
    network = build_network(NetworkSettings(units=(4,), embedding=5), 20)
    ids = np.array([[3, 4, 5, 0]], np.int32)
    channels = np.zeros((1, 4, 2), np.float32)
    one = network([ids, channels]).numpy()
    channels[0, 1] = 3.0
    assert np.abs(network([ids, channels]).numpy() - one).max() > 1e-4
    both = keras.Model(network.input, network.get_layer("both_ways_0").output)
    before = both([ids, np.zeros((1, 4, 2), np.float32)]).numpy()
    channels[0, 1] = 0.0
    channels[0, 2] = 3.0
    changed = np.abs(both([ids, channels]).numpy() - before)[0]
    # What reads forwards knows the last word at the last step alone, what reads backwards always.
    assert changed[:2, :4].max() == 0
    assert changed[2, :4].min() > 0
    assert changed[:3, 4:].min() > 0


def test_without_a_wide_branch_the_network_is_that_of_before() -> None:
    network = build_network(NetworkSettings(wide=False), 500)
    assert [layer.name for layer in network.layers] == [
        "token_ids", "word_dropout", "embedding", "embedding_dropout", "lengths", "reversed_0",
        "lstm_0_forward", "lstm_0_backward", "both_ways_0", "pooling", "embedding_mean",
        "with_embedding_mean", "dropout", "probabilities",
    ]  # fmt: skip
    assert network.count_params() == 105_730
    assert network.get_layer("pooling").mode == "mean_max"
