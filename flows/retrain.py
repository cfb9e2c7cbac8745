"""The night: ingest → validate → split → tokenize → train → evaluate → register → decide."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.actors import look_up_starter
from flows.allowed_files import check_run
from flows.faults import hide_foreign_words
from flows.maintenance import close_flow_runs, collapse_missed
from flows.notices import link_mlflow, list_problems, tell, tell_crash
from sentiflow.data.ingest.results import Ingested
from sentiflow.errors import (
    LedgerUnreachable,
    RegistryUnreachable,
    SentiflowError,
    UnforeseenError,
)
from sentiflow.night.night import Night
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.night.stages import data, model, release
from sentiflow.reporting.record import NightRecord
from sentiflow.reporting.summary import format_markdown
from sentiflow.settings import read_home

# Below sentiflow, so that the command line shows it.
logger = logging.getLogger("sentiflow.flows.retrain")


@flow(name="retrain", log_prints=False, persist_result=False)
@hide_foreign_words
def retrain(request: NightRequest = NightRequest()) -> NightRecord:
    """Run one night and return what came of it."""
    flow_run_id = runtime.flow_run.id
    collapse_missed(flow_run_id)
    close, tell_dead = partial(publish, request), partial(tell_crash, request)
    check = partial(check_night, request)
    opened = open_night(
        request,
        read_home(),
        flow_run_id,
        close,
        close_flow_runs,
        tell_dead,
        check,
        look_up_starter(),
    )
    with opened as night:
        for problem in list_problems(night.settings.notices):
            night.warn(problem)
        ingested = ingest(night)
        version = look_up_unchanged(night, ingested)
        if version is not None:
            data.skip(night, version)
        else:
            validate(night, ingested)
            splits = split(night, ingested)
            tokens = tokenize(night, splits)
            trained = train(night, splits, tokens)
            evaluated = evaluate(night, splits, trained)
            number = register(night, ingested, trained, evaluated)
            decide(night, splits, evaluated, number)
    return night.record


def check_night(request: NightRequest) -> None:
    """Make sure that a night of a deployment asks for nothing that is not the deployment's."""
    check_run(request.config, request.overrides, (*request.data, request.businesses))


def may_help(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Say whether trying again can help: not when sentiflow itself said what is wrong."""
    error = state.result(raise_on_failure=False)
    can_mend = isinstance(error, RegistryUnreachable | LedgerUnreachable | UnforeseenError)
    return can_mend or not isinstance(error, SentiflowError)


# Reading sources and talking to the registry is what another try can mend; training is not.
reading_or_writing = task(
    cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=may_help
)
computing = task(cache_policy=NO_CACHE)


@reading_or_writing
@hide_foreign_words
def ingest(night: Night) -> Ingested:
    """Read every source into a snapshot; quarantine what cannot be used."""
    with night.clock.measure("ingest"):
        return data.ingest(night)


@reading_or_writing
@hide_foreign_words
def look_up_unchanged(night: Night, ingested: Ingested) -> int | None:
    """Return the last accepted version if rows, settings, code and lock are the same."""
    return data.look_up_unchanged(night, ingested)


@reading_or_writing
@hide_foreign_words
def validate(night: Night, ingested: Ingested) -> None:
    """Check the whole night's profile with Great Expectations."""
    with night.clock.measure("validate"):
        data.validate(night, ingested)


@computing
@hide_foreign_words
def split(night: Night, ingested: Ingested) -> data.Splits:
    """Part the snapshot into train, validation and test."""
    with night.clock.measure("split"):
        return data.split(night, ingested)


@computing
@hide_foreign_words
def tokenize(night: Night, splits: data.Splits) -> model.Tokens:
    """Fit the vocabulary on the training side and encode."""
    with night.clock.measure("tokenize"):
        return model.tokenize(night, splits)


@computing
@hide_foreign_words
def train(night: Night, splits: data.Splits, tokens: model.Tokens) -> model.Trained:
    """Train the network in a child process."""
    with night.clock.measure("train"):
        return model.train(night, splits, tokens)


@computing
@hide_foreign_words
def evaluate(night: Night, splits: data.Splits, trained: model.Trained) -> model.Evaluated:
    """Score model and baselines on the test side."""
    with night.clock.measure("evaluate"):
        return model.evaluate(night, splits, trained)


@reading_or_writing
@hide_foreign_words
def register(
    night: Night,
    ingested: Ingested,
    trained: model.Trained,
    evaluated: model.Evaluated,
) -> int:
    """Register the model as a version."""
    with night.clock.measure("register"):
        return release.register(night, ingested, trained, evaluated)


@reading_or_writing
@hide_foreign_words
def decide(night: Night, splits: data.Splits, evaluated: model.Evaluated, number: int) -> None:
    """Score champion and challenger on the same rows, prove the artifact, and rule."""
    with night.clock.measure("decide"):
        release.decide_release(night, splits, evaluated, number)


def publish(request: NightRequest, record: NightRecord) -> None:
    """Tell who should know what came of the night, and leave its summary in Prefect."""
    # First: a server that is away must not keep anybody from hearing of it.
    tell(request, record)
    try:
        create_markdown_artifact(
            key="night-summary",
            markdown=format_markdown(record, partial(link_mlflow, request)),
            description=f"Night {record.night}: {record.outcome}",
        )
    except Exception as error:
        # Whatever Prefect lacks (a full disk, an answer): the night is what it became.
        logger.warning("The night's summary is not in Prefect: %s", type(error).__name__)
