"""Keep a model as one folder: text in, probability out.

The `.keras` file holds standardizer, vocabulary and network in one graph; beside it lie
the settings, a format version, 32 synthetic probe texts with the probabilities they had
when the bundle was made, and digests of the texts it was trained on.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sentiflow.errors import ArtifactError, describe_error
from sentiflow.files import new_folder, read_json, write_json
from sentiflow.model.network import build_network
from sentiflow.model.probes import PROBES
from sentiflow.model.tokenization import build_encoder, clean_text
from sentiflow.settings import Settings

FORMAT_VERSION: Final = 1
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
        self.description = description
        self.folder = folder

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of each text.

        Args:
            texts: n strings of any content: empty, any Unicode, lone surrogates.

        Returns:
            Array of shape (n,), dtype float32, in the texts' order.
        """
        encoded = np.array([_shorten(clean_text(text)) for text in texts], dtype=object)
        order = np.argsort([len(text) for text in encoded], kind="stable")
        probabilities = np.empty(len(encoded), dtype=np.float32)
        for start in range(0, len(encoded), _PREDICT_BATCH):
            positions = order[start : start + _PREDICT_BATCH]
            probabilities[positions] = self._answer(tf.constant(encoded[positions])).numpy()
        return probabilities

    def read_trained_on(self) -> npt.NDArray[np.uint64]:
        """Return the sorted digests of the texts this model was trained on; dtype uint64."""
        digests: npt.NDArray[np.uint64] = np.load(self.folder / _TRAINED_ON, allow_pickle=False)
        return digests


def save_bundle(
    folder: Path,
    vocabulary: Sequence[str],
    weights: Path,
    settings: Settings,
    trained_on: npt.NDArray[np.uint64],
) -> Bundle:
    """Join vocabulary and trained weights into one text-in model and save it.

    Args:
        folder: the bundle's place; replaced in one step if it exists.
        vocabulary: tokens without padding and unknown.
        weights: the network's weights, as Keras saved them.
        settings: the tokens and network groups are used.
        trained_on: digests of the training texts, shape (n,), dtype uint64.

    Returns:
        The bundle as loaded back from its folder, probes checked.
    """
    encoder = build_encoder(vocabulary, settings.tokens)
    network = build_network(settings.network, len(vocabulary) + 2)
    network.load_weights(weights)
    text = keras.Input(shape=(), dtype="string", name="text")
    model = keras.Model(text, network(encoder(text)), name="sentiflow")
    description: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "tokens": settings.tokens.model_dump(mode="json"),
        "network": settings.network.model_dump(mode="json"),
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


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle and make sure that it answers as on the day it was made.

    Raises:
        ArtifactError: the folder is no bundle, has another format version, does not load, or
            answers its probe texts otherwise.
    """
    description = read_json(folder / _DESCRIPTION)
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"A bundle must have format version {FORMAT_VERSION}. Received: "
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
