"""Ask a model small questions whose answers are known, whatever it was trained on.

The questions are data: the packs beside this file; packs/restaurants.toml says what the kinds mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from string import Formatter
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from sentiflow.errors import GateNotEvaluated, SettingsError
from sentiflow.files import digest_json
from sentiflow.gate.packs import read_pack

Kind = Literal["minimum_functionality", "invariance", "direction"]
Expectation = Literal[
    "positive", "negative", "same_label", "same_answer", "not_lower", "not_higher"
]
Predict = Callable[[Sequence[str]], npt.NDArray[np.float32]]

# How far P(positive) may move the wrong way when something is added.
DIRECTION_TOLERANCE: Final = 0.01
# The tokenizer folds case and white space, so that not even P(positive) may move with them.
SAME_TOLERANCE: Final = 1e-5
_NO_FLOORS: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Case:
    """One question.

    Attributes:
        id: the check's name and a number; stable while the file is.
        text: what is asked.
        changed: the same with a change; empty where the expected label is absolute.
        expects: "positive" or "negative" (minimum_functionality), "same_label" or "same_answer"
            (invariance), "not_lower" or "not_higher" (direction).
    """

    id: str
    text: str
    changed: str
    expects: Expectation

    def describe(self) -> str:
        """Return the id and what is asked; the texts are ours, nobody's review."""
        return f"{self.id}: {self.text}" + (f" → {self.changed}" if self.changed else "")


@dataclass(frozen=True)
class BehaviourCheck:
    """Questions about one behaviour.

    Attributes:
        name: the behaviour's name.
        kind: what a case holds against what.
        description: one sentence.
        floor: pass rate below which a model is not released.
        cases: the questions.
    """

    name: str
    kind: Kind
    description: str
    floor: float
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class BehaviourResult:
    """How a model did on one behaviour.

    Attributes:
        name: the behaviour's name.
        kind: its kind.
        description: one sentence.
        cases: number of questions.
        passed: questions answered as they should be.
        pass_rate: passed / cases.
        floor: the pack's, or the setting's.
        limit: what is required: the floor, or where that is more five points less than `best_rate`.
        failures: id and text of the other questions.
        best_version: the champion of the year that passed most of the same questions; None where
            none is known to have been asked them.
        best_rate: its pass rate.
    """

    name: str
    kind: Kind
    description: str
    cases: int
    passed: int
    pass_rate: float
    floor: float
    limit: float
    failures: tuple[str, ...]
    best_version: int | None = None
    best_rate: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return {**asdict(self), "failures": list(self.failures)}


def load_checks(pack: str, floors: Mapping[str, float] = _NO_FLOORS) -> tuple[BehaviourCheck, ...]:
    """Return all checks of a pack.

    Args:
        pack: one of `packs.PACKS`.
        floors: name → pass rate, in place of the pack's.

    Raises:
        SettingsError: a name is unknown, or a floor not from 0 to 1.
    """
    content = read_pack(pack)
    names = [entry["name"] for entry in content["check"]]
    for name, floor in floors.items():
        if name not in names or not 0 <= floor <= 1:
            raise SettingsError(
                "gate.behaviour_floors must map a behaviour to a pass rate from 0 to 1. Received: "
                f"{name}={floor}. Behaviours: {', '.join(names)}."
            )
    return tuple(
        BehaviourCheck(
            name=entry["name"],
            kind=entry["kind"],
            description=entry["description"],
            floor=floors.get(entry["name"], entry["floor"]),
            cases=tuple(_make_cases(entry, content["slots"])),
        )
        for entry in content["check"]
    )


def digest_questions(checks: Sequence[BehaviourCheck]) -> str:
    """Return the content identity of what is asked and expected, whatever the floors are."""
    cases = [asdict(case) for check in checks for case in check.cases]
    return digest_json({"cases": cases})


def run_checks(checks: Sequence[BehaviourCheck], predict: Predict) -> tuple[BehaviourResult, ...]:
    """Ask a model all questions, at once, and return how it did.

    Args:
        checks: what to ask.
        predict: n texts in, P(positive) of shape (n,) out.

    Raises:
        GateNotEvaluated: an answer is missing or no number from 0 to 1.
    """
    texts = sorted({text for check in checks for case in check.cases
                    for text in (case.text, case.changed)})  # fmt: skip
    answers = np.asarray(predict(texts), dtype=np.float64)
    # Written so that NaN fails too.
    if answers.shape != (len(texts),) or not np.all((answers >= 0) & (answers <= 1)):
        raise GateNotEvaluated(
            f"Each of the {len(texts)} behaviour texts must get a probability. Received: "
            f"shape={answers.shape}, or some that are no number from 0 to 1. The version is not "
            "to be released; train another."
        )
    by_text = dict(zip(texts, answers.tolist(), strict=True))
    return tuple(_judge(check, by_text) for check in checks)


def _judge(check: BehaviourCheck, answers: Mapping[str, float]) -> BehaviourResult:
    failures = tuple(
        case.describe()
        for case in check.cases
        if not _is_passed(case, answers[case.text], answers[case.changed])
    )
    passed = len(check.cases) - len(failures)
    return BehaviourResult(
        name=check.name,
        kind=check.kind,
        description=check.description,
        cases=len(check.cases),
        passed=passed,
        pass_rate=passed / len(check.cases),
        floor=check.floor,
        limit=check.floor,
        failures=failures,
    )


def _is_passed(case: Case, answer: float, changed: float) -> bool:
    match case.expects:
        case "positive":
            return answer >= 0.5
        case "negative":
            return answer < 0.5
        case "same_label":
            return (answer >= 0.5) == (changed >= 0.5)
        case "same_answer":
            return (answer >= 0.5) == (changed >= 0.5) and abs(answer - changed) <= SAME_TOLERANCE
        case "not_lower":
            return changed >= answer - DIRECTION_TOLERANCE
        case "not_higher":
            return changed <= answer + DIRECTION_TOLERANCE


def _make_cases(entry: Mapping[str, Any], slots: Mapping[str, list[str]]) -> Iterator[Case]:
    expects: Expectation = entry.get("expects") or entry.get("effect") or "same_label"
    for number, (text, changed) in enumerate(_make_texts(entry, slots), start=1):
        yield Case(f"{entry['name']}-{number:03d}", text, changed, expects)


def _make_texts(
    entry: Mapping[str, Any], slots: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """Yield each case's text and its changed self."""
    for template in entry.get("templates", ()):
        first, *others = _fill(template, slots)
        if entry["kind"] == "invariance":
            yield from ((first, other) for other in others)
        else:
            yield from ((text, "") for text in (first, *others))
    yield from (tuple(pair) for pair in entry.get("pairs", ()))
    for text in entry.get("texts", ()):
        if entry["kind"] == "direction":
            yield from ((text, f"{text} {added}") for added in entry["added"])
        else:
            yield text, text.upper() if entry["change"] == "upper" else f"  {text} \n"


def _fill(template: str, slots: Mapping[str, list[str]]) -> list[str]:
    """Return the template with every combination of its slots' words, as a sentence."""
    names = list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name))
    filled = []
    for words in product(*(slots[name] for name in names)):
        text = template.format(**dict(zip(names, words, strict=True)))
        filled.append(text[0].upper() + text[1:])
    return filled
