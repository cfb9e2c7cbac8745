"""Record runs in MLflow: open by id, log, close.

Every call names its run; MLflow's thread-local active run is never relied on. Every call may be
made twice, so an MLflow that does not answer is asked again (`RetryPolicy`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sentiflow.errors import SentiflowError, UsageError
from sentiflow.files import hide_secrets
from sentiflow.retries import RetryPolicy, ask_mlflow, describe_failure, is_failure, shorten_error

logger = logging.getLogger(__name__)

_BATCH: Final = 100
_MOST_CHARACTERS: Final = 5_000
# Says which attempt made a run, so that an attempt that was not answered is found again.
_ATTEMPT_TAG: Final = "sentiflow.attempt"
_FAILURES: Final = (MlflowException, SQLAlchemyError, OSError)

_Answer = TypeVar("_Answer")


class Run:
    """One MLflow run.

    Every method but `path` raises RegistryUnreachable when MLflow does not answer for longer
    than the run's retry policy allows.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        experiment_id: str,
        uri: str,
        retry_policy: RetryPolicy,
    ) -> None:
        """Keep the client; `track_run` makes runs."""
        self._client = client
        self._retry_policy = retry_policy
        self.id = run_id
        self.experiment_id = experiment_id
        self.uri = uri
        # True once its work is done: however the block ends, the run is FINISHED.
        self.is_done = False

    @property
    def path(self) -> str:
        """The run's page, relative to the MLflow UI's address."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.id}"

    def read_artifact_uri(self) -> str:
        """Return where MLflow keeps the run's artifacts."""
        found: list[str] = []
        self._ask(lambda: found.append(str(self._client.get_run(self.id).info.artifact_uri)))
        return found[-1]

    def log_parameters(self, parameters: Mapping[str, str]) -> None:
        """Log parameters; values longer than MLflow keeps are cut."""
        entries = [Param(key, value[:_MOST_CHARACTERS]) for key, value in parameters.items()]
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            self._ask(lambda batch=batch: self._client.log_batch(self.id, params=batch))  # type: ignore[misc]

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers; missing ones are left out."""
        now = int(time.time() * 1000)
        entries = [
            Metric(key, float(value), now, step)
            for key, value in metrics.items()
            if value is not None
        ]
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            self._ask(lambda batch=batch: self._client.log_batch(self.id, metrics=batch))  # type: ignore[misc]

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        entries = [RunTag(key, value[:_MOST_CHARACTERS]) for key, value in tags.items()]
        self._ask(lambda: self._client.log_batch(self.id, tags=entries))

    def log_files(self, paths: list[Path], folder: str | None = None) -> None:
        """Log files as artifacts, into an artifact folder where one is named."""
        for path in paths:
            self._ask(lambda path=path: self._client.log_artifact(self.id, str(path), folder))  # type: ignore[misc]

    def log_json(self, value: Any, name: str) -> None:
        """Log a JSON value as an artifact."""
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        self._ask(lambda: self._client.log_text(self.id, text, name))

    def log_dataset(
        self, name: str, fingerprint: str, source: str, rows: int, context: str
    ) -> None:
        """Log what the run was made of, by sentiflow's own fingerprint.

        MLflow's digests see the first rows only and hold 36 characters; the whole
        fingerprint is in the profile.
        """
        dataset = Dataset(
            name=name,
            digest=fingerprint[:36],
            source_type="sentiflow-snapshot",
            source=json.dumps({"uri": source}),
            profile=json.dumps({"num_rows": rows, "fingerprint": fingerprint}),
        )
        tag = InputTag("mlflow.data.context", context)
        inputs = [DatasetInput(dataset, [tag])]
        self._ask(lambda: self._client.log_inputs(self.id, datasets=inputs))

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._ask(lambda: self._client.set_terminated(self.id, status))

    def _ask(self, call: Callable[[], object]) -> None:
        try:
            ask_mlflow(self._retry_policy, self.uri, call)
        except MlflowException as error:
            raise self._describe_refusal(error) from error

    def _describe_refusal(self, error: MlflowException) -> SentiflowError:
        """Return the error of a call that MLflow refuses: most often because the run is gone."""
        try:
            stage = self._client.get_run(self.id).info.lifecycle_stage
        except _FAILURES as unknown:
            # If MLflow refuses to show it, it is gone; if MLflow went away, nobody knows.
            if is_failure(unknown):
                return describe_failure(self.uri, unknown)
            stage = "gone"
        if stage == "active":
            return SentiflowError(
                f"MLflow must take what the night logs to its run {self.id}. Received: "
                f"{shorten_error(error)}. Correct what MLflow names and run the night again: "
                "finished steps are reused."
            )
        ways = (
            "Run the night again: finished steps are reused."
            if stage == "gone"
            else f"Restore it (mlflow runs restore --run-id {self.id}, or with its experiment "
            f"mlflow experiments restore --experiment-id {self.experiment_id}; both ask the server "
            "of MLFLOW_TRACKING_URI), or leave it, and run the night again: finished steps are "
            "reused."
        )
        return SentiflowError(
            f"The night's MLflow run {self.id} must stay there until the night ends. Received: it "
            f"{'is gone' if stage == 'gone' else 'was deleted'}. {ways}"
        )


@contextmanager
def track_run(
    uri: str,
    experiment: str,
    artifacts: Path | None,
    name: str,
    tags: Mapping[str, str],
    retry_policy: RetryPolicy | None = None,
) -> Iterator[Run]:
    """Open a run and close it when the block ends, as what it was.

    Args:
        uri: MLflow's address.
        experiment: the experiment's name; made if it does not exist.
        artifacts: where a new experiment keeps artifacts; None leaves it to the server.
        name: the run's name.
        tags: the run's first tags.
        retry_policy: how long an MLflow that does not answer is asked again; None asks once.

    Yields:
        The run, RUNNING. It ends FINISHED, FAILED after an error, KILLED when the block was ended
        from outside (Ctrl-C, a signal, a cancelled flow). Where MLflow does not answer then, it
        stays RUNNING: a sweep ends it, and what the block did or raised stands.

    Raises:
        RegistryUnreachable: MLflow does not answer.
        UsageError: the experiment was deleted.
        SentiflowError: MLflow refuses.
    """
    retry_policy = retry_policy or RetryPolicy()
    try:
        # A client of a database connects when it is made.
        client = retry_policy.ask(lambda: MlflowClient(tracking_uri=uri, registry_uri=uri))
        experiment_id = retry_policy.ask(lambda: _open_experiment(client, experiment, artifacts))
        run_id = _make_run(client, experiment_id, name, tags, retry_policy)
    except _FAILURES as error:
        raise _describe_failure(uri, error) from error
    tracked = Run(client, run_id, experiment_id, uri, retry_policy)
    try:
        yield tracked
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        _close(tracked, "FINISHED" if tracked.is_done else status)
        raise
    _close(tracked, "FINISHED")


def _open_experiment(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    """Return the experiment's id; it is made where there is none."""
    if (found := client.get_experiment_by_name(name)) is not None:
        if found.lifecycle_stage == "deleted":
            # MLflow keeps its name, and neither takes runs for it nor makes another one.
            raise UsageError(
                f"The MLflow experiment {name} must be there. Received: it was deleted. Restore "
                f"it: mlflow experiments restore --experiment-id {found.experiment_id} (it asks "
                "the server of MLFLOW_TRACKING_URI); or name another: --set tracking.experiment=…"
            )
        return str(found.experiment_id)
    try:
        made = client.create_experiment(
            name,
            artifact_location=artifacts.as_uri() if artifacts else None,
            # Without it the UI opens runs as if they were of a chat model.
            tags={"mlflow.experimentKind": "custom_model_development"},
        )
    except MlflowException as error:
        # Somebody else made it meanwhile, or an attempt of ours that was not answered.
        found = client.get_experiment_by_name(name) if _is_taken(error) else None
        if found is None:
            raise
        return str(found.experiment_id)
    return str(made)


def _is_taken(error: MlflowException) -> bool:
    return str(error.error_code) == "RESOURCE_ALREADY_EXISTS"


def _make_run(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    retry_policy: RetryPolicy,
) -> str:
    """Make a run, just one, however often it must be asked for; return its id."""
    tagged = {**tags, _ATTEMPT_TAG: uuid4().hex}
    attempts = 0

    def make() -> str:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            # The answer may have been lost after the run was made.
            query = f"tags.`{_ATTEMPT_TAG}` = '{tagged[_ATTEMPT_TAG]}'"
            if found := client.search_runs([experiment_id], query, max_results=1):
                return str(found[0].info.run_id)
        return str(client.create_run(experiment_id, run_name=name, tags=tagged).info.run_id)

    return retry_policy.ask(make)


def _close(run: Run, status: str) -> None:
    try:
        run.close(status)
    except (SentiflowError, *_FAILURES) as error:
        logger.warning(
            "The MLflow run %s stays RUNNING until a sweep ends it: %s",
            run.id,
            error if isinstance(error, SentiflowError) else shorten_error(error),
        )


@dataclass(frozen=True)
class RunningRun:
    """A night's run that MLflow has as RUNNING.

    Attributes:
        id: MLflow's.
        model: the registered model's name.
        flow_run_id: Prefect's; "" where there is none.
    """

    id: str
    model: str
    flow_run_id: str


def query_running_runs(
    uri: str, experiment: str, retry_policy: RetryPolicy | None = None
) -> list[RunningRun]:
    """Return the nights' runs of an experiment that are RUNNING by MLflow's account.

    Args:
        uri: MLflow's address.
        experiment: the experiment's name.
        retry_policy: how long an MLflow that does not answer is asked again; None asks once.

    Raises:
        RegistryUnreachable: MLflow does not answer.
    """

    def search() -> list[Any]:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return []
        query = "attributes.status = 'RUNNING' AND tags.`sentiflow.model` != ''"
        return list(client.search_runs([found.experiment_id], query, max_results=1_000))

    try:
        runs = (retry_policy or RetryPolicy()).ask(search)
    except _FAILURES as error:
        raise describe_failure(uri, error) from error
    return [
        RunningRun(
            run.info.run_id,
            run.data.tags["sentiflow.model"],
            run.data.tags.get("sentiflow.prefect_flow_run_id", ""),
        )
        for run in runs
    ]


def end_dead_run(uri: str, run_id: str) -> bool:
    """End a run as KILLED if it is RUNNING still; returns whether it was.

    Raises:
        RegistryUnreachable: MLflow does not answer.
    """
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if client.get_run(run_id).info.status != "RUNNING":
            return False
        client.set_terminated(run_id, "KILLED")
    except _FAILURES as error:
        raise describe_failure(uri, error) from error
    return True


def _describe_failure(uri: str, error: Exception) -> SentiflowError:
    if is_failure(error):
        return describe_failure(uri, error)
    return SentiflowError(
        f"MLflow must open a run. Received: uri={hide_secrets(uri)}, "
        f"error={shorten_error(error)}. Correct tracking.uri, or what MLflow names."
    )
