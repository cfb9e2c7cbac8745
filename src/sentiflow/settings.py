"""Every setting there is, in small frozen groups; the only reader of the environment.

Settings come from the defaults below, then a preset or TOML file, then `--set`
overrides, each later one winning. Unknown keys are refused by name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

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

    vocabulary_size: int = Field(20_000, ge=10)
    length: int = Field(256, ge=2)
    head_share: float = Field(0.5, ge=0, le=1)


class NetworkSettings(_Group):
    """The shape of the network."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    embedding: int = Field(128, ge=1)
    units: tuple[int, ...] = (64,)
    bidirectional: bool = True
    pooling: Literal["last", "mean", "max", "mean_max"] = "mean_max"
    dense: tuple[int, ...] = ()
    embedding_dropout: float = Field(0.3, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.4, ge=0, lt=1)


class TrainingSettings(_Group):
    """How the network is trained."""

    epochs: int = Field(12, ge=1)
    patience: int = Field(2, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    clip_norm: float = Field(1.0, gt=0)
    class_weights: Literal["none", "balanced"] = "none"
    pad_every_review_to: int | None = Field(None, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1)
    max_minutes: float = Field(120.0, gt=0)
    seed: int = Field(20181, ge=0)


class BaselineSettings(_Group):
    """The TF-IDF with logistic regression that stands beside every model."""

    max_rows: int = Field(200_000, ge=10)
    regularizations: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    min_document_counts: tuple[int, ...] = (1, 2, 5)


class GateSettings(_Group):
    """The rules a challenger must pass."""

    min_accuracy: float = Field(0.6, ge=0, le=1)
    min_balanced_accuracy: float = Field(0.6, ge=0, le=1)
    min_roc_auc: float = Field(0.65, ge=0, le=1)
    max_ece: float = Field(0.2, ge=0, le=1)


class ModelSettings(_Group):
    """The registered model's name."""

    name: str = Field("sentiflow", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")


class TrackingSettings(_Group):
    """Where MLflow keeps runs and versions; None means a SQLite file under the home."""

    uri: str | None = None
    experiment: str = "sentiflow"
    max_wait_seconds: float = Field(60.0, gt=0)


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
    model: ModelSettings = ModelSettings()
    tracking: TrackingSettings = TrackingSettings()
