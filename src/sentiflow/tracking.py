"""Record runs in MLflow: open by id, log, close.

Every call names its run; MLflow's thread-local active run is never relied on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sentiflow.errors import SentiflowError
from sentiflow.files import hide_secrets

_BATCH: Final = 100
_MOST_CHARACTERS: Final = 5_000


class Run:
    """One MLflow run."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str, uri: str) -> None:
        """Keep the client; `track_run` makes runs."""
        self._client = client
        self.id = run_id
        self.experiment_id = experiment_id
        self.uri = uri

    @property
    def path(self) -> str:
        """The run's page, relative to the MLflow UI's address."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.id}"

    def log_parameters(self, parameters: Mapping[str, str]) -> None:
        """Log parameters; values longer than MLflow keeps are cut."""
        entries = [Param(key, value[:_MOST_CHARACTERS]) for key, value in parameters.items()]
        for start in range(0, len(entries), _BATCH):
            self._client.log_batch(self.id, params=entries[start : start + _BATCH])

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers; missing ones are left out."""
        now = int(time.time() * 1000)
        entries = [
            Metric(key, float(value), now, step)
            for key, value in metrics.items()
            if value is not None
        ]
        for start in range(0, len(entries), _BATCH):
            self._client.log_batch(self.id, metrics=entries[start : start + _BATCH])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        entries = [RunTag(key, value[:_MOST_CHARACTERS]) for key, value in tags.items()]
        self._client.log_batch(self.id, tags=entries)

    def log_files(self, paths: list[Path], folder: str | None = None) -> None:
        """Log files as artifacts, into an artifact folder where one is named."""
        for path in paths:
            self._client.log_artifact(self.id, str(path), folder)

    def log_json(self, value: Any, name: str) -> None:
        """Log a JSON value as an artifact."""
        self._client.log_text(self.id, json.dumps(value, indent=2, sort_keys=True) + "\n", name)

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
        self._client.log_inputs(self.id, datasets=[DatasetInput(dataset, [tag])])

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self.id, status)


@contextmanager
def track_run(
    uri: str, experiment: str, artifacts: Path | None, name: str, tags: Mapping[str, str]
) -> Iterator[Run]:
    """Open a run and close it when the block ends, as what it was.

    Args:
        uri: MLflow's address.
        experiment: the experiment's name; made if it does not exist.
        artifacts: where a new experiment keeps artifacts; None leaves it to the server.
        name: the run's name.
        tags: the run's first tags.

    Yields:
        The run, RUNNING. It ends FINISHED, FAILED after an exception, KILLED after a signal.

    Raises:
        SentiflowError: MLflow cannot be reached.
    """
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None:
            experiment_id = found.experiment_id
        else:
            experiment_id = client.create_experiment(
                experiment,
                artifact_location=artifacts.as_uri() if artifacts else None,
                # Without it the UI opens runs as if they were of a chat model.
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
        run = client.create_run(experiment_id, run_name=name, tags=dict(tags))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise SentiflowError(
            f"MLflow must answer. Received: uri={hide_secrets(uri)}, "
            f"error={hide_secrets(str(error))[:300]}. "
            "Start the server or set tracking.uri."
        ) from error
    tracked = Run(client, run.info.run_id, experiment_id, uri)
    try:
        yield tracked
    except KeyboardInterrupt:
        tracked.close("KILLED")
        raise
    except BaseException:
        # Whatever it was, the run must not stay RUNNING.
        tracked.close("FAILED")
        raise
    tracked.close("FINISHED")
