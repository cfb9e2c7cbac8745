"""Keep versions and aliases in MLflow's model registry.

A look-up that finds nothing and a look-up that fails are told apart everywhere: the first
is None, the second raises, so that an unreachable registry can never read as "no champion".
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sqlalchemy.exc import SQLAlchemyError

from sentiflow.errors import (
    ArtifactError,
    GateNotEvaluated,
    NoModelError,
    SentiflowError,
    describe_error,
)
from sentiflow.files import hide_secrets, make_temporary_prefix
from sentiflow.model.engine import load_engine
from sentiflow.release.known_files import KnownFiles, check_files, digest_bundle
from sentiflow.retries import RetryPolicy, ask_mlflow, describe_failure, shorten_error

if TYPE_CHECKING:
    from sentiflow.model.bundle import Bundle

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

_SHOWN_VERSIONS: Final = 10
# MLflow keeps a version's number in an INTEGER of 32 bits; databases refuse to look for more.
_LARGEST_VERSION: Final = 2**31 - 1
_MOST_DIGITS: Final = len(str(_LARGEST_VERSION))

# Where MLflow keeps the addresses that it was given last.
_ADDRESSES: Final = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")

_FAILURES: Final = (MlflowException, SQLAlchemyError, OSError)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        name: the registered model's name.
        number: MLflow's version number.
        run_id: the MLflow run that made it.
        tags: its tags.
        model_id: MLflow's id of the logged model; empty when there is none.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    model_id: str = ""

    @property
    def uri(self) -> str:
        """The address MLflow loads it by."""
        return f"models:/{self.name}/{self.number}"


@contextmanager
def _speak_to(uri: str) -> Iterator[None]:
    """Let MLflow's own functions ask this address, and leave the environment as it was.

    MLflow writes the address there too, where the next command of this process would read it
    as one that a user gave.
    """
    before = {name: os.environ.get(name) for name in _ADDRESSES}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Registry:
    """The model registry at one address."""

    def __init__(self, uri: str, retry_policy: RetryPolicy | None = None) -> None:
        """Remember the address; nothing is asked yet.

        Args:
            uri: MLflow's address.
            retry_policy: how long an MLflow that does not answer is asked again; None asks once.
        """
        self.uri = uri
        self._retry_policy = retry_policy or RetryPolicy()

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def read_model_tags(self, name: str) -> dict[str, str]:
        """Return the registered model's tags; none when the name is not registered."""
        model = self._find(lambda: self._client.get_registered_model(name))
        return dict(model.tags) if model is not None else {}

    def list_models(self) -> list[str]:
        """Return the names of all registered models that sentiflow made."""
        found = self._find(lambda: self._client.search_registered_models(max_results=1_000))
        return sorted(model.name for model in found or () if "sentiflow.lineage" in model.tags)

    def look_up_version(self, name: str, number: int) -> Version | None:
        """Return the version with this number, or None."""
        if not 0 < number <= _LARGEST_VERSION:
            return None
        found = self._find(lambda: self._client.get_model_version(name, str(number)))
        return _as_version(found) if found is not None else None

    def look_up_alias(self, name: str, alias: str) -> Version | None:
        """Return the version an alias points at, or None when there is no such alias."""
        model = self._find(lambda: self._client.get_registered_model(name))
        if model is None or alias not in model.aliases:
            return None
        number = int(model.aliases[alias])
        version = self.look_up_version(name, number)
        if version is None:
            raise GateNotEvaluated(
                f"The alias {alias} of {name} must point at a version. Received: version {number}, "
                "which does not exist. Point the alias at a version that does."
            )
        return version

    def query_versions(self, name: str, tags: Mapping[str, str]) -> list[Version]:
        """Return the versions with all these tags, newest first."""
        quoted = name.replace("'", "")
        found = self._find(
            lambda: self._client.search_model_versions(f"name='{quoted}'", max_results=10_000)
        )
        versions = [_as_version(version) for version in found or ()]
        wanted = [
            version
            for version in versions
            if all(version.tags.get(key) == value for key, value in tags.items())
        ]
        return sorted(wanted, key=lambda version: version.number, reverse=True)

    def knows_any(self, name: str, registered: Sequence[tuple[int, str]]) -> bool:
        """Say whether one of these versions is here, or was: a deleted version's run still is.

        Args:
            name: the registered model's name.
            registered: number and run of versions that were registered once.
        """
        here = {(version.number, version.run_id) for version in self.query_versions(name, {})}
        return any(
            pair in here or self._find(lambda run=pair[1]: self._client.get_run(run)) is not None  # type: ignore[misc]
            for pair in registered
        )

    def register(
        self,
        name: str,
        run_id: str,
        bundle: Path,
        tags: Mapping[str, str],
        model_tags: Mapping[str, str],
        description: str,
    ) -> Version:
        """Log a bundle to a run and register it as a new version.

        Args:
            name: the registered model's name; made if it does not exist.
            run_id: the run that holds the artifact.
            bundle: the bundle's folder.
            tags: the version's tags.
            model_tags: the registered model's tags (its lineage).
            description: the version's description, Markdown.

        Returns:
            The new version, without an alias.

        Raises:
            SentiflowError: the run, or its experiment, was deleted; or MLflow refuses otherwise.
            RegistryUnreachable: the registry did not answer.
        """
        try:
            model_uri, model_id = self._ask(lambda: self._log_bundle(run_id, bundle))
        except MlflowException as error:
            raise SentiflowError(
                f"MLflow must take the model into the night's run {run_id}. Received: "
                f"{shorten_error(error)}. Restore what was deleted, or correct what MLflow names, "
                "and run the night again: finished steps are reused."
            ) from error
        if self._find(lambda: self._client.get_registered_model(name)) is None:
            self._ask(lambda: self._register_name(name))
        for key, value in model_tags.items():
            self._ask(
                lambda key=key, value=value: self._client.set_registered_model_tag(  # type: ignore[misc]
                    name, key, value
                )
            )

        attempts = 0

        def create() -> Version:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                # The answer may have been lost after the version was made; there must be one.
                for found in self.query_versions(name, {}):
                    if found.model_id == model_id:
                        return found
            made = self._client.create_model_version(
                name,
                source=model_uri,
                run_id=run_id,
                tags=dict(tags),
                description=description,
                model_id=model_id,
            )
            return _as_version(made)

        return self._ask(create)

    def _log_bundle(self, run_id: str, bundle: Path) -> tuple[str, str]:
        """Log a bundle to a run; return the logged model's address and id."""
        package = Path(__file__).resolve().parents[1]
        # log_model knows no run id of its own: this block is the one place with an active run.
        with _speak_to(self.uri), mlflow.start_run(run_id=run_id, log_system_metrics=False):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(package / "release" / "registered_model.py"),
                artifacts={"bundle": bundle.absolute().as_uri()},
                signature=_SIGNATURE,
                input_example=pd.DataFrame({"text": ["Great food and very friendly service!"]}),
                pip_requirements=_list_requirements(),
                code_paths=[str(package)],
            )
        return str(logged.model_uri), str(logged.model_id)

    def _register_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            # Another attempt, whose answer was lost, or another night made it.
            if str(error.error_code) != "RESOURCE_ALREADY_EXISTS":
                raise

    def point(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version.

        Raises:
            NoModelError: there is no such version.
            RegistryUnreachable: the registry did not answer.
        """
        if self.look_up_version(name, number) is None:
            raise NoModelError(
                f"The alias {alias} of {name} must point at a version that exists. Received: "
                f"version {number}. Roll back to another: sentiflow rollback --to N --reason …"
            )
        self._find(lambda: self._client.set_registered_model_alias(name, alias, str(number)))

    def tag_version(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        for key, value in tags.items():
            self._find(
                lambda key=key, value=value: self._client.set_model_version_tag(  # type: ignore[misc]
                    version.name, str(version.number), key, value
                )
            )

    def tell(
        self, name: str, number: int, run_id: str | None, tags: Mapping[str, str], description: str
    ) -> None:
        """Set a version's tags and description; nothing happens where that version is gone.

        Args:
            name: the registered model's name.
            number: the version.
            run_id: the run that made it, as another model may have the number; None: any.
            tags: to be set; others stay.
            description: Markdown.

        Raises:
            RegistryUnreachable: the registry did not answer, or refused.
        """
        version = self.look_up_version(name, number)
        if version is None or run_id not in (None, version.run_id):
            return
        self.tag_version(version, tags)
        self._find(lambda: self._client.update_model_version(name, str(number), description))

    def unpoint(self, name: str, alias: str) -> None:
        """Take an alias away; nothing happens when there is none."""
        self._find(lambda: self._client.delete_registered_model_alias(name, alias))

    def delete_version(self, version: Version) -> None:
        """Delete a version, its logged model and its run, artifacts included."""
        self._find(lambda: self._client.delete_model_version(version.name, str(version.number)))
        if version.model_id:
            self._find(lambda: self._client.delete_logged_model(version.model_id))
        self._find(lambda: self._client.delete_run(version.run_id))

    def fetch_bundle(self, version: Version, folder: Path) -> Path:
        """Copy a version's bundle below a folder and return the bundle's own folder.

        Raises:
            ArtifactError: the artifact is not there or holds no bundle.
            RegistryUnreachable: the registry did not answer.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _speak_to(self.uri):
                fetched = self._ask_for_files(
                    version,
                    lambda: mlflow.artifacts.download_artifacts(version.uri, dst_path=str(folder)),
                )
        except _FAILURES as error:
            raise ArtifactError(
                f"The artifact of version {version.number} of {version.name} must be there. "
                f"Received: {str(error)[:300]}."
            ) from error
        found = sorted(Path(fetched).rglob("bundle.json"))
        if len(found) != 1:
            raise ArtifactError(
                f"Version {version.number} of {version.name} must hold one bundle. Received: "
                f"{len(found)} at {self._name_storage(version)}. Restore the files of its artifact "
                "there (where the home was moved, let one command write to it, or link its old "
                "place), or make another version champion: sentiflow rollback --to N --reason …"
            )
        return found[0].parent

    def _name_storage(self, version: Version) -> str:
        """Return where MLflow has a version's files, as far as it can be told."""
        try:
            told = self._ask(
                lambda: self._client.get_model_version_download_uri(
                    version.name, str(version.number)
                )
            )
        except SentiflowError:
            # It is said beside what went wrong, and hides that not.
            return "its place in MLflow's storage"
        return hide_secrets(str(told))

    def measure_artifact_mb(self, version: Version) -> float:
        """Return the size of all files of a version's artifact in megabytes, copying none."""

        def measure(folder: str) -> int:
            entries = mlflow.artifacts.list_artifacts(
                artifact_uri=f"{version.uri}/{folder}" if folder else version.uri
            )
            return sum(
                measure(entry.path) if entry.is_dir else int(entry.file_size or 0)
                for entry in entries
            )

        with _speak_to(self.uri):
            return (self._find(lambda: measure("")) or 0) / 1e6

    def fetch_run_file(self, run_id: str, name: str, folder: Path) -> Path:
        """Copy one artifact of a run below a folder and return its path.

        Raises:
            ArtifactError: the run or the file is not there.
            RegistryUnreachable: the registry did not answer.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return Path(
                self._ask(lambda: self._client.download_artifacts(run_id, name, str(folder)))
            )
        except _FAILURES as error:
            raise ArtifactError(
                f"The run {run_id} must hold {name}. Received: {str(error)[:300]}."
            ) from error

    def load(self, version: Version, known: KnownFiles, scratch: Path) -> RegisteredModel:
        """Copy a version's bundle, and load that very copy if its files are the known ones.

        Nothing else of the artifact is looked at: what lies beside the bundle is never run.

        Args:
            version: the version.
            known: what the ledger knows of its files; see `known_files.require_known`.
            scratch: where it is copied to; the copy is removed again.

        Raises:
            UnknownFiles: they are others.
            ArtifactError: it does not load or fails its probes.
            RegistryUnreachable: the registry did not answer.
        """
        load_engine()
        from sentiflow.model.bundle import load_bundle

        scratch.mkdir(parents=True, exist_ok=True)
        prefix = make_temporary_prefix()
        with tempfile.TemporaryDirectory(prefix=prefix, dir=scratch) as folder:
            copy = self.fetch_bundle(version, Path(folder))
            check_files(version, digest_bundle(copy), known)
            try:
                bundle = load_bundle(copy)
                return RegisteredModel(version, bundle, bundle.read_trained_on())
            except (ArtifactError, ImportError, ValueError, OSError) as error:
                raise ArtifactError(
                    f"Version {version.number} of {version.name} must load. Received: "
                    f"{describe_error(error)}."
                ) from error

    def resolve(self, name: str, which: str) -> Version:
        """Return the version meant by `champion`, `challenger` or a number.

        Raises:
            NoModelError: there is none.
        """
        # isdigit alone is also true of "²", which int refuses, as it does thousands of digits.
        if which.isascii() and which.isdigit():
            version = self.look_up_version(name, int(which)) if len(which) <= _MOST_DIGITS else None
        elif which in (CHAMPION, CHALLENGER):
            version = self.look_up_alias(name, which)
        else:
            raise NoModelError(
                f"--model must be champion, challenger or a version number. Received: {which!r}."
            )
        if version is None:
            raise NoModelError(
                f"The model {name} must have a version for {which[:40]!r}. Received: "
                f"{self.tell_versions(name)}"
            )
        return version

    def tell_versions(self, name: str) -> str:
        """Return which versions a model has, newest first, and what to do with that."""
        numbers = [str(version.number) for version in self.query_versions(name, {})]
        if not numbers:
            return (
                "it has no version. Run a night first (sentiflow run; in place of a champion that "
                "is gone with --supersede --reason …), or name another model with --set "
                "model.name=…"
            )
        more = f" and {len(numbers) - _SHOWN_VERSIONS} more" * (len(numbers) > _SHOWN_VERSIONS)
        return f"it has {', '.join(numbers[:_SHOWN_VERSIONS])}{more}. Name one of them."

    def _find(self, ask: Callable[[], _Answer]) -> _Answer | None:
        """Return what is asked for, or None where there is no such thing."""
        try:
            return self._retry_policy.ask(ask)
        except _FAILURES as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise describe_failure(self.uri, error) from error

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        return ask_mlflow(self._retry_policy, self.uri, ask)

    def _ask_for_files(self, version: Version, ask: Callable[[], _Answer]) -> _Answer:
        """Return what is asked for of a version's files.

        MLflow says alike that a file is gone and that its server is: then the server itself is
        asked, which waits for it, and after that the file once more.
        """
        try:
            return self._ask(ask)
        except _FAILURES:
            if self.look_up_version(version.name, version.number) is None:
                raise
            return self._ask(ask)


class RegisteredModel:
    """A version loaded from the registry."""

    def __init__(
        self, version: Version, bundle: Bundle, trained_on: npt.NDArray[np.uint64]
    ) -> None:
        """Keep the loaded bundle; `Registry.load` makes these."""
        self.version = version
        self._bundle = bundle
        self._trained_on = trained_on

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of n texts; shape (n,), dtype float32."""
        return self._bundle.predict(texts)

    def read_trained_on(self) -> npt.NDArray[np.uint64]:
        """Return the sorted digests of the texts this version was trained on; dtype uint64."""
        return self._trained_on


_SIGNATURE: Final = ModelSignature(
    inputs=Schema([ColSpec("string", "text")]),
    outputs=Schema([ColSpec("string", "label"), ColSpec("float", "probability")]),
)


def _list_requirements() -> list[str]:
    """Return what the artifact needs to load, pinned to what is installed here."""
    packages = (
        "fsspec", "keras", "mlflow", "numpy", "orjson", "pandas", "pyarrow", "pydantic",
        "tensorflow",
    )  # fmt: skip
    return [f"{package}=={importlib.metadata.version(package)}" for package in packages]


def _as_version(found: Any) -> Version:
    source = str(found.source or "")
    return Version(
        name=found.name,
        number=int(found.version),
        run_id=found.run_id,
        tags=dict(found.tags),
        # SQL stores keep the logged model's id in the source only.
        model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else "",
    )
