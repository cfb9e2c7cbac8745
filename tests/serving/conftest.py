"""What the tests of the service share: tiny real bundles and simple models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sentiflow.release.registry import Version


class ConstantModel:
    """Answers every text alike, so that limits and errors are tested without TensorFlow."""

    def __init__(self, probability: float = 0.75) -> None:
        self.probability = probability
        self.batches: list[list[str]] = []

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.batches.append(list(texts))
        return np.full(len(texts), self.probability, np.float32)


@pytest.fixture
def constant_model() -> Callable[[float], ConstantModel]:
    return ConstantModel


def make_version(number: int, name: str = "model", **tags: str) -> Version:
    return Version(name=name, number=number, run_id=f"run-{number}", tags=tags)


@pytest.fixture
def version() -> Callable[..., Version]:
    return make_version


def make_constant_bundle(folder: Path, probability: float) -> Path:
    """A real bundle whose network answers every text with one probability."""
    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.network import build_network
    from sentiflow.settings import load_settings

    settings = load_settings(
        None, ["tokens.length=20", "network.wide=false", "network.embedding=2", "network.units=[2]"]
    )
    network = build_network(settings.network, 5)
    weights = [weight * 0 for weight in network.get_weights()]
    weights[-1] = np.array([0, math.log(probability / (1 - probability))], np.float32)
    network.set_weights(weights)
    folder.mkdir(parents=True)
    network.save_weights(folder / "network.weights.h5")
    save_bundle(
        folder / "bundle", ["good", "bad", "!"], folder / "network.weights.h5", settings,
        np.array([7], np.uint64),
    )  # fmt: skip
    return folder / "bundle"


@pytest.fixture(scope="session")
def constant_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Give the bundle that answers one probability; each is made once."""
    folder = tmp_path_factory.mktemp("bundles")
    made: dict[float, Path] = {}

    def make(probability: float) -> Path:
        if probability not in made:
            made[probability] = make_constant_bundle(folder / str(probability), probability)
        return made[probability]

    return make
