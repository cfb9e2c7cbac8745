import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sentiflow.errors import TrainingDiverged, TrainingError, TrainingTimedOut
from sentiflow.files import write_json
from sentiflow.model.batches import pad_batch
from sentiflow.model.tokenization import TokenIds
from sentiflow.model.training import Trained, train_network
from sentiflow.model.training_process import TrainingJob, train_in_child
from sentiflow.settings import NetworkSettings, TokenSettings, TrainingSettings

# One way only: what a network costs here is its tracing, a second for each direction.
NETWORK = NetworkSettings(
    embedding=6, units=(4,), bidirectional=False, dropout=0.2, embedding_dropout=0.2
)
TRAINING = TrainingSettings(
    epochs=4, patience=3, batch_size=16, learning_rate=0.01, averaging=0.9, seed=5
)


def make_reviews(count: int, seed: int) -> tuple[TokenIds, np.ndarray]:
    """Rows whose label says which of the ids 2 and 3 comes last: order is all there is."""
    draw = np.random.default_rng(seed)
    rows, labels = [], []
    for _ in range(count):
        length = int(draw.integers(2, 9))
        row = draw.integers(4, 12, length)
        first, second = sorted(draw.choice(length, 2, replace=False))
        label = int(draw.integers(0, 2))
        row[first], row[second] = (3, 2) if label else (2, 3)
        rows.append(row)
        labels.append(label)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    values = np.concatenate(rows).astype(np.int32)
    channels = draw.normal(size=(len(values), 2)).astype(np.float32)
    return TokenIds(values, offsets, channels), np.array(labels, np.int8)


pytestmark = pytest.mark.usefixtures("warm_children")
TRAIN, VALIDATION = make_reviews(240, 1), make_reviews(60, 2)


def train(training: TrainingSettings = TRAINING, **keywords) -> Trained:
    return train_network(*TRAIN, *VALIDATION, 12, NETWORK, training, **keywords)


def weights(trained: Trained) -> list[np.ndarray]:
    return trained.network.get_weights()


def are_equal(one: Trained, other: Trained) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def losses() -> list[float]:
    """The loss after each batch of the undisturbed training."""
    return []


@pytest.fixture(scope="module")
def undisturbed(losses: list[float]) -> Trained:
    return train(on_batch=lambda epoch, done, batches, loss: losses.append(loss))


def test_whatever_else_draws_random_numbers_in_the_process_a_run_repeats_to_the_bit(
    undisturbed: Trained,
) -> None:
    # Threads of Prefect, MLflow and others do, at their own times: more of them under load.
    ended = threading.Event()

    def draw() -> None:
        while not ended.wait(0.0005):
            random.random()
            np.random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        again = train()
    finally:
        ended.set()
        thread.join()
    assert are_equal(undisturbed, again)
    losses = [[log["val_loss"] for log in run.history] for run in (undisturbed, again)]
    assert losses[0] == losses[1]


def test_another_seed_begins_otherwise_and_steps_per_epoch_cuts_an_epoch_short(
    undisturbed: Trained, losses: list[float]
) -> None:
    counted, other = [], []

    def count(epoch: int, done: int, batches: int, loss: float) -> None:
        counted.append((epoch, done, batches))
        other.append(loss)

    short = {"steps_per_epoch": 3, "epochs": 1, "seed": 6}
    train(TRAINING.model_copy(update=short), on_batch=count)
    assert counted == [(1, 1, 3), (1, 2, 3), (1, 3, 3)]
    assert other[0] != losses[0]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training interrupted after its third epoch left there, and after its first."""
    folder = tmp_path_factory.mktemp("interrupted")

    def interrupt(log: dict[str, float]) -> None:
        shutil.copytree(folder / "checkpoint", folder / f"after-{log['epoch']}")
        if log["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=folder / "checkpoint", on_epoch=interrupt)
    return folder


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_training_goes_on_to_the_same_end(
    interrupted: Path, undisturbed: Trained, epoch: int
) -> None:
    seen = []
    resumed = train(checkpoint=interrupted / f"after-{epoch}", on_epoch=seen.append)
    assert are_equal(undisturbed, resumed)
    assert [log["epoch"] for log in seen] == [1, 2, 3, 4]
    assert [log["loss"] for log in seen] == [log["loss"] for log in undisturbed.history]


def test_it_learns_what_only_order_can_tell() -> None:
    trained = train(TRAINING.model_copy(update={"epochs": 25, "patience": 25}))
    assert max(log["val_accuracy"] for log in trained.history) > 0.8


def test_the_best_epochs_weights_are_kept_and_patience_ends_training() -> None:
    # A learning rate this high makes later epochs worse than an early one.
    wild = TRAINING.model_copy(update={"learning_rate": 0.3, "epochs": 30, "patience": 2})
    trained = train(wild)
    losses = [log["val_loss"] for log in trained.history]
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == trained.best_epoch + 2 < 30
    ids, labels = VALIDATION
    padded = pad_batch(ids, np.arange(len(ids)))
    answers = np.asarray(trained.network(padded, training=False))
    loss = -np.log(answers[np.arange(len(labels)), labels]).mean()
    assert loss == pytest.approx(min(losses), rel=1e-3)


def test_balanced_class_weights_raise_the_rarer_class() -> None:
    ids, labels = TRAIN
    # One positive in six, independent of the tokens: only the prior can be learned.
    rare = (np.arange(len(labels)) % 6 == 0).astype(np.int8)
    answers = {}
    for weights_setting in ("none", "balanced"):
        training = TRAINING.model_copy(update={"class_weights": weights_setting, "averaging": 0.0})
        trained = train_network(ids, rare, ids, rare, 12, NETWORK, training)
        read = [np.array([[4, 5, 6]]), np.zeros((1, 3, 2), np.float32)]
        answers[weights_setting] = float(trained.network(read, training=False)[0, 1])
    assert answers["none"] < 0.35 < answers["balanced"]


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    TRAIN[0].save(tokens / "train.npz")
    np.save(tokens / "train.npy", TRAIN[0].channels)
    np.save(tokens / "validation.npy", VALIDATION[0].channels)
    VALIDATION[0].save(tokens / "validation.npz")
    np.savez(tokens / "labels.npz", train=TRAIN[1], validation=VALIDATION[1])
    output = tmp_path / "output"
    output.mkdir()
    return TrainingJob(
        str(tokens),
        12,
        str(tokens),
        TokenSettings(),
        NETWORK,
        TRAINING,
        str(tmp_path / "checkpoint"),
        str(output),
    )


def test_a_child_process_trains_the_same_model(job: TrainingJob, undisturbed: Trained) -> None:
    logs = []
    answer = train_in_child(job, logs.append)
    assert [log["loss"] for log in logs] == [log["loss"] for log in undisturbed.history]
    assert answer["best_epoch"] == undisturbed.best_epoch
    assert answer["peak_memory_mb"] > 50
    network = undisturbed.network
    before = weights(undisturbed)
    network.load_weights(Path(job.output) / "network.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_a_child_that_takes_too_long_is_ended(job: TrainingJob) -> None:
    slow = TrainingJob(
        **{**vars(job), "training": TRAINING.model_copy(update={"max_minutes": 0.01})}
    )
    with pytest.raises(TrainingTimedOut, match=r"training\.max_minutes"):
        train_in_child(slow, lambda log: None)


def test_a_loss_that_is_no_number_stops_a_child_with_a_clear_error(job: TrainingJob) -> None:
    wild = TRAINING.model_copy(update={"learning_rate": 3e38, "clip_norm": 1e30})
    with pytest.raises(TrainingDiverged, match=r"finite.*learning_rate"):
        train_in_child(TrainingJob(**{**vars(job), "training": wild}), lambda log: None)


def test_a_child_that_fails_says_why(job: TrainingJob) -> None:
    (Path(job.tokens_folder) / "labels.npz").unlink()
    with pytest.raises(TrainingError, match="last line: FileNotFoundError"):
        train_in_child(job, lambda log: None)


def test_a_child_leaves_when_its_parent_is_killed(job: TrainingJob, tmp_path: Path) -> None:
    long = {**TRAINING.model_dump(), "epochs": 100_000, "patience": 100_000}
    write_json(
        tmp_path / "job.json",
        {**vars(job), "tokens": {}, "network": NETWORK.model_dump(mode="json"), "training": long},
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "sentiflow.model.training_process", str(tmp_path / "job.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    try:
        assert child.stdout
        assert child.stdin
        assert json.loads(child.stdout.readline())["event"] in ("batch", "epoch")
        # What the operating system does when the parent dies.
        child.stdin.close()
        deadline = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < deadline:
            child.stdout.readline()
        assert child.poll() == 1
    finally:
        child.kill()
        child.wait()


def test_losses_are_finite(undisturbed: Trained) -> None:
    assert all(math.isfinite(log["loss"]) for log in undisturbed.history)


def test_averaging_changes_what_is_validated_and_not_how_training_goes(
    undisturbed: Trained,
) -> None:
    plain = train(TRAINING.model_copy(update={"averaging": 0.0}))
    losses = [[log["loss"] for log in run.history] for run in (plain, undisturbed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    validated = [[log["val_loss"] for log in run.history] for run in (plain, undisturbed)]
    assert validated[0] != pytest.approx(validated[1], rel=1e-3)
