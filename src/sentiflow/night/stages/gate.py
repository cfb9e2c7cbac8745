"""Gather what the gate rules on: both models from the registry, on the same rows tonight."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.snapshot import read_split
from sentiflow.dates import read_today
from sentiflow.errors import ArtifactError
from sentiflow.files import read_json
from sentiflow.gate.behaviour_records import hold_against_champions
from sentiflow.gate.behaviours import digest_questions, load_checks, run_checks
from sentiflow.gate.checks import inspect_version
from sentiflow.gate.comparison import compare_accuracy
from sentiflow.gate.findings import (
    Findings,
    GateRows,
    check_answers,
    compare_paired,
    compare_with_champion,
    fingerprint_rows,
)
from sentiflow.gate.packs import choose_pack
from sentiflow.night.night import Night, prefix_metrics
from sentiflow.night.stages.data import Splits
from sentiflow.night.stages.model import Evaluated
from sentiflow.release.known_files import look_up_known_files, require_known
from sentiflow.release.state import (
    Event,
    ReleaseState,
    count_looks,
    explain_block,
    list_crowned,
)
from sentiflow.release.year import begin_year
from sentiflow.settings import SAMPLE_MODEL_NAME

if TYPE_CHECKING:
    from sentiflow.release.registry import RegisteredModel, Version

logger = logging.getLogger(__name__)

BASELINE: Final = "tfidf_logreg"
_PARITY_ROWS: Final = 200
_COLUMNS: Final = ["review_id", "text", "text_digest", "label", "stars", "date", "categories"]


@dataclass
class Gate:
    """One night's gate: the rows, and every version's answers to them, asked once.

    Attributes:
        night: the night.
        challenger: the version that the night made.
        evaluated: the night's own figures; the baseline's accuracy is used.
        rows: what both models are scored on.
        texts: the rows' texts.
        baseline: the tuned TF-IDF baseline's P(positive) of each row.
        vocabulary: words of the training texts, the most frequent first.
        superseded: the unloadable champion that the night was asked to supersede.
    """

    night: Night
    challenger: Version
    evaluated: Evaluated
    rows: GateRows
    texts: list[str]
    baseline: npt.NDArray[np.float64]
    vocabulary: list[str]
    superseded: int | None = None
    _is_gone: bool = False
    _events: tuple[Event, ...] = ()
    _answers: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    _alone: Findings | None = None

    def gather(self, events: tuple[Event, ...], state: ReleaseState) -> Findings:
        """Return all findings against the champion of this state.

        Raises:
            GateNotEvaluated: something the gate needs is missing or no number.
            ArtifactError: a version does not load.
            RegistryUnreachable: the registry did not answer.
        """
        self._events = events
        if self._alone is None:
            self._alone = self._examine_challenger()
        champion = self._look_up_champion(state)
        findings = replace(
            self._alone,
            behaviours=hold_against_champions(
                self._alone.behaviours,
                self._alone.behaviour_questions,
                events,
                self.night.lineage.digest,
                self.night.date,
            ),
            looks=count_looks(
                events,
                self.night.lineage.digest,
                self.night.date,
                self.night.settings.gate.alpha_nights,
            ),
            blockers=self._list_blockers(state),
        )
        return findings if champion is None else self._pair(findings, champion, events)

    def _list_blockers(self, state: ReleaseState) -> tuple[str, ...]:
        """Return what keeps the challenger from being promoted without a person."""
        moved = state.moved
        if self._is_gone and moved is not None and moved.to_version is None:
            # MLflow takes the alias away with its version: one word of a person settles both. A
            # hold stays, and so does an alias that somebody set elsewhere.
            state = replace(state, moved=None)
        blockers = tuple(filter(None, [explain_block(state)]))
        if self._is_gone and self.superseded is None:
            return (_describe_gone(state, self.challenger), *blockers)
        return blockers

    def _examine_challenger(self) -> Findings:
        from sentiflow.model.evaluation import score

        night, gate = self.night, self.night.settings.gate
        answers = self._ask(self.challenger)
        inspection = inspect_version(
            night.registry.uri,
            self.challenger.name,
            self.challenger.number,
            require_known(self._events, self.challenger),
            self.texts[:_PARITY_ROWS],
            answers[:_PARITY_ROWS],
            night.home / "scratch",
            gate.check_seconds,
        )
        night.run.log_metrics(prefix_metrics("release", inspection.as_dict()))
        choice = choose_pack(gate.behaviour_pack, self.vocabulary)
        logger.info("decide: behaviours. %s", choice.sentence)
        checks = load_checks(choice.pack, gate.behaviour_floors)
        behaviours = run_checks(checks, self._load(self.challenger).predict)
        night.run.log_metrics(
            {f"behaviour/{behaviour.name}": behaviour.pass_rate for behaviour in behaviours}
        )
        return Findings(
            rows=len(self.rows.labels),
            rows_fingerprint=self.rows.fingerprint,
            metrics=score(self.rows.labels, answers).as_dict(),
            baseline_accuracy=self.evaluated.baselines[BASELINE]["accuracy"],
            baseline=compare_accuracy(self.rows.labels, answers, self.baseline),
            inspection=inspection,
            behaviours=behaviours,
            behaviour_pack=choice,
            behaviour_questions=digest_questions(checks),
            is_sample=night.lineage.name == SAMPLE_MODEL_NAME,
            train_rows=night.record.rows.get("train"),
        )

    def _look_up_champion(self, state: ReleaseState) -> Version | None:
        """Return the champion's version, or None where there is nothing to compare with.

        Raises:
            ArtifactError: it does not load, and the night was not asked to supersede it.
        """
        night = self.night
        # What was found on an earlier head says nothing of this one's champion.
        self.superseded, self._is_gone = None, False
        if state.champion is None:
            return None
        champion = night.registry.look_up_version(night.lineage.name, state.champion)
        if champion is None or not state.is_champion(champion.number, champion.run_id):
            self._is_gone = True
            if night.request.supersede:
                night.warn(f"Champion version {state.champion} is superseded: it is gone.")
                self.superseded = state.champion
            return None
        if champion.tags.get("sentiflow.lineage") != night.lineage.digest:
            return None
        try:
            self._ask(champion)
        except ArtifactError as error:
            if not night.request.supersede:
                held = explain_block(state)
                raise ArtifactError(
                    f"{error} If that will not mend, let tonight's model replace it: "
                    "sentiflow run … --supersede --reason …"
                    + (f" That needs this settled first: {held}" if held else "")
                ) from error
            night.warn(f"Champion version {state.champion} is superseded: {error}")
            self.superseded = state.champion
            return None
        if night.request.supersede:
            night.warn(f"--supersede was not needed: champion version {champion.number} loads.")
        return champion

    def _pair(self, findings: Findings, champion: Version, events: tuple[Event, ...]) -> Findings:
        from sentiflow.model.evaluation import score

        night, gate = self.night, self.night.settings.gate
        answers = self._ask(champion)
        metrics = score(self.rows.labels, answers).as_dict()
        night.note(champion_metrics=metrics)
        night.run.log_metrics(prefix_metrics("test_champion", metrics))
        # One of a day to come, which earlier releases took, must not hold back every night.
        made = min(
            date.fromisoformat(champion.tags["sentiflow.night"]),
            read_today(night.settings.schedule),
        )
        age = (night.date - made).days
        blockers = list(findings.blockers)
        if age < 0:
            blockers.append("The night is older than the champion's: a backfill never moves it.")
        rows = replace(self.rows, newest=self._select_newest(champion))
        findings = compare_with_champion(
            replace(
                findings,
                champion_version=champion.number,
                champion_metrics=metrics,
                champion_age=age,
                blockers=tuple(blockers),
            ),
            rows,
            self._ask(self.challenger),
            answers,
            gate,
        )
        best = None
        if gate.policy == "superior_or_fresh" and age >= gate.max_champion_age:
            best = self._look_up_best_of_year(events, champion.number)
        if best is None:
            return findings
        comparison = compare_paired(rows.labels, self._ask(self.challenger), self._ask(best), gate)
        return replace(findings, best_version=best.number, best_comparison=comparison)

    def _select_newest(self, champion: Version) -> npt.NDArray[np.int64] | None:
        """Return the rows that the champion's own night did not test on, that is newer ones.

        Its answers are kept with its run, by id; where they cannot be read it is not known.
        """
        night = self.night
        try:
            path = night.registry.fetch_run_file(
                champion.run_id, "evaluation/answers.parquet", night.home / "scratch"
            )
            known = set(pd.read_parquet(path, columns=["review_id"])["review_id"])
            path.unlink()
        except (ArtifactError, OSError, ValueError, KeyError) as error:
            night.warn(f"The newest rows cannot be told: {error}")
            return None
        is_new = [review_id not in known for review_id in self.rows.review_ids]
        return np.flatnonzero(is_new)

    def _look_up_best_of_year(self, events: tuple[Event, ...], champion: int) -> Version | None:
        """Return the former champion of the last year with the best recorded accuracy.

        The recorded figures only choose it; it is scored again tonight on the same rows.
        """
        night = self.night
        crowned = list_crowned(events)
        since = begin_year(night.date).isoformat()
        found = [
            version
            for number in sorted(
                {number for number, _ in crowned} - {champion, self.challenger.number}
            )
            if (version := night.registry.look_up_version(night.lineage.name, number))
            and crowned & {(number, version.run_id), (number, None)}
            and version.tags.get("sentiflow.lineage") == night.lineage.digest
            and since <= version.tags["sentiflow.night"] <= night.date.isoformat()
            and "sentiflow.accuracy" in version.tags
        ]
        known = [version for version in found if look_up_known_files(events, version)]
        if len(known) < len(found):
            unknown = [str(version.number) for version in found if version not in known]
            night.warn(
                f"Former champions whose files the ledger does not know were not compared with: "
                f"sentiflow attest {' '.join(unknown)} --reason …"
            )
        return max(
            known, key=lambda version: float(version.tags["sentiflow.accuracy"]), default=None
        )

    def _ask(self, version: Version) -> npt.NDArray[np.float32]:
        number = version.number
        if number not in self._answers:
            logger.info("decide: version %d answers %s rows", number, f"{len(self.texts):,}")
            answers = self._load(version).predict(self.texts)
            check_answers(answers, self.rows, f"Version {number}")
            self._answers[number] = answers
        return self._answers[number]

    def _load(self, version: Version) -> RegisteredModel:
        known = require_known(self._events, version)
        return self.night.registry.load(version, known, self.night.home / "scratch")


def _describe_gone(state: ReleaseState, challenger: Version) -> str:
    return (
        f"Champion version {state.champion} of {challenger.name} is gone from the registry, so "
        "tonight's model was compared with none and a person must decide: sentiflow promote "
        f"{challenger.number} --override --reason …, another with sentiflow rollback --to N "
        "--reason …, or with the next night sentiflow run … --supersede --reason …"
    )


def open_gate(night: Night, splits: Splits, evaluated: Evaluated, version: Version) -> Gate:
    """Read tonight's test rows and return the gate for them."""
    from sentiflow.model.evaluation import list_slices

    reviews = read_split(splits.snapshot, night.settings.split, "test", _COLUMNS)
    labels = reviews["label"].to_numpy(np.int8)
    review_ids = tuple(reviews["review_id"])
    digests = reviews["text_digest"].to_numpy(np.uint64)
    rows = GateRows(
        review_ids=review_ids,
        labels=labels,
        fingerprint=fingerprint_rows(review_ids, digests, labels),
        slices=tuple(list_slices(reviews, evaluated.length_edges)),
    )
    with np.load(night.steps.folders["baseline"] / "answers.npz", allow_pickle=False) as answers:
        baseline = answers[BASELINE]
    check_answers(baseline, rows, "The tuned TF-IDF baseline")
    return Gate(
        night=night,
        challenger=version,
        evaluated=evaluated,
        rows=rows,
        texts=reviews["text"].tolist(),
        baseline=baseline,
        vocabulary=read_json(night.steps.folders["tokenize"] / "vocabulary.json"),
    )
