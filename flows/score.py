"""Batch scoring: every review of the sources answered by a registered model, into one file."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.allowed_files import check_run
from flows.faults import hide_foreign_words
from flows.retrain import may_help
from sentiflow.commands.score import ScoreRequest, answer_request
from sentiflow.markup import escape_markdown
from sentiflow.serving.scoring import Scored
from sentiflow.settings import read_home


@flow(name="score", log_prints=False, persist_result=False)
@hide_foreign_words
def score(request: ScoreRequest) -> dict[str, Any]:
    """Answer the sources of a request and return the counts."""
    check_run(request.config, request.overrides, request.data, request.output)
    model, version, scored = answer(request)
    publish(model, version, scored)
    return {"model": model, "model_version": version, **scored.as_dict()}


# Another try goes on where the last one stopped, as a new run of the flow does.
@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=may_help)
@hide_foreign_words
def answer(request: ScoreRequest) -> tuple[str, int, Scored]:
    """Read, answer and write, chunk by chunk."""
    return answer_request(request, read_home())


def publish(model: str, version: int, scored: Scored) -> None:
    """Leave the counts as an artifact of the flow run."""
    counts = {
        "rows read": f"{scored.rows_read:,}",
        "answered": f"{scored.scored:,}",
        "of them before this run": f"{scored.resumed_rows:,}",
        "quarantined": f"{scored.quarantined:,}",
        "seconds": f"{scored.seconds:,.1f}",
        "reviews per second": f"{scored.reviews_per_second:,.0f}",
        "output": scored.output,
        "quarantine": scored.quarantine or "none",
    }
    shown = escape_markdown(model)
    lines = [f"## Scored with {shown} version {version}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {escape_markdown(value)} |" for name, value in counts.items()]
    create_markdown_artifact(
        key="score-summary",
        markdown="\n".join(lines),
        description=f"{scored.scored:,} reviews answered by {shown} version {version}",
    )
