import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sentiflow.errors import ArtifactError
from sentiflow.model.bundle import Bundle, load_bundle, save_bundle
from sentiflow.model.network import build_network
from sentiflow.model.probes import PROBES
from sentiflow.settings import Settings, load_settings

SETTINGS: Settings = load_settings(
    None, ["tokens.length=20", "network.embedding=6", "network.units=[5]"]
)
VOCABULARY = ["good", "bad", "not", "!", "food", "the", "was"]


def make_bundle(folder: Path) -> Bundle:
    network = build_network(SETTINGS.network, len(VOCABULARY) + 2)
    # Far from zero, so that a lost weight shows.
    network.set_weights([weight * 5 + 0.3 for weight in network.get_weights()])
    network.save_weights(folder / "network.weights.h5")
    trained_on = np.array([5, 3, 9], np.uint64)
    return save_bundle(
        folder / "bundle", VOCABULARY, folder / "network.weights.h5", SETTINGS, trained_on
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def test_a_loaded_bundle_gives_the_same_numbers(bundle: Bundle) -> None:
    again = load_bundle(bundle.folder)
    np.testing.assert_array_equal(again.predict(PROBES), bundle.predict(PROBES))


def test_a_fresh_process_gives_the_same_numbers(bundle: Bundle, warm_python: str) -> None:
    script = (
        "import json, sys; from pathlib import Path;"
        "from sentiflow.model.bundle import load_bundle;"
        "from sentiflow.model.probes import PROBES;"
        "print(json.dumps(load_bundle(Path(sys.argv[1])).predict(PROBES).tolist()))"
    )
    answer = subprocess.run(
        [warm_python, "-c", script, str(bundle.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(answer.stdout), bundle.predict(PROBES), atol=1e-5)


def test_answers_come_in_the_order_of_the_texts_whatever_their_lengths(bundle: Bundle) -> None:
    texts = ["good " * (n % 37 + 1) + "bad" * (n % 2) for n in range(600)]
    one_by_one = [float(bundle.predict([text])[0]) for text in texts[:40]]
    together = bundle.predict(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[:40], one_by_one, atol=1e-6)


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "é" * 300_000, "<" * 5_000, "\U0001f600"])
def test_odd_texts_get_a_probability(bundle: Bundle, text: str) -> None:
    (probability,) = bundle.predict([text])
    assert 0 <= probability <= 1


def test_no_texts_give_no_answers(bundle: Bundle) -> None:
    assert bundle.predict([]).shape == (0,)


def test_a_bundle_knows_what_it_was_trained_on(bundle: Bundle) -> None:
    assert bundle.read_trained_on().tolist() == [3, 5, 9]


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return shutil.copytree(bundle.folder, tmp_path / "bundle")


def test_a_bundle_that_answers_its_probes_otherwise_is_refused(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text())
    description["probes"][4]["probability"] += 1e-4
    (folder / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(ArtifactError, match="probe texts"):
        load_bundle(folder)


@pytest.mark.parametrize("damage", ["model.keras", "bundle.json", "version"])
def test_a_damaged_bundle_is_refused_in_words(folder: Path, damage: str) -> None:
    if damage == "version":
        description = json.loads((folder / "bundle.json").read_text())
        (folder / "bundle.json").write_text(json.dumps({**description, "format_version": 99}))
    else:
        (folder / damage).write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="Received"):
        load_bundle(folder)


def test_there_are_32_different_probes() -> None:
    assert len(PROBES) == len(set(PROBES)) == 32
