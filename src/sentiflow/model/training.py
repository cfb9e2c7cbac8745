"""Train the network epoch by epoch, so that it repeats and can be taken up again.

Shuffles and dropout follow from (seed, epoch) alone, and after each epoch a checkpoint
holds weights, optimizer and early-stopping state. A training taken up from a checkpoint
therefore ends in the same weights as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sentiflow.errors import TrainingDiverged
from sentiflow.files import new_folder, read_json
from sentiflow.model.batches import pad_batch, plan_epoch, plan_in_order, stream_batches
from sentiflow.model.embeddings import fit_word_vectors
from sentiflow.model.network import build_network
from sentiflow.model.tokenization import TokenIds
from sentiflow.settings import NetworkSettings, TrainingSettings

EpochLog = dict[str, float]
OnEpoch = Callable[[EpochLog], None]
OnBatch = Callable[[int, int, int, float], None]

_WEIGHTS: Final = "arrays.npz"
_ANSWER_BATCH: Final = 256


@dataclass
class _Progress:
    """Everything but arrays that a training taken up again must know."""

    epochs_done: int = 0
    best_epoch: int = -1
    best_val_loss: float = math.inf
    history: list[EpochLog] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """The outcome of a training.

    Attributes:
        network: the network with the weights of its best epoch.
        history: per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, seconds,
            learning_rate and reviews_per_second.
        best_epoch: the epoch (from 1) whose weights are kept.
    """

    network: keras.Model
    history: list[EpochLog]
    best_epoch: int


def train_network(
    train_ids: TokenIds,
    train_labels: npt.NDArray[np.int8],
    validation_ids: TokenIds,
    validation_labels: npt.NDArray[np.int8],
    vocabulary_size: int,
    network_settings: NetworkSettings,
    training: TrainingSettings,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_batch: OnBatch | None = None,
    on_resume: Callable[[int], object] | None = None,
) -> Trained:
    """Train until the validation loss stops falling and keep the best epoch's weights.

    Args:
        train_ids: token ids of n training reviews, shortened, with channels where the network
            reads them.
        train_labels: shape (n,), dtype int8, 1 = positive.
        validation_ids: token ids of m validation reviews.
        validation_labels: shape (m,), dtype int8.
        vocabulary_size: ids in use, padding and unknown included.
        network_settings: the network's shape.
        training: epochs, patience, batch size and the rest.
        checkpoint: folder to keep the last epoch in; taken up from if it exists.
        on_epoch: called with each finished epoch's log, also those of a checkpoint.
        on_batch: called with (epoch from 1, batches done, batches, loss so far).
        on_resume: called with the number of epochs that a checkpoint holds.

    Returns:
        The best network and the history.

    Raises:
        TrainingDiverged: a loss is NaN or infinite.
    """
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    network = build_network(network_settings, vocabulary_size, training.seed)
    optimizer = keras.optimizers.Adam(
        learning_rate=training.learning_rate,
        global_clipnorm=training.clip_norm,
        use_ema=training.averaging > 0,
        ema_momentum=cap_averaging(training, len(train_ids)),
    )
    network.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    optimizer.build(network.trainable_variables)
    progress = _Progress()
    best = network.get_weights()
    is_resumed = checkpoint is not None and checkpoint.exists()
    if network_settings.word_vectors == "cooccurrence" and not is_resumed:
        vectors = fit_word_vectors(
            train_ids, vocabulary_size, network_settings.embedding, training.seed
        )
        network.get_layer("embedding").set_weights([vectors])
    if checkpoint is not None and is_resumed:
        progress, best = _load_checkpoint(checkpoint, network, optimizer)
        if on_resume:
            on_resume(progress.epochs_done)
        for log in progress.history:
            if on_epoch:
                on_epoch(log)

    width = training.pad_every_review_to
    validation = stream_batches(
        validation_ids,
        validation_labels,
        plan_in_order(validation_ids.lengths, max(training.batch_size, 128)),
        width,
    )
    weights = _weigh_classes(train_labels) if training.class_weights == "balanced" else None

    while progress.epochs_done < training.epochs and not _has_stopped(progress, training):
        epoch = progress.epochs_done
        plan = plan_epoch(train_ids.lengths, training.batch_size, training.seed, epoch)
        plan = plan[: training.steps_per_epoch]
        _seed_dropout(network, training.seed, epoch)
        watch = _Watch(epoch + 1, len(plan), on_batch)
        fitted = network.fit(
            stream_batches(train_ids, train_labels, plan, width),
            class_weight=weights,
            callbacks=[watch],
            shuffle=False,
            verbose=0,
        )
        log = {name: float(values[-1]) for name, values in fitted.history.items()}
        # Keras leaves the moving average of the weights when fit ends (Polyak and Juditsky,
        # 1992): that is validated and kept, and training goes on from its own weights.
        candidate = network.get_weights()
        scores = network.evaluate(validation, verbose=0, return_dict=True)
        network.set_weights(watch.own_weights)
        log |= {f"val_{name}": float(value) for name, value in scores.items()}
        if not math.isfinite(log["loss"]) or not math.isfinite(log["val_loss"]):
            raise TrainingDiverged(
                f"The loss must stay finite. Received: loss={log['loss']}, "
                f"val_loss={log['val_loss']} in epoch {epoch + 1}. Lower "
                "training.learning_rate or training.clip_norm and run again."
            )
        log |= {
            "epoch": epoch + 1,
            "seconds": watch.seconds,
            "reviews_per_second": sum(map(len, plan)) / max(watch.seconds, 1e-9),
            "learning_rate": float(optimizer.learning_rate),
        }
        if log["val_loss"] < progress.best_val_loss:
            progress.best_val_loss = log["val_loss"]
            progress.best_epoch = epoch
            best = candidate
        progress.history.append(log)
        progress.epochs_done += 1
        if checkpoint is not None:
            _save_checkpoint(checkpoint, network, optimizer, progress, best)
        if on_epoch:
            on_epoch(log)

    network.set_weights(best)
    return Trained(network=network, history=progress.history, best_epoch=progress.best_epoch + 1)


def cap_averaging(training: TrainingSettings, rows: int) -> float:
    """Return the momentum of the moving average, which looks back one epoch at most.

    With little data a longer one would still hold the fresh weights when training ends.
    """
    steps = math.ceil(rows / training.batch_size)
    return min(training.averaging, 1 - 1 / max(steps, 1))


def answer(network: keras.Model, token_ids: TokenIds) -> npt.NDArray[np.float32]:
    """Return a network's class probabilities of n texts, shape (n, 2), dtype float32."""
    plan = plan_in_order(token_ids.lengths, _ANSWER_BATCH)
    probabilities = np.empty((len(token_ids), 2), np.float32)
    for positions in plan:
        probabilities[positions] = network.predict_on_batch(pad_batch(token_ids, positions))
    return probabilities


def _has_stopped(progress: _Progress, training: TrainingSettings) -> bool:
    return progress.epochs_done - 1 - progress.best_epoch >= training.patience


def _weigh_classes(labels: npt.NDArray[np.int8]) -> dict[int, float]:
    """Weigh classes by n / (2 n_class), as scikit-learn's "balanced" (King and Zeng, 2001)."""
    counts = np.bincount(labels, minlength=2)
    return {label: len(labels) / (2 * max(int(count), 1)) for label, count in enumerate(counts)}


def _seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Set the state of every dropout's seed generator from (seed, epoch)."""
    generators = [
        variable for variable in network.non_trainable_variables if "seed" in variable.path
    ]
    for index, generator in enumerate(generators):
        state = np.random.SeedSequence([seed, epoch, index]).generate_state(2, np.uint32)
        generator.assign(state.astype(generator.dtype))


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Time the batches, pass on their loss, stop when it is no number, keep the last weights."""

    def __init__(self, epoch: int, batches: int, on_batch: OnBatch | None) -> None:
        super().__init__()
        self._epoch = epoch
        self._batches = batches
        self._on_batch = on_batch
        self._started = 0.0
        self.seconds = 0.0
        self.own_weights: list[npt.NDArray[Any]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.own_weights = self.model.get_weights()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seconds = time.monotonic() - self._started
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss must stay finite. Received: loss={loss} in epoch {self._epoch}, batch "
                f"{batch + 1}. Lower training.learning_rate or training.clip_norm and run again."
            )
        if self._on_batch:
            self._on_batch(self._epoch, batch + 1, self._batches, loss)


def _save_checkpoint(
    folder: Path,
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    progress: _Progress,
    best: list[npt.NDArray[Any]],
) -> None:
    arrays = {f"weight_{at}": value for at, value in enumerate(network.get_weights())}
    arrays |= {f"best_{at}": value for at, value in enumerate(best)}
    arrays |= {
        f"optimizer_{at}": variable.numpy() for at, variable in enumerate(optimizer.variables)
    }
    with new_folder(folder) as temporary:
        np.savez(temporary / _WEIGHTS, **arrays)
        (temporary / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")


def _load_checkpoint(
    folder: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> tuple[_Progress, list[npt.NDArray[Any]]]:
    progress = _Progress(**read_json(folder / "progress.json"))
    with np.load(folder / _WEIGHTS, allow_pickle=False) as arrays:
        count = len(network.weights)
        network.set_weights([arrays[f"weight_{at}"] for at in range(count)])
        for at, variable in enumerate(optimizer.variables):
            variable.assign(arrays[f"optimizer_{at}"])
        return progress, [arrays[f"best_{at}"] for at in range(count)]
