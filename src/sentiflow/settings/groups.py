"""Every setting there is, in small frozen groups."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sentiflow.settings.notations import (
    LABEL_PRESETS,
    USUAL_DATES,
    USUAL_LABELS,
    USUAL_SCALE,
    Label,
    LabelMeanings,
    check_label_preset,
    check_labels_differ,
    fold_label,
    read_date_format,
    read_scale,
)

SAMPLE_MODEL_NAME = "sentiflow-sample"

# What a terminal or a file cannot show well.
_CHARACTERS = {
    "tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ",
    "backslash": "\\", "\\\\": "\\", "none": "",
}  # fmt: skip


class _Group(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnSettings(_Group):
    """Which column of the source holds what; only text and one of stars and label must exist."""

    review_id: str | None = "review_id"
    text: str = "text"
    stars: str | None = "stars"
    label: str | None = None
    date: str | None = "date"
    business_id: str | None = "business_id"
    user_id: str | None = "user_id"

    @field_validator("review_id", "stars", "label", "date", "business_id", "user_id", mode="before")
    @classmethod
    def _may_be_left_out(cls, name: object) -> object:
        """Take "none" for no column: TOML has no word of its own for it."""
        return None if isinstance(name, str) and name.strip().lower() == "none" else name

    @model_validator(mode="after")
    def _has_a_target(self) -> ColumnSettings:
        if self.stars is None and self.label is None:
            raise ValueError("one of data.columns.stars and data.columns.label must name a column")
        return self


class LabelSets(_Group):
    """The labels of a source, by what they mean; case and blanks around them do not count."""

    positive: tuple[Label, ...] = Field(min_length=1)
    negative: tuple[Label, ...] = Field(min_length=1)
    neutral: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _mean_one_thing(self) -> LabelSets:
        check_labels_differ(dict(self))
        return self


class DataSettings(_Group):
    """How reviews are read and which of them count."""

    columns: ColumnSettings = ColumnSettings()
    format: Literal["auto", "jsonl", "csv", "parquet"] = "auto"
    encoding: str = "utf-8"
    delimiter: str = "auto"
    quote: str | None = "auto"
    escape: str | None = "auto"
    header: bool = True
    column_names: tuple[str, ...] = ()
    chunk_rows: int = Field(20_000, ge=1, le=1_000_000)
    stall_seconds: float = Field(300.0, ge=0)
    allowed_roots: tuple[str, ...] = ()
    output_roots: tuple[str, ...] = ()
    max_line_bytes: int = Field(4_000_000, ge=1_000)
    max_rejected_share: float = Field(0.05, ge=0, le=1)
    positive_above: float = Field(3.0, ge=1, lt=5)
    neutral: Literal["keep", "leave_out"] = "keep"
    labels: Annotated[
        Annotated[str, Tag("preset")] | Annotated[LabelSets, Tag("sets")],
        Discriminator(lambda labels: "preset" if isinstance(labels, str) else "sets"),
    ] = USUAL_LABELS
    stars_scale: str = USUAL_SCALE
    date_format: str = USUAL_DATES
    max_unreadable_share: float = Field(0.05, ge=0, le=1)
    max_superseded_share: float = Field(0.2, ge=0, le=1)
    category: str | None = None

    @field_validator("labels")
    @classmethod
    def _are_known(cls, labels: str | LabelSets) -> str | LabelSets:
        return check_label_preset(labels) if isinstance(labels, str) else labels

    @field_validator("stars_scale", mode="before")
    @classmethod
    def _is_a_scale(cls, value: object) -> str:
        return str(read_scale(str(value)))

    @field_validator("date_format")
    @classmethod
    def _says_how_dates_are_written(cls, text: str) -> str:
        read_date_format(text)
        return text

    @property
    def label_meanings(self) -> LabelMeanings:
        """What each label means, by the preset or the sets of `labels`."""
        if isinstance(self.labels, str):
            return LABEL_PRESETS[self.labels]
        return LabelMeanings(
            *(
                frozenset(map(fold_label, group))
                for group in (self.labels.positive, self.labels.negative, self.labels.neutral)
            )
        )

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _is_one_character(cls, value: str | None, info: ValidationInfo) -> str | None:
        named = _CHARACTERS.get(value.lower(), value) if value is not None else None
        if info.field_name != "delimiter" and not named:
            return None
        if named != "auto" and (named is None or len(named) != 1 or named in "\r\n"):
            raise ValueError('must be "auto" or one character (a tab is called "tab")')
        return named

    @field_validator("column_names", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        # --set data.column_names=a,b,c is no TOML and arrives as text.
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_names(self) -> DataSettings:
        if self.header == bool(self.column_names):
            raise ValueError(
                "data.header = false and data.column_names go together: a file without a header "
                "needs a name for each of its columns, in their order"
            )
        return self


class ValidationSettings(_Group):
    """The bounds of the table expectations; see data/checks/validation.py for the expectations."""

    min_rows: int = Field(1_000, ge=1)
    min_class_share: float = Field(0.05, ge=0, le=0.5)
    min_mean_words: float = Field(3.0, ge=0)
    max_mean_words: float = Field(2_000.0, gt=0)
    max_missing_date_share: float = Field(0.5, ge=0, le=1)
    min_volume_ratio: float = Field(0.7, ge=0)
    max_volume_ratio: float = Field(5.0, gt=0)
    max_balance_shift: float = Field(0.1, ge=0, le=1)
    min_test_rows: int = Field(120, ge=1)
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

    wide: bool = True
    channels: bool = True
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    embedding: int = Field(128, ge=1)
    word_vectors: Literal["random", "cooccurrence"] = "cooccurrence"
    units: tuple[Annotated[int, Field(ge=1)], ...] = Field((32,), min_length=1)
    bidirectional: bool = True
    pooling: Literal["auto", "last", "mean", "max", "mean_max", "attention"] = "auto"
    embedding_skip: bool = True
    dense: tuple[Annotated[int, Field(ge=1)], ...] = ()
    word_dropout: float = Field(0.2, ge=0, lt=1)
    embedding_dropout: float = Field(0.4, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.5, ge=0, lt=1)

    @property
    def has_channels(self) -> bool:
        """Say whether the network reads the n-grams' weights beside the words."""
        return self.wide and self.channels


class WideSettings(_Group):
    """The n-grams beside the network (network.wide)."""

    longest: int = Field(3, ge=1, le=3)
    min_documents: int = Field(5, ge=1)
    max_ngrams: int = Field(200_000, ge=1)
    max_rows: int = Field(200_000, ge=10)
    regularizations: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (3.0, 10.0, 30.0), min_length=1
    )


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
    baseline_margin: float = Field(0.005, ge=0, le=1)
    min_slice_rows: int = Field(100, ge=1)
    slice_alpha: float = Field(0.05, gt=0, lt=0.5)
    newest: Literal["report", "require"] = "report"
    min_newest_rows: int = Field(100, ge=1)
    max_churn: float = Field(0.2, ge=0, le=1)
    behaviours: Literal["require", "report"] = "require"
    behaviour_pack: Literal["auto", "general", "restaurants", "films", "products"] = "auto"
    behaviour_floors: dict[str, float] = {}
    behaviour_min_rows: int = Field(4_000, ge=0)
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
    max_connections: int = Field(1_000, ge=16)
    head_seconds: float = Field(10.0, gt=0)
    body_seconds: float = Field(30.0, gt=0)
    answer_seconds: float = Field(30.0, gt=0)
    idle_seconds: float = Field(5.0, gt=0)
    drain_seconds: float = Field(20.0, ge=0)


class ModelSettings(_Group):
    """The registered model's name."""

    name: str = Field("sentiflow", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")


class TrackingSettings(_Group):
    """Where MLflow keeps runs and versions; None means a SQLite file under the home."""

    uri: str | None = None
    experiment: str = "sentiflow"
    patience_seconds: float = Field(120.0, ge=0)


class LeaseSettings(_Group):
    """How a night shows that it lives, and when another one may take its place."""

    heartbeat_seconds: float = Field(5.0, gt=0)
    stale_seconds: float = Field(90.0, gt=0)

    @model_validator(mode="after")
    def _beats_in_time(self) -> LeaseSettings:
        if self.stale_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("lease.stale_seconds must be at least 3 times lease.heartbeat_seconds")
        return self


class ScheduleSettings(_Group):
    """When nights start, and after how long one that did not is an alert."""

    cron: str = "30 3 * * *"
    timezone: str = "UTC"
    maintenance_cron: str = "*/15 * * * *"
    late_minutes: float = Field(30.0, gt=0)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("must be an IANA name such as Europe/Berlin") from None
        return name


class ServerSettings(_Group):
    """Where `sentiflow up` lets Prefect and MLflow listen."""

    host: str = "127.0.0.1"
    prefect_port: int = Field(4200, ge=0, le=65_535)
    mlflow_port: int = Field(5000, ge=0, le=65_535)
    allowed_hosts: tuple[str, ...] = ()
    start_seconds: float = Field(180.0, gt=0)


NoticeKind = Literal[
    "failed",
    "rejected",
    "waiting",
    "promoted",
    "no_champion",
    "rolled_back",
    "released",
    "adopted",
    "reverted",
    "moved_outside",
    "late",
    "refused",
]


class NoticeSettings(_Group):
    """Who is told of what; the addresses that are secrets come from the environment."""

    kinds: tuple[NoticeKind, ...] = (
        "failed", "rejected", "waiting", "promoted", "no_champion", "rolled_back", "released",
        "adopted", "reverted", "moved_outside", "late",
    )  # fmt: skip
    block: str | None = None
    mlflow_url: str | None = None
    prefect_url: str | None = None
    timeout_seconds: float = Field(10.0, gt=0)


class Settings(_Group):
    """All settings of a night."""

    data: DataSettings = DataSettings()
    validation: ValidationSettings = ValidationSettings()
    split: SplitSettings = SplitSettings()
    tokens: TokenSettings = TokenSettings()
    network: NetworkSettings = NetworkSettings()
    wide: WideSettings = WideSettings()
    training: TrainingSettings = TrainingSettings()
    baseline: BaselineSettings = BaselineSettings()
    gate: GateSettings = GateSettings()
    ledger: LedgerSettings = LedgerSettings()
    serving: ServingSettings = ServingSettings()
    model: ModelSettings = ModelSettings()
    tracking: TrackingSettings = TrackingSettings()
    lease: LeaseSettings = LeaseSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    servers: ServerSettings = ServerSettings()
    notices: NoticeSettings = NoticeSettings()
