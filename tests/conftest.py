"""What all tests share: quiet libraries, a home of their own, small reviews, the real ones."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from listening import Listener, listen
from mlflow_tables import copy_tables_from_the_first
from recorded import FirstNight, copy_home, live_first_night
from warm import WarmPython

if TYPE_CHECKING:
    from sentiflow.commands.context import ReleaseContext

# How long an example takes says something of the machine, not of the code.
# Half of hypothesis' usual examples: what hundreds of them find, a soak over days finds too.
hypothesis.settings.register_profile("sentiflow", deadline=None, max_examples=50)
hypothesis.settings.load_profile("sentiflow")

REPOSITORY = Path(__file__).resolve().parents[1]
# Files of minutes, longest first: processes that begin with them end together.
LONGEST_FILES = (
    "test_retrain.py", "test_kill_matrix.py", "test_up.py", "test_releases.py",
    "test_real_reviews.py", "test_nights.py", "test_interrupted_night.py", "test_parity.py",
    "test_scoring.py", "test_ledger_races.py", "test_cli.py", "test_training.py",
    "test_broken_situations.py", "test_deploying.py", "test_ingest.py", "test_validation.py",
    "test_snapshot.py", "test_evaluation.py", "test_bundle.py", "test_baseline.py",
    "test_figures.py",
)  # fmt: skip
# Beside those of flows: what needs Prefect's server.
ON_A_SERVER = ("test_cli.py", "test_review_texts.py")
REAL_FOLDER = REPOSITORY.parent / "shared" / "data"

# A script starts what it puts into the background with Ctrl-C ignored, and so do its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
# As every command sets it: a server that is away is known at once, not after four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


@pytest.fixture(scope="session")
def real_reviews() -> Path:
    """The file of real reviews, which only lies beside the checkout."""
    path = REAL_FOLDER / "yelp_reviews.jsonl.gz"
    if not path.exists():
        pytest.skip("the real reviews (../shared/data) are not on this machine")
    return path


@pytest.fixture(scope="session")
def real_businesses(real_reviews: Path) -> Path:
    return real_reviews.with_name("yelp_businesses.jsonl.gz")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SENTIFLOW_HOME of the test's own."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("SENTIFLOW_HOME", str(path))
    return path


@pytest.fixture
def write_reviews(tmp_path: Path) -> Callable[..., Path]:
    """Write reviews, given as dicts, to a JSON-lines file and return its path."""

    def write(reviews: list[dict[str, Any]], name: str = "reviews.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(review) + "\n" for review in reviews))
        return path

    return write


def make_review(number: int, **changes: Any) -> dict[str, Any]:
    """One sound review; every number gives another text."""
    return {
        "review_id": f"review-{number}",
        "user_id": f"user-{number % 7}",
        "business_id": f"business-{number % 5}",
        "stars": float(number % 5 + 1),
        "text": f"Visit number {number} was {'lovely' if number % 5 > 2 else 'dreadful'} again.",
        "date": f"2026-0{number % 6 + 1}-1{number % 9}",
        **changes,
    }


@pytest.fixture(scope="session")
def review() -> Callable[..., dict[str, Any]]:
    return make_review


class _RealReviewCount:
    """Count the tests that ran on the real reviews, whichever process ran them."""

    def __init__(self) -> None:
        self.ran = 0
        self.known = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "real_reviews" in report.keywords:
            self.known += report.when == "setup"
            self.ran += report.when == "call" and report.passed

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.known:
            missing = "" if REAL_FOLDER.exists() else "; ../shared/data is missing"
            terminalreporter.write_line(
                f"real reviews: {self.ran} of {self.known} tests ran{missing}"
            )


class _SharedWarmPython:
    """Start one warm process for all of xdist's: its imports cost ten seconds of processor."""

    def __init__(self) -> None:
        self.warm: WarmPython | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self.warm is None:
            self.warm = WarmPython(Path(tempfile.mkdtemp(prefix="warm-")))
            self.warm.start()
        node.workerinput["warm_python"] = self.warm.executable

    def pytest_unconfigure(self) -> None:
        if self.warm is not None:
            self.warm.stop()
            shutil.rmtree(Path(self.warm.executable).parent)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_RealReviewCount())
    config.pluginmanager.register(_SharedWarmPython())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import without looking for garbage, and never look through what was imported again.

    Of the eleven seconds of processor that the libraries cost, two are such looks.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one process; all on a server to one, which starts it once."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope: str = super()._split_scope(nodeid)
            is_on_server = "/flows/" in scope or scope.endswith(ON_A_SERVER)
            return "on a server" if is_on_server else scope

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_itemcollected(item: pytest.Item) -> None:
    if "real_reviews" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.real_reviews)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A real Prefect server of the test session's own."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_registry(tiny_folder: Path) -> Any:
    """A real MLflow registry on SQLite, shared by the tests that only read or add."""
    from sentiflow.release.registry import Registry

    return Registry(f"sqlite:///{tiny_folder / 'mlflow.db'}")


@pytest.fixture(autouse=True)
def forgotten_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find the MLflow of another: it writes the address it was last given there."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    # Where nothing of MLflow is imported, nothing is to be imported for this.
    if "mlflow" in sys.modules:
        copy_tables_from_the_first()


@pytest.fixture
def shared_mlflow(tiny_registry: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let commands and nights find the session's MLflow; its address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tiny_registry.uri)
    return str(tiny_registry.uri)


@pytest.fixture(scope="session")
def tiny_version(tiny_folder: Path, tiny_registry: Any) -> Any:
    """A registered version of an untrained network that knows three words."""
    import numpy as np

    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.network import build_network
    from sentiflow.settings import load_settings
    from sentiflow.tracking import track_run

    settings = load_settings(
        None, ["network.wide=false", "network.embedding=4", "network.units=[3]"]
    )
    weights = tiny_folder / "network.weights.h5"
    build_network(settings.network, 5).save_weights(weights)
    trained_on = np.array([7, 3], np.uint64)
    save_bundle(tiny_folder / "bundle", ["good", "bad", "!"], weights, settings, trained_on)
    with track_run(tiny_registry.uri, "test", tiny_folder / "artifacts", "run", {}) as run:
        return tiny_registry.register(
            "model",
            run.id,
            tiny_folder / "bundle",
            {"sentiflow.night": "2026-01-02", "sentiflow.lineage": "abc"},
            {"sentiflow.lineage": "abc"},
            "a version",
        )


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with four versions: 1, 2 and 3 were champion in turn, 4 was kept out by the gate."""
    import numpy as np

    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.network import build_network
    from sentiflow.release.known_files import KnownFiles, digest_bundle
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import CHAMPION, Registry
    from sentiflow.release.state import Kind, NewEvent
    from sentiflow.reporting.decision_record import DecisionRecord, keep_decision
    from sentiflow.settings import load_settings
    from sentiflow.tracking import track_run

    home = tmp_path_factory.mktemp("prepared")
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}")
    settings = load_settings(
        None, ["network.wide=false", "network.embedding=4", "network.units=[3]"]
    )
    weights = home / "network.weights.h5"
    build_network(settings.network, 5).save_weights(weights)
    bundle = home / "bundle"
    save_bundle(bundle, ["good", "bad", "!"], weights, settings, np.array([3], np.uint64))
    lineage = {"sentiflow.lineage": "abc"}
    files, runs = digest_bundle(bundle), {}
    for number in (1, 2, 3, 4):
        with track_run(registry.uri, "test", home / "mlartifacts", "run", {}) as run:
            tags = {**lineage, "sentiflow.night": f"2026-01-0{number}"}
            registry.register("sentiflow", run.id, bundle, tags, lineage, "a version")
            runs[number] = run.id
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    for number in (1, 2, 3, 4):
        verdict: Kind = "promoted" if number < 4 else "kept"
        record = DecisionRecord(
            model="sentiflow", lineage="abc", night=f"2026-01-0{number}", version=number,
            champion_version=number - 1 or None, fingerprint="f", mlflow_run_id="r",
            mlflow_run_path="p", prefect_flow_run_id=None,
            decision={"verdict": verdict, "reasons": [f"Reason {number}."], "warnings": []},
            findings={}, baselines={}, gate={}, seconds={},
        )  # fmt: skip
        event = NewEvent(
            kind=verdict, actor="night", reason=f"Reason {number}.", lineage="abc",
            from_version=number - 1 or None, to_version=number,
            decision=keep_decision(home, record),
            details={
                "night": f"2026-01-0{number}", **KnownFiles(runs[number], files).as_details(),
            },
        )  # fmt: skip
        ledger.append("sentiflow", number - 1, [event])
    registry.point("sentiflow", CHAMPION, 3)
    registry.point("sentiflow", "challenger", 4)
    return home


@pytest.fixture
def released_home(prepared_home: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home; MLflow's artifacts are moved to where the copy is."""
    return copy_home(prepared_home, tmp_path / "home")


@pytest.fixture(scope="session")
def warm_python(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """What starts Python with the libraries imported already, in sys.executable's place."""
    if shared := getattr(request.config, "workerinput", {}).get("warm_python"):
        yield shared
        return
    warm = WarmPython(tmp_path_factory.mktemp("warm"))
    warm.start()
    yield warm.executable
    warm.stop()


@pytest.fixture
def warm_children(warm_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that sentiflow starts from this one start warm."""
    monkeypatch.setattr(sys, "executable", warm_python)


@pytest.fixture(scope="session")
def first_night(
    prefect_server: None, warm_python: str, tmp_path_factory: pytest.TempPathFactory
) -> FirstNight:
    """A first night that was promoted: to read, and to copy where another one follows it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", warm_python)
        return live_first_night(tmp_path_factory.mktemp("first"), patch)


@pytest.fixture
def lived(home: Path, first_night: FirstNight) -> FirstNight:
    """The test's home as the first night left it."""
    copy_home(first_night.home, home)
    return FirstNight(home, first_night.reviews, first_night.record)


@pytest.fixture
def trained(home: Path, first_night: FirstNight) -> FirstNight:
    """The test's home as if the first night had ended before it registered anything."""
    copy_home(first_night.home, home, "ingest", "snapshots", "steps")
    shutil.copy(first_night.blank_database, home / "mlflow.db")
    return FirstNight(home, first_night.reviews, first_night.record)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listen() as server:
        yield server


@pytest.fixture
def open_own_context(
    home: Path, shared_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ReleaseContext]:
    """Open the context of a model of the test's own, which no night has registered yet.

    MLflow is the real one on SQLite; versions have no artifact, so that loading them in a fresh
    process is left out (`tests/test_releases.py` does all of it through the command line).
    """
    from sentiflow.commands.context import open_release_context

    monkeypatch.setattr("sentiflow.gate.checks.probe_version", lambda *_: None)

    def open_one(**more: Any) -> ReleaseContext:
        return open_release_context(None, [f"model.name=context-{home.parent.name}"], home, **more)

    return open_one
