"""Every setting there is, in small frozen groups; the only reader of the environment.

Settings come from the defaults below, then a preset or TOML file, then `--set`
overrides, each later one winning. Unknown keys are refused by name.
"""

from __future__ import annotations

import getpass
import os
import socket
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sentiflow.errors import SettingsError

SAMPLE_MODEL_NAME = "sentiflow-sample"


class _Group(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnSettings(_Group):
    """Which column of the source holds what; only text and one of stars and label must exist."""

    review_id: str = "review_id"
    text: str = "text"
    stars: str | None = "stars"
    label: str | None = None
    date: str = "date"
    business_id: str = "business_id"
    user_id: str = "user_id"

    @model_validator(mode="after")
    def _has_a_target(self) -> ColumnSettings:
        if self.stars is None and self.label is None:
            raise ValueError("one of data.columns.stars and data.columns.label must name a column")
        return self


class DataSettings(_Group):
    """How reviews are read and which of them count."""

    columns: ColumnSettings = ColumnSettings()
    format: Literal["auto", "jsonl", "csv", "parquet"] = "auto"
    encoding: str = "utf-8"
    chunk_rows: int = Field(20_000, ge=1, le=1_000_000)
    max_line_bytes: int = Field(4_000_000, ge=1_000)
    max_rejected_share: float = Field(0.05, ge=0, le=1)
    positive_above: float = Field(3.0, ge=1, lt=5)
    neutral: Literal["keep", "leave_out"] = "keep"
    category: str | None = None


class ValidationSettings(_Group):
    """The bounds of the table expectations; see data/validation.py for the expectations."""

    min_rows: int = Field(1_000, ge=1)
    min_class_share: float = Field(0.05, ge=0, le=0.5)
    min_mean_words: float = Field(3.0, ge=0)
    max_mean_words: float = Field(2_000.0, gt=0)
    max_missing_date_share: float = Field(0.5, ge=0, le=1)
    min_volume_ratio: float = Field(0.7, ge=0)
    max_volume_ratio: float = Field(5.0, gt=0)
    max_balance_shift: float = Field(0.1, ge=0, le=1)
    min_test_rows: int = Field(200, ge=1)
    min_test_class_rows: int = Field(30, ge=1)


class SplitSettings(_Group):
    """Shares of the 10,000 buckets; part of the lineage."""

    test_share: float = Field(0.15, gt=0, lt=0.5)
    validation_share: float = Field(0.10, gt=0, lt=0.5)


class TokenSettings(_Group):
    """How texts become token ids."""

    vocabulary_size: int = Field(10_000, ge=10)
    length: int = Field(256, ge=2)
    head_share: float = Field(0.5, ge=0, le=1)


class NetworkSettings(_Group):
    """The shape of the network."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    embedding: int = Field(128, ge=1)
    word_vectors: Literal["random", "cooccurrence"] = "cooccurrence"
    units: tuple[Annotated[int, Field(ge=1)], ...] = Field((32,), min_length=1)
    bidirectional: bool = True
    pooling: Literal["last", "mean", "max", "mean_max"] = "mean_max"
    embedding_skip: bool = True
    dense: tuple[Annotated[int, Field(ge=1)], ...] = ()
    word_dropout: float = Field(0.2, ge=0, lt=1)
    embedding_dropout: float = Field(0.4, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.5, ge=0, lt=1)


class TrainingSettings(_Group):
    """How the network is trained."""

    epochs: int = Field(8, ge=1)
    patience: int = Field(2, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    clip_norm: float = Field(1.0, gt=0)
    averaging: float = Field(0.995, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    pad_every_review_to: int | None = Field(None, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1)
    max_minutes: float = Field(120.0, gt=0)
    seed: int = Field(20181, ge=0)


class BaselineSettings(_Group):
    """The TF-IDF with logistic regression that stands beside every model."""

    max_rows: int = Field(200_000, ge=10)
    regularizations: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 3.0, 10.0, 30.0, 100.0), min_length=1
    )
    min_document_counts: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 2, 5), min_length=1)


class GateSettings(_Group):
    """The rules a challenger must pass; docs/gate.md says why each default is what it is."""

    policy: Literal["superior_or_fresh", "superior"] = "superior_or_fresh"
    approval: Literal["automatic", "manual"] = "automatic"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    alpha_nights: int = Field(30, ge=1)
    margin: float = Field(0.01, ge=0, lt=0.5)
    max_champion_age: int = Field(30, ge=0)
    resamples: int = Field(2_000, ge=100, le=100_000)
    min_accuracy: float = Field(0.6, ge=0, le=1)
    min_balanced_accuracy: float = Field(0.6, ge=0, le=1)
    min_roc_auc: float = Field(0.65, ge=0, le=1)
    max_ece: float = Field(0.2, ge=0, le=1)
    baseline_margin: float = Field(0.015, ge=0, le=1)
    min_slice_rows: int = Field(100, ge=1)
    slice_alpha: float = Field(0.05, gt=0, lt=0.5)
    newest: Literal["report", "require"] = "report"
    min_newest_rows: int = Field(100, ge=1)
    max_churn: float = Field(0.2, ge=0, le=1)
    behaviours: Literal["require", "report"] = "require"
    behaviour_floors: dict[str, float] = {}
    max_latency_ms: float = Field(250.0, gt=0)
    max_artifact_mb: float = Field(250.0, gt=0)
    check_seconds: float = Field(300.0, gt=0)


class LedgerSettings(_Group):
    """Where the release ledger is kept; None means a SQLite file under the home."""

    url: str | None = None


class ServingSettings(_Group):
    """How the prediction service listens, what it accepts and how it follows the champion."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65_535)
    poll_seconds: float = Field(5.0, gt=0)
    max_texts: int = Field(256, ge=1)
    max_characters: int = Field(100_000, ge=1)
    max_body_bytes: int = Field(4_000_000, ge=1_000)
    max_batch: int = Field(64, ge=1)
    max_waiting: int = Field(1_024, ge=1)
    drain_seconds: float = Field(20.0, ge=0)


class ModelSettings(_Group):
    """The registered model's name."""

    name: str = Field("sentiflow", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")


class TrackingSettings(_Group):
    """Where MLflow keeps runs and versions; None means a SQLite file under the home."""

    uri: str | None = None
    experiment: str = "sentiflow"


class Settings(_Group):
    """All settings of a night."""

    data: DataSettings = DataSettings()
    validation: ValidationSettings = ValidationSettings()
    split: SplitSettings = SplitSettings()
    tokens: TokenSettings = TokenSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    baseline: BaselineSettings = BaselineSettings()
    gate: GateSettings = GateSettings()
    ledger: LedgerSettings = LedgerSettings()
    serving: ServingSettings = ServingSettings()
    model: ModelSettings = ModelSettings()
    tracking: TrackingSettings = TrackingSettings()


def load_settings(
    config: str | None = None, overrides: Sequence[str] = (), category: str | None = None
) -> Settings:
    """Return the settings of a preset or TOML file with overrides applied.

    Args:
        config: a preset's name (`article-2018`), a path of a TOML file, or None.
        overrides: `group.key=value` strings; later ones win. Values are TOML (numbers,
            true, [64, 32]); what is no TOML is taken as text.
        category: shorthand for data.category.

    Raises:
        SettingsError: the file cannot be read, a key is unknown or a value is not allowed.
    """
    values = _read_config(config) if config else {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise SettingsError(
                f"An override must look like group.key=value. Received: {override!r}. "
                "Example: --set training.epochs=3"
            )
        _set_key(values, key.strip().split("."), _parse_value(text.strip()))
    if category is not None:
        _set_key(values, ["data", "category"], category)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def list_presets() -> list[str]:
    """Return the names of the presets that come with the project."""
    return sorted(path.stem for path in _find_configs().glob("*.toml"))


def find_home() -> Path:
    """Return SENTIFLOW_HOME as an absolute path: the environment's, or .sentiflow/ here."""
    return Path(os.environ.get("SENTIFLOW_HOME") or ".sentiflow").expanduser().resolve()


def find_tracking_uri(tracking: TrackingSettings, home: Path) -> str:
    """Return MLflow's address: the setting's, the environment's, or SQLite under the home."""
    if tracking.uri:
        return tracking.uri
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"


def find_ledger_url(ledger: LedgerSettings, home: Path) -> str:
    """Return the ledger's database: the setting's, the environment's, or SQLite in the home."""
    if ledger.url:
        return ledger.url
    return os.environ.get("SENTIFLOW_LEDGER_URL") or f"sqlite:///{home / 'ledger.db'}"


def find_actor() -> str:
    """Return who acts, for the ledger: SENTIFLOW_ACTOR, or user@machine."""
    if named := os.environ.get("SENTIFLOW_ACTOR"):
        return named[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user id need not have a name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:200]


def find_api_key() -> str | None:
    """Return the prediction service's key: SENTIFLOW_API_KEY, or the content of its _FILE.

    Raises:
        SettingsError: the file cannot be read, or the key is empty.
    """
    key = os.environ.get("SENTIFLOW_API_KEY")
    if path := os.environ.get("SENTIFLOW_API_KEY_FILE"):
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"SENTIFLOW_API_KEY_FILE must be a readable text file. Received: {path}: {error}."
            ) from None
    if key is not None and not key:
        raise SettingsError("The API key must not be empty. Unset SENTIFLOW_API_KEY or fill it.")
    return key


def prepare_environment(home: Path) -> None:
    """Point Prefect, MLflow, TensorFlow and Great Expectations at the home, quietly.

    An entry point calls this before any of them is imported. What the environment already
    says is left alone, so that servers named there are used. Telemetry is off.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    defaults = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_CLI_PROMPT": "false",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        # MLflow's own defaults wait two minutes on a server that is down.
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    for key, value in defaults.items():
        os.environ.setdefault(key, value)


def _find_configs() -> Path:
    here = Path(__file__).resolve()
    packaged = here.parent / "configs"
    return packaged if packaged.is_dir() else here.parents[2] / "configs"


def _read_config(config: str) -> dict[str, Any]:
    path = Path(config).expanduser()
    if not path.is_file():
        path = _find_configs() / f"{config}.toml"
    if not path.is_file():
        raise SettingsError(
            f"--config must be a TOML file or a preset. Received: {config!r}. "
            f"Presets: {', '.join(list_presets())}."
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"A settings file must be readable TOML. Received: {config}: {error}."
        ) from None


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text.lower() in ("none", "null") else text


def _set_key(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{'.'.join(path)} goes deeper than there are groups.")
        values = inner
    values[path[-1]] = value


def _explain(error: ValidationError) -> str:
    sentences = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(path, list_keys(), n=1)
            hint = f" Did you mean {near[0]}?" if near else " See configs/default.toml."
            sentences.append(f"There is no setting {path}.{hint}")
        else:
            received = problem.get("input")
            sentences.append(f"{path}: {problem['msg']}. Received: {received!r}.")
    return " ".join(sentences)


def list_keys(group: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every settings key, dotted."""
    keys = []
    for name, entry in group.model_fields.items():
        kind = entry.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += list_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings as dotted key → text, for MLflow's parameters."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)
    return flat
