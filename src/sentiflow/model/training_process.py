"""Train in a child process that can be ended, and that ends with its parent.

The job goes in as a JSON file and the child answers with one JSON object per line on its
standard output. Nothing is pickled between the two.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sentiflow.cost import measure_peak_memory_mb
from sentiflow.errors import TrainingDiverged, TrainingError, TrainingTimedOut
from sentiflow.files import read_json, write_json
from sentiflow.processes import make_module_command
from sentiflow.progress import report_progress
from sentiflow.settings import NetworkSettings, TokenSettings, TrainingSettings

if TYPE_CHECKING:
    from sentiflow.model.tokenization import TokenIds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What a training needs, as paths and settings.

    Attributes:
        tokens_folder: holds train.npz, validation.npz (TokenIds) and labels.npz
            (train, validation: int8).
        vocabulary_size: ids in use, padding and unknown included.
        channels_folder: holds train.npy and validation.npy, each token's channels; None without.
        tokens: how long texts are shortened.
        network: the network's shape.
        training: how it is trained.
        checkpoint: folder of the last finished epoch.
        output: folder that receives network.weights.h5, training.json and
            validation_probabilities.npy, shape (m, 2).
    """

    tokens_folder: str
    vocabulary_size: int
    channels_folder: str | None
    tokens: TokenSettings
    network: NetworkSettings
    training: TrainingSettings
    checkpoint: str
    output: str


def train_in_child(
    job: TrainingJob, on_epoch: Callable[[dict[str, float]], None]
) -> dict[str, Any]:
    """Run a training job in a child process and wait for it.

    Args:
        job: the job.
        on_epoch: called in this process with each finished epoch's log.

    Returns:
        `history`, `best_epoch` and `peak_memory_mb` of the child.

    Raises:
        TrainingTimedOut: training.max_minutes passed; the child is ended.
        TrainingDiverged: the loss became NaN or infinite.
        TrainingError: the child ended without a model.
    """
    description = {
        **asdict(job),
        "tokens": job.tokens.model_dump(mode="json"),
        "network": job.network.model_dump(mode="json"),
        "training": job.training.model_dump(mode="json"),
    }
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryDirectory() as folder:
        job_file = Path(folder) / "job.json"
        write_json(job_file, description)
        # The child watches its standard input: it closes when this process is gone, however
        # it went, and the child leaves too.
        child = subprocess.Popen(
            make_module_command("sentiflow.model.training_process", str(job_file)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        deadline = time.monotonic() + job.training.max_minutes * 60
        timer = threading.Timer(max(deadline - time.monotonic(), 0.0), child.kill)
        timer.start()
        try:
            assert child.stdout is not None
            failure = _follow(child.stdout, on_epoch)
            code = child.wait()
        finally:
            timer.cancel()
            if child.poll() is None:
                child.kill()
                child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
        if failure:
            raise TrainingDiverged(failure)
        if code != 0 and time.monotonic() >= deadline:
            raise TrainingTimedOut(
                f"Training must end within training.max_minutes={job.training.max_minutes:g}. "
                "It was ended. Finished epochs are kept: run again to go on after the last one, "
                "or raise the limit with --set training.max_minutes=…"
            )
        if code != 0:
            errors.seek(0)
            lines = errors.read()[-4_000:].strip().splitlines()
            last = _cut_words(lines[-1]) if lines else "no output"
            raise TrainingError(
                f"The training process must end with code 0. Received: code={code}, last line: "
                f"{last}. A negative code is a signal (-9 often means too little memory)."
            )
    trained: dict[str, Any] = read_json(Path(job.output) / "training.json")
    return trained


def _cut_words(line: str) -> str:
    """Return the last line of a traceback without the words of a foreign error.

    >>> _cut_words("ValueError: could not convert 'Great soup'")
    'ValueError'
    """
    name, colon, _ = line.partition(": ")
    is_foreign = colon and not name.startswith("sentiflow.")
    return name if is_foreign and name.replace(".", "").isidentifier() else line


def _follow(lines: IO[str], on_epoch: Callable[[dict[str, float]], None]) -> str | None:
    failure = None
    for line in lines:
        message = json.loads(line)
        if message["event"] == "epoch":
            on_epoch(message["log"])
        elif message["event"] == "batch":
            report_progress(
                "train",
                message["done"],
                message["batches"],
                f"epoch {message['epoch']}, batch {message['done']} of {message['batches']}, "
                f"loss {message['loss']:.4f}",
            )
        elif message["event"] == "resumed":
            logger.info("train: goes on after epoch %d", message["epochs"])
        elif message["event"] == "diverged":
            failure = message["message"]
    return failure


def _say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _leave_with_parent() -> None:
    """End this process when standard input closes."""
    # The descriptor, not sys.stdin: a thread that holds its lock would break a normal exit.
    while os.read(0, 1_024):
        continue
    os._exit(1)


def run_job(job_file: Path) -> int:
    """Train as the job file says and write the output; returns the exit code."""
    import numpy as np

    from sentiflow.model.training import answer, train_network

    description = read_json(job_file)
    tokens_folder = Path(description["tokens_folder"])
    with np.load(tokens_folder / "labels.npz", allow_pickle=False) as labels:
        train_labels, validation_labels = labels["train"], labels["validation"]
    train_ids, validation_ids = (_load_ids(description, side) for side in ("train", "validation"))
    said_at = 0.0

    def say_batch(epoch: int, done: int, batches: int, loss: float) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > 0.5 or done == batches:
            said_at = time.monotonic()
            _say("batch", epoch=epoch, done=done, batches=batches, loss=loss)

    try:
        trained = train_network(
            train_ids,
            train_labels,
            validation_ids,
            validation_labels,
            description["vocabulary_size"],
            NetworkSettings(**description["network"]),
            TrainingSettings(**description["training"]),
            checkpoint=Path(description["checkpoint"]),
            on_epoch=lambda log: _say("epoch", log=log),
            on_batch=say_batch,
            on_resume=lambda epochs: _say("resumed", epochs=epochs),
        )
    except TrainingDiverged as error:
        _say("diverged", message=str(error))
        return 1
    output = Path(description["output"])
    trained.network.save_weights(output / "network.weights.h5")
    np.save(output / "validation_probabilities.npy", answer(trained.network, validation_ids))
    write_json(
        output / "training.json",
        {
            "history": trained.history,
            "best_epoch": trained.best_epoch,
            "peak_memory_mb": measure_peak_memory_mb(),
        },
    )
    return 0


def _load_ids(description: dict[str, Any], side: str) -> TokenIds:
    """Read what the network reads of one side: shortened ids, with channels where there are."""
    import numpy as np

    from sentiflow.model.tokenization import TokenIds

    token_ids = TokenIds.load(Path(description["tokens_folder"]) / f"{side}.npz")
    if description["channels_folder"] is not None:
        channels = np.load(Path(description["channels_folder"]) / f"{side}.npy", allow_pickle=False)
        token_ids = replace(token_ids, channels=channels)
    return token_ids.shorten(TokenSettings(**description["tokens"]))


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sys.exit(run_job(Path(sys.argv[1])))
