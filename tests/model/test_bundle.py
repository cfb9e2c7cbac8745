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
from sentiflow.model.stack import Stack
from sentiflow.model.wide import WideBranch
from sentiflow.settings import Settings, load_settings

SMALL = ["tokens.length=20", "network.embedding=6", "network.units=[5]"]
SETTINGS: Settings = load_settings(None, [*SMALL, "network.wide=false"])
WIDE_SETTINGS: Settings = load_settings(None, SMALL)
VOCABULARY = ["good", "bad", "not", "!", "food", "the", "was"]
STACK = Stack(wide=0.7, deep=0.4, bias=-0.1)


def make_branch() -> WideBranch:
    """Two words and a pair: good, bad, not good."""
    size = len(VOCABULARY) + 2
    good, bad, negated = 2, 3, 4 * size + 2
    keys = np.array([good, bad, negated], np.int64)
    ones = np.ones(2, np.float32)
    weights = np.array([2.0, -2.0, -5.0], np.float32)
    return WideBranch(keys, np.ones(3, np.float32), weights, 0.25, ones, 3)


def make_bundle(folder: Path, settings: Settings = SETTINGS) -> Bundle:
    network = build_network(settings.network, len(VOCABULARY) + 2)
    # Far from zero, so that a lost weight shows.
    network.set_weights([weight * 5 + 0.3 for weight in network.get_weights()])
    network.save_weights(folder / "network.weights.h5")
    trained_on = np.array([5, 3, 9], np.uint64)
    beside = (make_branch(), STACK) if settings.network.wide else ()
    weights = folder / "network.weights.h5"
    return save_bundle(folder / "bundle", VOCABULARY, weights, settings, trained_on, *beside)


@pytest.fixture(scope="module", params=[SETTINGS, WIDE_SETTINGS], ids=["deep", "wide and deep"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"), request.param)


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


def test_both_branches_add_up_to_the_answer(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, WIDE_SETTINGS)
    texts = ["good", "not good", "", "the food was bad", "unheard " * 30 + "good " * 30]
    branches = bundle.predict_branches(texts)
    assert branches is not None
    answers = bundle.predict(texts)
    added = STACK.wide * branches["wide"] + STACK.deep * branches["deep"] + STACK.bias
    np.testing.assert_allclose(added, np.log(answers / (1 - answers)), atol=1e-4)
    # "not good" holds good and the pair: a third of (2 - 5) over its length √2.
    expected = [2.25, -3 / 2**0.5 + 0.25, 0.25]
    np.testing.assert_allclose(branches["wide"][:3], expected, atol=1e-5)


def test_a_bundle_of_one_network_has_no_branches(tmp_path: Path) -> None:
    assert make_bundle(tmp_path).predict_branches(["good"]) is None


def test_the_network_reads_a_long_texts_channels_where_its_words_are(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, WIDE_SETTINGS)
    # 20 of 45 tokens are kept: ten of either end. "bad" in the cut middle is the wide branch's.
    head, tail = "food was " * 5, " the was" * 5
    texts = [head + middle + tail for middle in ("! " * 25, "! " * 12 + "bad " + "! " * 12)]
    branches = bundle.predict_branches(texts)
    assert branches is not None
    assert branches["deep"][0] == pytest.approx(branches["deep"][1], abs=1e-6)
    assert branches["wide"][0] != pytest.approx(branches["wide"][1], abs=1e-2)
    moved = bundle.predict_branches([head + "! " * 25 + " the bad" * 5])
    assert moved is not None
    assert moved["deep"][0] != pytest.approx(branches["deep"][0], abs=1e-3)
