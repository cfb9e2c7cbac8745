import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.model.layers import HeadAndTail, standardize_texts
from sentiflow.model.tokenization import (
    TokenIds,
    build_encoder,
    clean_text,
    encode_texts,
    fit_vocabulary,
)
from sentiflow.model.wide_layers import ShortenChannels
from sentiflow.settings import TokenSettings

TOKENS = TokenSettings(vocabulary_size=50, length=8)
TRAINING = ["the food was good good good !", "not good at all", "restaurant with a café"]


def standardize(text: str) -> list[str]:
    answer: bytes = standardize_texts(tf.constant([clean_text(text)])).numpy()[0]
    return answer.decode().split()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I DON'T like it", ["i", "don't", "like", "it"]),
        ("I don\u2019t like it", ["i", "don't", "like", "it"]),
        ("I don&#39;t", ["i", "don't"]),
        ("Great!! Really?", ["great", "!", "!", "really", "?"]),
        ("the restaurant's start", ["the", "restaurant's", "start"]),
        ("a 'quoted' word", ["a", "quoted", "word"]),
        ("Café Zoë", ["café", "zoë"]),
        ("ÄRGER", ["ärger"]),
        ("so good\U0001f600\U0001f600", ["so", "good", "\U0001f600", "\U0001f600"]),
        ("<p class='x'>nice</p><br/>place &amp; food", ["nice", "place", "food"]),
        ("5 < 6 and 7 > 2", ["5", "6", "and", "7", "2"]),
        ("\u597d\u5403", ["\u597d", "\u5403"]),
        ("nul\x00byte", ["nul", "byte"]),
        ("half \ud83d pair", ["half", "pair"]),
        ("", []),
    ],
)
def test_standardization_keeps_what_carries_sentiment(text: str, tokens: list[str]) -> None:
    assert standardize(text) == tokens


def test_the_articles_fault_is_not_repeated_and_restaurant_stays_whole() -> None:
    assert standardize("a restaurant with heart") == ["a", "restaurant", "with", "heart"]


# What an example costs is its encoder, so there are few with many texts.
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=[]), max_size=40), min_size=1, max_size=30)
)
def test_any_unicode_has_token_ids(texts: list[str]) -> None:
    ids = encode_texts(texts, ["good", "!"], TOKENS)
    assert len(ids) == len(texts)
    assert ids.shorten(TOKENS).lengths.max(initial=0) <= TOKENS.length
    assert np.all((ids.values >= 1) & (ids.values < 4))


ENCODER = build_encoder(["good"], TOKENS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_any_bytes_have_token_ids(texts: list[bytes]) -> None:
    ids = ENCODER(tf.constant(texts)).numpy()
    assert ids.shape[0] == len(texts)
    assert np.all((ids >= 0) & (ids < 3))


def test_the_vocabulary_is_of_the_training_texts_by_frequency_and_independent_of_order() -> None:
    vocabulary = fit_vocabulary(TRAINING, TOKENS)
    assert vocabulary[0] == "good"
    assert vocabulary == fit_vocabulary(TRAINING[::-1], TOKENS)
    assert set(vocabulary) == {word for text in TRAINING for word in standardize(text)}


def test_the_vocabulary_holds_at_most_its_size_with_padding_and_unknown() -> None:
    assert len(fit_vocabulary(TRAINING, TokenSettings(vocabulary_size=10))) == 8


def test_unknown_words_are_one_id_and_known_words_their_rank() -> None:
    ids = encode_texts(["good unheard ! unseen"], ["good", "!"], TOKENS)
    assert ids.values.tolist() == [2, 1, 3, 1]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_long_rows_keep_head_and_tail_as_the_slow_way_says(share: float) -> None:
    rows = [list(range(1, length + 1)) for length in (0, 1, 7, 8, 9, 30)]
    padded = np.zeros((len(rows), 30), np.int64)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = row
    shortened = HeadAndTail(8, share)(padded).numpy()
    flat = np.concatenate(rows)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    # Channels that tell their token show one that is left with another's.
    channels = np.column_stack([flat, -flat]).astype(np.float32)
    on_disk = TokenIds(flat.astype(np.int32), offsets, channels).shorten(
        TokenSettings(length=8, head_share=share)
    )
    np.testing.assert_array_equal(on_disk.values, shortened[shortened > 0])
    np.testing.assert_array_equal(on_disk.channels[:, 0], on_disk.values)
    padded_channels = np.stack([padded, -padded], axis=2).astype(np.float32)
    kept = ShortenChannels(8, share)(padded_channels, padded).numpy()
    np.testing.assert_array_equal(kept[:, :, 0], shortened)
    head = round(8 * share)
    for row, answer in zip(rows, shortened, strict=True):
        expected = row if len(row) <= 8 else row[:head] + row[len(row) - (8 - head) :]
        assert answer[answer > 0].tolist() == expected
        assert len(answer) == 8


def test_a_batch_of_empty_texts_is_one_column_of_padding() -> None:
    ids = ENCODER(tf.constant(["", " ", "..."]))
    assert HeadAndTail(4, 0.5)(ids).numpy().tolist() == [[0]] * 3


def test_token_ids_come_back_from_disk(tmp_path) -> None:
    ids = encode_texts(TRAINING, ["good"], TOKENS)
    ids.save(tmp_path / "ids.npz")
    loaded = TokenIds.load(tmp_path / "ids.npz")
    assert np.array_equal(ids.values, loaded.values)
    assert np.array_equal(ids.offsets, loaded.offsets)
