"""Turn texts into token ids, the same way in training and in serving.

Standardization and look-up are TensorFlow graph operations inside a Keras
TextVectorization, fitted on training texts only. They accept any string: bytes that are
no UTF-8 are replaced, HTML tags are dropped, negations keep their apostrophe ("don't" is
one token), and `!`, `?`, emoji and CJK characters are tokens of their own. Nothing is cut
out of words, so "restaurant" stays whole, and accents stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sentiflow.errors import ArtifactError
from sentiflow.files import read_json, write_text
from sentiflow.model.layers import standardize_texts
from sentiflow.progress import report_progress
from sentiflow.settings import TokenSettings

PADDING: Final = 0
UNKNOWN: Final = 1
_ENCODE_BATCH: Final = 512


@dataclass(frozen=True)
class TokenIds:
    """The token ids of n texts, without padding.

    Attributes:
        values: all ids one after another, dtype int32.
        offsets: where each text starts, shape (n + 1,), dtype int64.
        channels: what the wide branch says of each id, shape (len(values), 2), dtype float32;
            None without.
    """

    values: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    channels: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens in each text, shape (n,)."""
        return np.diff(self.offsets)

    def shorten(self, tokens: TokenSettings) -> TokenIds:
        """Return the ids, and channels, that `HeadAndTail` keeps of long texts."""
        lengths = self.lengths
        head = round(tokens.length * tokens.head_share)
        positions = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], lengths)
        tails = np.repeat(lengths - (tokens.length - head), lengths)
        is_kept = (positions < head) | (positions >= tails)
        offsets = np.zeros_like(self.offsets)
        np.cumsum(np.minimum(lengths, tokens.length), out=offsets[1:])
        channels = None if self.channels is None else self.channels[is_kept]
        return TokenIds(self.values[is_kept], offsets, channels)

    def save(self, path: Path) -> None:
        """Write ids and offsets to one .npz file."""
        np.savez(path, values=self.values, offsets=self.offsets)

    @classmethod
    def load(cls, path: Path) -> TokenIds:
        """Read what `save` wrote; nothing is unpickled."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(values=arrays["values"], offsets=arrays["offsets"])


def clean_text(text: str) -> bytes:
    """Return the text as bytes; standardization takes lone surrogates for spaces."""
    return text.encode("utf-8", "surrogatepass")


def fit_vocabulary(texts: Sequence[str], tokens: TokenSettings) -> list[str]:
    """Return the most frequent tokens of the training texts, most frequent first.

    Args:
        texts: the training texts, and no others.
        tokens: vocabulary_size counts padding and the unknown token too.

    Returns:
        At most `vocabulary_size` - 2 tokens. The order of the texts does not matter.
    """
    layer = _vectorization(tokens)
    encoded = np.array([clean_text(text) for text in texts], dtype=object)
    done = 0
    for start in range(0, len(encoded), 8_192):
        batch = encoded[start : start + 8_192]
        layer.update_state(tf.constant(batch))
        done += len(batch)
        report_progress("tokenize", done, 0, f"vocabulary from {done:,} training reviews")
    layer.finalize_state()
    return [str(token) for token in layer.get_vocabulary(include_special_tokens=False)]


def build_encoder(vocabulary: Sequence[str], tokens: TokenSettings) -> keras.Model:
    """Return the model text → token_ids: strings (n,) to int64 (n, longest), right-padded."""
    text = keras.Input(shape=(), dtype="string", name="text")
    return keras.Model(text, _vectorization(tokens, vocabulary)(text), name="encoder")


def encode_texts(
    texts: Sequence[str], vocabulary: Sequence[str], tokens: TokenSettings
) -> TokenIds:
    """Return the token ids of n texts, the whole of each; `TokenIds.shorten` cuts them."""
    encoder = build_encoder(vocabulary, tokens)
    encode = tf.function(
        lambda batch: encoder(batch), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    encoded = np.array([clean_text(text) for text in texts], dtype=object)
    # Texts of like length share a batch: the padding of a batch is as long as its longest.
    order = np.argsort([len(text) for text in encoded], kind="stable")
    by_position: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)] * len(encoded)
    for start in range(0, len(encoded), _ENCODE_BATCH):
        positions = order[start : start + _ENCODE_BATCH]
        padded = encode(tf.constant(encoded[positions])).numpy()
        lengths = (padded != PADDING).sum(axis=1)
        for position, ids, length in zip(positions, padded, lengths, strict=True):
            by_position[position] = ids[:length]
        done = start + len(positions)
        report_progress("tokenize", done, len(encoded), f"{done:,} of {len(encoded):,} reviews")
    offsets = np.zeros(len(by_position) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in by_position], out=offsets[1:])
    values = np.concatenate(by_position) if by_position else np.empty(0, np.int32)
    return TokenIds(values=values.astype(np.int32), offsets=offsets)


def save_vocabulary(path: Path, vocabulary: Iterable[str]) -> None:
    """Write a vocabulary as a JSON list."""
    write_text(path, json.dumps(list(vocabulary), ensure_ascii=False))


def load_vocabulary(path: Path) -> list[str]:
    """Read what `save_vocabulary` wrote.

    Raises:
        ArtifactError: the file is missing or is no list of strings.
    """
    vocabulary = read_json(path)
    if not isinstance(vocabulary, list) or not all(isinstance(word, str) for word in vocabulary):
        raise ArtifactError(f"A vocabulary must be a JSON list of strings. Received: path={path}.")
    return vocabulary


def _vectorization(tokens: TokenSettings, vocabulary: Sequence[str] | None = None) -> Any:
    return keras.layers.TextVectorization(
        max_tokens=tokens.vocabulary_size,
        standardize=standardize_texts,
        split="whitespace",
        output_mode="int",
        vocabulary=list(vocabulary) if vocabulary is not None else None,
        name="vectorization",
    )
