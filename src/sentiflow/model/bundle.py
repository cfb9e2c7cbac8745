"""Keep a model as one folder: text in, probability out.

The `.keras` file holds standardizer, vocabulary and network in one graph; beside it lie
the settings, a format version, 32 synthetic probe texts with the probabilities they had
when the bundle was made, and digests of the texts it was trained on.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sentiflow.errors import ArtifactError, describe_error
from sentiflow.files import new_folder, read_json, write_json
from sentiflow.model.layers import HeadAndTail
from sentiflow.model.network import build_network
from sentiflow.model.probes import PROBES
from sentiflow.model.stack import Stack
from sentiflow.model.tokenization import build_encoder, clean_text
from sentiflow.model.wide import WideBranch
from sentiflow.model.wide_layers import NgramBranch, ShortenChannels, StackBranches
from sentiflow.settings import Settings

FORMAT_VERSION: Final = 2
# 1: one network. 2: a wide branch and a stack may stand beside it.
_READABLE: Final = (1, 2)
PROBE_TOLERANCE: Final = 1e-5
_MODEL: Final = "model.keras"
_DESCRIPTION: Final = "bundle.json"
_TRAINED_ON: Final = "trained_on.npy"
_PREDICT_BATCH: Final = 256
# A text's cost grows with its length; beyond this only its head and tail can matter anyway.
_MOST_CHARACTERS: Final = 200_000


class Bundle:
    """A model that answers texts with P(positive)."""

    def __init__(self, model: keras.Model, description: dict[str, Any], folder: Path) -> None:
        """Keep the model; `save_bundle` and `load_bundle` make bundles."""
        self._answer = tf.function(
            lambda texts: model(texts, training=False)[:, 1],
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        self._branches = _open_branches(model)
        self.description = description
        self.folder = folder

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of each text.

        Args:
            texts: n strings of any content: empty, any Unicode, lone surrogates.

        Returns:
            Array of shape (n,), dtype float32, in the texts' order.
        """
        return _answer_all(self._answer, texts)

    def predict_branches(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float64]] | None:
        """Return each branch's own log-odds of each text.

        Args:
            texts: n strings.

        Returns:
            "wide" and "deep" → shape (n,), dtype float64; None where the model has one branch.
            Weighted by the description's `stack` they add up to the answer's log-odds.
        """
        if self._branches is None:
            return None
        both = _answer_all(self._branches, texts, columns=2)
        return {"wide": both[:, 0].astype(float), "deep": both[:, 1].astype(float)}

    def read_trained_on(self) -> npt.NDArray[np.uint64]:
        """Return the sorted digests of the texts this model was trained on; dtype uint64."""
        digests: npt.NDArray[np.uint64] = np.load(self.folder / _TRAINED_ON, allow_pickle=False)
        return digests


def _open_branches(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Return what answers texts with both branches' log-odds, (n, 2); None where there is one."""
    stack = next((layer for layer in model.layers if isinstance(layer, StackBranches)), None)
    if stack is None:
        return None
    branches = keras.Model(model.input, stack.input)
    answer: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        lambda texts: stack.read(*branches(texts, training=False)),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    return answer


def _answer_all(
    answer: Callable[[tf.Tensor], tf.Tensor], texts: Sequence[str], columns: int | None = None
) -> npt.NDArray[np.float32]:
    """Ask in batches of texts of like length, and return the answers in the texts' order."""
    encoded = np.array([_shorten(clean_text(text)) for text in texts], dtype=object)
    order = np.argsort([len(text) for text in encoded], kind="stable")
    shape = (len(encoded),) if columns is None else (len(encoded), columns)
    answers = np.empty(shape, dtype=np.float32)
    for start in range(0, len(encoded), _PREDICT_BATCH):
        positions = order[start : start + _PREDICT_BATCH]
        answers[positions] = answer(tf.constant(encoded[positions])).numpy()
    return answers


def save_bundle(
    folder: Path,
    vocabulary: Sequence[str],
    weights: Path,
    settings: Settings,
    trained_on: npt.NDArray[np.uint64],
    wide: WideBranch | None = None,
    stack: Stack | None = None,
) -> Bundle:
    """Join vocabulary and trained weights into one text-in model and save it.

    Args:
        folder: the bundle's place; replaced in one step if it exists.
        vocabulary: tokens without padding and unknown.
        weights: the network's weights, as Keras saved them.
        settings: the tokens and network groups are used.
        trained_on: digests of the texts that had a say in it, shape (n,), dtype uint64.
        wide: the branch beside the network; needed where settings.network.wide.
        stack: how both are joined; likewise.

    Returns:
        The bundle as loaded back from its folder, probes checked.
    """
    network = build_network(settings.network, len(vocabulary) + 2)
    network.load_weights(weights)
    model = _join(vocabulary, network, settings, wide, stack)
    description: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "tokens": settings.tokens.model_dump(mode="json"),
        "network": settings.network.model_dump(mode="json"),
        "ngrams": 0 if wide is None else len(wide.keys),
        "stack": None if stack is None else asdict(stack),
        "vocabulary_size": len(vocabulary) + 2,
        "parameters": int(network.count_params()),
        "made_with": {
            "keras": keras.version(),
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }
    with new_folder(folder) as temporary:
        model.save(temporary / _MODEL)
        np.save(temporary / _TRAINED_ON, np.sort(trained_on), allow_pickle=False)
        answers = Bundle(model, description, temporary).predict(PROBES)
        probes = [
            # JSON carries lone surrogates as escapes, so that the texts come back as they were.
            {"text": text, "probability": float(answer)}
            for text, answer in zip(PROBES, answers, strict=True)
        ]
        write_json(temporary / _DESCRIPTION, {**description, "probes": probes})
    return load_bundle(folder)


def _join(
    vocabulary: Sequence[str],
    network: keras.Model,
    settings: Settings,
    wide: WideBranch | None,
    stack: Stack | None,
) -> keras.Model:
    """Return the model text → class probabilities of (n, 2)."""
    tokens = settings.tokens
    text = keras.Input(shape=(), dtype="string", name="text")
    token_ids = build_encoder(vocabulary, tokens)(text)
    kept = HeadAndTail(tokens.length, tokens.head_share, name="head_and_tail")(token_ids)
    if wide is None or stack is None:
        return keras.Model(text, network(kept), name="sentiflow")
    ngrams = NgramBranch(len(wide.keys), wide.longest, len(vocabulary) + 2, name="wide")
    joined = StackBranches(name="stack")
    logits, channels = ngrams(token_ids)
    if settings.network.has_channels:
        shorten = ShortenChannels(tokens.length, tokens.head_share, name="kept_channels")
        kept = [kept, shorten(channels, token_ids)]
    model = keras.Model(text, joined(logits, network(kept)), name="sentiflow")
    ngrams.assign(wide)
    joined.assign(stack)
    return model


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle and make sure that it answers as on the day it was made.

    Raises:
        ArtifactError: the folder is no bundle, has another format version, does not load, or
            answers its probe texts otherwise.
    """
    description = read_json(folder / _DESCRIPTION)
    version = description.get("format_version")
    if version not in _READABLE:
        raise ArtifactError(
            f"A bundle must have format version {' or '.join(map(str, _READABLE))}. Received: "
            f"format_version={version!r}, folder={folder}. Load it with the release of sentiflow "
            "that made it, or train a new one."
        )
    try:
        model = keras.saving.load_model(folder / _MODEL, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(
            f"A bundle's model must load. Received: folder={folder}, {describe_error(error)}.",
            detail=str(error)[:300],
        ) from error
    bundle = Bundle(model, description, folder)
    check_probes(bundle)
    return bundle


def check_probes(bundle: Bundle) -> None:
    """Make sure that the probe texts get the probabilities they had when they were recorded.

    Raises:
        ArtifactError: one differs by more than PROBE_TOLERANCE or is no number.
    """
    probes = bundle.description["probes"]
    recorded = np.array([probe["probability"] for probe in probes], dtype=np.float32)
    answers = bundle.predict([probe["text"] for probe in probes])
    worst = float(np.abs(answers - recorded).max())
    # Written so that NaN fails too.
    if not worst <= PROBE_TOLERANCE:
        made_with = bundle.description["made_with"]
        raise ArtifactError(
            "A bundle must answer its probe texts as when it was made, within "
            f"{PROBE_TOLERANCE:g}. Received: largest difference={worst:.3g}; made with "
            f"{made_with}, loaded with keras {keras.version()} and tensorflow {tf.__version__}. "
            "Install the versions it was made with, or train a new model."
        )


def _shorten(text: bytes) -> bytes:
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return text[:half] + b" " + text[-half:]
