"""The stages about the release: register, and decide whether the champion changes."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.ingest import Ingested
from sentiflow.data.snapshot import read_split
from sentiflow.errors import GateNotEvaluated, RegistryUnreachable, SentiflowError
from sentiflow.operations.night import Night, not_evaluated, prefix_metrics
from sentiflow.operations.stages.learning import Evaluated, Trained
from sentiflow.operations.stages.rows import Splits
from sentiflow.release.decision import Decision, decide

logger = logging.getLogger(__name__)

_PARITY_ROWS: Final = 200


def register(
    night: Night, ingested: Ingested, splits: Splits, trained: Trained, evaluated: Evaluated
) -> int:
    """Register the bundle as a version, prove it in a fresh process, alias it challenger."""
    from sentiflow.release.checks import check_parity
    from sentiflow.release.registry import CHALLENGER

    registry, name = night.registry, night.lineage.name
    profile, identity = ingested.profile, night.identify(ingested.snapshot.fingerprint)
    found = registry.find_versions(name, {"sentiflow.identity": identity})
    if found and not night.request.force:
        version = found[0]
        logger.info("register: version %d is this night's already", version.number)
    else:
        tags = {
            **night.lineage.as_tags(),
            "sentiflow.identity": identity,
            "sentiflow.night": night.date.isoformat(),
            "sentiflow.fingerprint": ingested.snapshot.fingerprint,
            "sentiflow.settings": night.settings_digest,
            "sentiflow.code": night.code.identity,
            "sentiflow.git_commit": night.code.git_commit,
            "sentiflow.git_dirty": str(night.code.git_dirty).lower(),
            "sentiflow.rows": str(profile.rows),
            "sentiflow.positive_share": f"{profile.positive_share:.6f}",
            "sentiflow.length_edges": json.dumps(evaluated.length_edges),
            "sentiflow.prefect_flow_run_id": night.record.prefect_flow_run_id or "",
        }
        if night.request.new_lineage:
            tags["sentiflow.new_lineage_reason"] = night.request.reason or ""
        version = registry.register(
            name,
            night.run.id,
            trained.bundle,
            tags,
            night.lineage.as_tags(),
            f"Night {night.date}, {profile.rows:,} reviews, test accuracy "
            f"{evaluated.metrics['accuracy']:.4f}. MLflow run {night.run.id}.",
        )
        for older in registry.find_versions(
            name,
            {"sentiflow.night": night.date.isoformat(), "sentiflow.lineage": night.lineage.digest},
        ):
            if older.number != version.number and "sentiflow.superseded_by" not in older.tags:
                registry.tag_version(older, {"sentiflow.superseded_by": str(version.number)})
    night.note(version=version.number)
    night.run.set_tags({"sentiflow.version": str(version.number)})
    night.run.log_json(night.settings.model_dump(mode="json"), "settings.json")
    if night.code.lock_file is not None:
        night.run.log_files([night.code.lock_file], "environment")

    texts, _ = _read_test_rows(night, splits)
    answers = pd.read_parquet(evaluated.folder / "answers.parquet")["probability"]
    difference = check_parity(
        registry.uri,
        name,
        version.number,
        texts[:_PARITY_ROWS],
        answers.to_numpy(np.float32)[:_PARITY_ROWS],
        night.home / "scratch",
    )
    night.run.log_metrics({"fresh_process_difference": difference})
    registry.point(name, CHALLENGER, version.number)
    return int(version.number)


def decide_release(night: Night, splits: Splits, evaluated: Evaluated, number: int) -> None:
    """Score the champion on tonight's test rows, rule, and move the alias if it is promoted."""
    from sentiflow.release.registry import CHAMPION, OUTCOME_TAG

    registry, name = night.registry, night.lineage.name
    version = registry.resolve(name, str(number))
    try:
        champion = registry.find_alias(name, CHAMPION)
        if champion and champion.tags.get("sentiflow.lineage") != night.lineage.digest:
            champion = None
        night.note(champion_version=champion.number if champion else None)
        against = _score_champion(night, splits, champion) if champion else None
        is_backfill = bool(champion) and night.date.isoformat() < champion.tags["sentiflow.night"]
        decision = decide(evaluated.metrics, against, night.settings.gate, is_backfill)
        if decision.verdict == "not_evaluated":
            raise not_evaluated(decision.reasons)
    except RegistryUnreachable:
        raise
    except SentiflowError as error:
        registry.tag_version(version, {OUTCOME_TAG: "failed"})
        if isinstance(error, GateNotEvaluated):
            raise
        raise not_evaluated([str(error)]) from error
    if decision.verdict == "promoted":
        registry.point(name, CHAMPION, number)
        night.note(champion_version=number)
    _write_decision(night, decision, against)
    registry.tag_version(version, {OUTCOME_TAG: decision.verdict})
    registry.describe_version(version, _describe(night, decision, evaluated))
    night.end("promoted" if decision.verdict == "promoted" else "kept", decision.reasons, 0)


def _score_champion(night: Night, splits: Splits, champion: Any) -> dict[str, Any]:
    from sentiflow.model.evaluation import score

    texts, labels = _read_test_rows(night, splits)
    metrics = score(labels, night.registry.load(champion).predict(texts)).as_dict()
    night.note(champion_metrics=metrics)
    night.run.log_metrics(prefix_metrics("test_champion", metrics))
    return metrics


def _read_test_rows(night: Night, splits: Splits) -> tuple[list[str], npt.NDArray[np.int8]]:
    reviews = read_split(splits.snapshot, night.settings.split, "test", ["text", "label"])
    return reviews["text"].tolist(), reviews["label"].to_numpy(np.int8)


def _write_decision(night: Night, decision: Decision, against: dict[str, Any] | None) -> None:
    night.run.log_json({**decision.as_dict(), "champion_metrics": against}, "decision.json")
    night.run.set_tags({"sentiflow.decision": decision.verdict})


def _describe(night: Night, decision: Decision, evaluated: Evaluated) -> str:
    return "\n\n".join(
        [
            f"**{decision.verdict}** on the night of {night.date}: " + " ".join(decision.reasons),
            f"Test accuracy {evaluated.metrics['accuracy']:.4f} beside TF-IDF's "
            f"{evaluated.baselines['tfidf_logreg']['accuracy']:.4f}. "
            f"[MLflow run]({night.run.path}), Prefect flow run "
            f"{night.record.prefect_flow_run_id or 'none'}.",
        ]
    )
