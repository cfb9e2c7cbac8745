"""Hold everything the gate knows about a challenger, as values.

The findings are what `decision.decide` rules on. They are gathered by the night from the
registry and tonight's test rows; nothing here asks anyone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import GateNotEvaluated
from sentiflow.gate.behaviours import BehaviourResult
from sentiflow.gate.comparison import (
    Comparison,
    PairedAccuracy,
    Slice,
    SliceComparison,
    compare,
    compare_slices,
    merge_rare,
    select_changed,
)
from sentiflow.gate.inspection import Inspection
from sentiflow.gate.packs import PackChoice
from sentiflow.settings import GateSettings

SHOWN_CHANGES: Final = 20
# Any number will do; a fixed one makes tonight's intervals the same when they are asked again.
_SEED: Final = 20_181


@dataclass(frozen=True)
class GateRows:
    """The rows that both models are scored on tonight.

    Attributes:
        review_ids: n ids.
        labels: shape (n,), dtype int8.
        fingerprint: SHA-256 over ids, text digests and labels, whatever their order.
        slices: kind, name and row positions of the parts that are looked at on their own.
        newest: positions of rows that arrived since the champion's training; None when that
            cannot be told.
    """

    review_ids: tuple[str, ...]
    labels: npt.NDArray[np.int8]
    fingerprint: str
    slices: tuple[Slice, ...] = ()
    newest: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ChangedLabel:
    """A row that challenger and champion answer differently, by its id.

    Attributes:
        review_id: the row's id.
        label: its true label.
        challenger: the challenger's P(positive).
        champion: the champion's P(positive).
    """

    review_id: str
    label: int
    challenger: float
    champion: float


@dataclass(frozen=True)
class Findings:
    """What is known about a challenger.

    Attributes:
        rows: number of test rows scored tonight.
        rows_fingerprint: their content identity.
        metrics: the challenger's metrics on them.
        baseline_accuracy: the tuned TF-IDF baseline's accuracy on them.
        baseline: challenger and that baseline on the same rows.
        inspection: what a fresh process found out about the registered artifact.
        behaviours: the outcome of every behaviour check.
        behaviour_pack: whose questions those are, and why.
        behaviour_questions: digest of the questions.
        champion_version: the champion compared with; None on a lineage's first night.
        champion_metrics: the champion's metrics on the same rows.
        champion_age: nights between the champion's and tonight's.
        comparison: challenger and champion on the same rows.
        best_version: the best other version of the last year, looked up when the champion is
            old enough to be replaced by an equal.
        best_comparison: challenger and that version on the same rows.
        newest_rows: rows that arrived since the champion's training; None when unknown.
        newest: challenger and champion on those, when they are enough.
        slices: challenger and champion by slice.
        changes: some rows with another label than the champion's, by id.
        looks: decisions that have spent alpha already within the horizon.
        blockers: sentences that say why no automatic promotion may happen (a hold, a backfill).
        is_sample: whether the lineage is the embedded sample's.
        train_rows: rows it was trained on; None when unknown.
    """

    rows: int
    rows_fingerprint: str
    metrics: Mapping[str, Any]
    baseline_accuracy: float
    baseline: PairedAccuracy
    inspection: Inspection
    behaviours: tuple[BehaviourResult, ...] = ()
    behaviour_pack: PackChoice | None = None
    behaviour_questions: str = ""
    champion_version: int | None = None
    champion_metrics: Mapping[str, Any] | None = None
    champion_age: int | None = None
    comparison: Comparison | None = None
    best_version: int | None = None
    best_comparison: Comparison | None = None
    newest_rows: int | None = None
    newest: Comparison | None = None
    slices: tuple[SliceComparison, ...] = ()
    changes: tuple[ChangedLabel, ...] = ()
    looks: int = 0
    blockers: tuple[str, ...] = ()
    is_sample: bool = False
    train_rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        return {
            "rows": self.rows,
            "rows_fingerprint": self.rows_fingerprint,
            "metrics": dict(self.metrics),
            "baseline_accuracy": _finite(self.baseline_accuracy),
            "baseline": self.baseline.as_dict(),
            "inspection": self.inspection.as_dict(),
            "behaviours": [behaviour.as_dict() for behaviour in self.behaviours],
            "behaviour_pack": self.behaviour_pack and self.behaviour_pack.as_dict(),
            "behaviour_questions": self.behaviour_questions,
            "champion_version": self.champion_version,
            "champion_metrics": self.champion_metrics and dict(self.champion_metrics),
            "champion_age": self.champion_age,
            "comparison": self.comparison and self.comparison.as_dict(),
            "best_version": self.best_version,
            "best_comparison": self.best_comparison and self.best_comparison.as_dict(),
            "newest_rows": self.newest_rows,
            "newest": self.newest and self.newest.as_dict(),
            "slices": [part.as_dict() for part in self.slices],
            "changes": [asdict(change) for change in self.changes],
            "looks": self.looks,
            "blockers": list(self.blockers),
            "is_sample": self.is_sample,
            "train_rows": self.train_rows,
        }


def fingerprint_rows(
    review_ids: Sequence[str],
    text_digests: npt.NDArray[np.uint64],
    labels: npt.NDArray[np.int8],
) -> str:
    """Return the content identity of rows, independent of their order.

    Args:
        review_ids: n ids.
        text_digests: shape (n,), dtype uint64.
        labels: shape (n,), dtype int8.

    Returns:
        SHA-256, hexadecimal.
    """
    entries = sorted(
        f"{review_id}\0{digest:016x}\0{label}"
        for review_id, digest, label in zip(
            review_ids, text_digests.tolist(), labels.tolist(), strict=True
        )
    )
    return hashlib.sha256("\n".join(entries).encode("utf-8", "surrogatepass")).hexdigest()


def compare_with_champion(
    findings: Findings,
    rows: GateRows,
    challenger: npt.NDArray[np.float32],
    champion: npt.NDArray[np.float32],
    gate: GateSettings,
) -> Findings:
    """Add to the findings all that is paired with the champion.

    Args:
        findings: what is known so far.
        rows: n rows.
        challenger: shape (n,), the challenger's P(positive) tonight.
        champion: shape (n,), the champion's P(positive) tonight.
        gate: resamples, slice_alpha, min_slice_rows and min_newest_rows are used.

    Returns:
        The findings with comparison, newest, slices and changes.

    Raises:
        SentiflowError: a probability is no number, or an answer is missing.
    """
    newest = rows.newest
    is_enough = newest is not None and len(newest) >= gate.min_newest_rows
    return replace(
        findings,
        comparison=compare_paired(rows.labels, challenger, champion, gate),
        newest_rows=None if newest is None else len(newest),
        newest=(
            compare_paired(rows.labels[newest], challenger[newest], champion[newest], gate)
            if is_enough
            else None
        ),
        slices=compare_slices(
            merge_rare(rows.slices, gate.min_slice_rows),
            rows.labels,
            challenger,
            champion,
            gate.slice_alpha,
        ),
        changes=tuple(
            ChangedLabel(
                rows.review_ids[position],
                int(rows.labels[position]),
                round(float(challenger[position]), 6),
                round(float(champion[position]), 6),
            )
            for position in _choose_changes(challenger, champion)
        ),
    )


def compare_paired(
    labels: npt.NDArray[np.int8],
    challenger: npt.NDArray[np.float32],
    champion: npt.NDArray[np.float32],
    gate: GateSettings,
) -> Comparison:
    """Compare two models' answers to the same rows, by the gate's number of resamples."""
    return compare(labels, challenger, champion, resamples=gate.resamples, seed=_SEED)


def check_answers(answers: npt.NDArray[np.floating[Any]], rows: GateRows, who: str) -> None:
    """Make sure that a model answered every row with a probability.

    Args:
        answers: what it answered.
        rows: what it was asked.
        who: the model, as an error names it.

    Raises:
        GateNotEvaluated: an answer is missing or no number from 0 to 1.
    """
    # Written so that NaN fails too.
    if answers.shape == rows.labels.shape and np.all((answers >= 0) & (answers <= 1)):
        return
    bad = int(np.sum(~((answers >= 0) & (answers <= 1))))
    raise GateNotEvaluated(
        f"{who} must answer each of the {len(rows.labels):,} test rows with a "
        f"probability. Received: {len(answers):,} answers, {bad:,} of them no number from 0 to 1."
    )


def _choose_changes(
    challenger: npt.NDArray[np.float32], champion: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return the changed rows on which the two models are furthest apart, worst first."""
    changed = select_changed(challenger, champion)
    distance = np.abs(challenger[changed] - champion[changed])
    return changed[np.argsort(-distance, kind="stable")[:SHOWN_CHANGES]]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
