"""What the long docs say is what the code does: settings, commands, keys, rules, figures, links."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from gate.forging import draw_labels, find_out, forge_answers, mend
from scipy.stats import binom
from test_readme import test_every_command_in_the_readme_parses as parse_command

from sentiflow.cli import app
from sentiflow.gate.behaviours import BehaviourResult, load_checks
from sentiflow.gate.comparison import Comparison, Difference, PairedAccuracy, SliceComparison
from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import ChangedLabel, Findings
from sentiflow.gate.inspection import Inspection
from sentiflow.gate.packs import PACKS, PackChoice
from sentiflow.gate.rule import KEYS, Group
from sentiflow.gate.significance import (
    BOUND_ALPHA,
    compute_lower_bound,
    compute_mcnemar_p,
    compute_smallest_drop,
    measure_power,
)
from sentiflow.model.evaluation import Metrics
from sentiflow.release.state import KINDS, Event
from sentiflow.reporting.decision_record import SCHEMA_VERSION, DecisionRecord
from sentiflow.rounding import Unit
from sentiflow.settings import GateSettings, Settings, list_keys

REPOSITORY = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in sorted((REPOSITORY / "docs").glob("*.md"))}
PAGES = {"gate": "gate.md", "ledger": "releases.md", "serving": "serving.md"}
SETTINGS = [key for key in list_keys() if key.split(".")[0] in PAGES]
COMMANDS = sorted(
    {
        line.strip()
        for page in PAGES.values()
        for block in re.findall(r"```sh\n(.*?)```", DOCS[page], flags=re.DOTALL)
        for line in block.splitlines()
        if line.startswith("sentiflow ")
    }
)
SECTIONS: dict[str, type] = {
    "decision": Decision,
    "findings": Findings,
    "inspection": Inspection,
    "behaviours entries": BehaviourResult,
    "behaviour_pack": PackChoice,
    "comparison": Comparison,
    "baseline": PairedAccuracy,
    "differences": Difference,
    "slices": SliceComparison,
    "changes": ChangedLabel,
    "metrics": Metrics,
}


def read_section(page: str, title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#|\Z)", DOCS[page], re.M | re.S)
    assert found, f"{page} has no section {title!r}"
    return found[2]


def list_described(table: str) -> set[str]:
    """What the first cells of a table's rows name in backticks."""
    rows = re.findall(r"^\|([^|]*)\|", table, re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def list_names(kind: type) -> set[str]:
    return {entry.name for entry in fields(kind)}


def read_default(text: str) -> Any:
    if text == "none":
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_described_with_its_default(key: str) -> None:
    group, name = key.split(".")
    cells = re.findall(rf"\| `{re.escape(key)}` \| `([^`]+)` \| \S", DOCS[PAGES[group]])
    assert cells, f"{PAGES[group]} has no row with {key}, its default and a meaning"
    default = getattr(getattr(Settings(), group), name)
    assert all(read_default(cell) == default for cell in cells), (cells, default)


def test_no_setting_is_named_that_does_not_exist() -> None:
    for page in DOCS.values():
        named = set(re.findall(r"`((?:gate|ledger|serving)\.[a-z_]+)`", page))
        assert named <= set(list_keys())


def test_the_pages_show_commands() -> None:
    shown = {line.split()[1] for line in COMMANDS}
    assert {"promote", "rollback", "release-hold", "adopt", "revert", "history", "status"} <= shown
    assert {"prune", "forget", "serve", "score", "run"} <= shown


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_a_code_block_parses(line: str) -> None:
    parse_command(line)


def test_every_command_in_the_text_exists() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    for page in PAGES.values():
        assert set(re.findall(r"`sentiflow ([a-z-]+)", DOCS[page])) <= names


def test_every_key_of_a_decision_is_described() -> None:
    described = list_described(read_section("gate.md", "decision.json"))
    assert set(DecisionRecord.model_fields) <= described
    assert f"`schema_version` {SCHEMA_VERSION}." in DOCS["gate.md"]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_part_of_a_decision_is_described_and_nothing_else(title: str) -> None:
    assert list_described(read_section("gate.md", title)) == list_names(SECTIONS[title])


def test_what_a_decision_writes_is_what_its_classes_have() -> None:
    labels = draw_labels(rows=300)
    champion = forge_answers(labels, 0.87, seed=2)
    slices = (("stars", "3", np.arange(150)),)
    found = find_out(labels, mend(champion, labels, 9), champion, slices=slices, best=champion)
    value, decision = found.as_dict(), decide(found, GateSettings()).as_dict()
    assert set(value) == list_names(Findings)
    assert set(value["comparison"]) == set(value["best_comparison"]) == list_names(Comparison)
    assert set(value["comparison"]["accuracy"]) == list_names(Difference)
    assert set(value["baseline"]) == list_names(PairedAccuracy)
    assert set(value["slices"][0]) == list_names(SliceComparison)
    assert set(value["changes"][0]) == list_names(ChangedLabel)
    assert set(value["inspection"]) == list_names(Inspection)
    assert set(value["behaviours"][0]) == list_names(BehaviourResult)
    assert set(value["metrics"]) == list_names(Metrics)
    assert set(decision) == list_names(Decision)
    section = read_section("gate.md", "rules")
    assert list_described(section) == set(decision["rules"][0]) == set(KEYS)
    assert set(re.findall(r"`([^`]+)`", section)) >= {*get_args(Unit), *get_args(Group)}


def test_every_rule_is_in_the_table_in_its_order() -> None:
    labels = draw_labels()
    champion = forge_answers(labels, 0.87, seed=2)
    slices = (("stars", "3", np.arange(300)),)
    findings = find_out(
        labels, mend(champion, labels, 9), champion, slices=slices, newest=np.arange(200),
        best=champion, champion_age=30,
    )  # fmt: skip
    names = []
    for rule in decide(findings, GateSettings()).rules:
        name = re.sub("^behaviour_.*", "behaviour_NAME", rule.name)
        names.append(re.sub("^slice_.*", "slice_KIND_NAME", name))
    table = read_section("gate.md", "The rules in their order")
    described = re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|.*\|", table, re.M)
    assert described == list(dict.fromkeys(names))


@pytest.mark.parametrize("pack", PACKS)
def test_every_behaviour_is_in_the_table_with_its_floor(pack: str) -> None:
    table = read_section("gate.md", "Behaviours")
    described = re.findall(
        r"^\| `(\w+)` \| ([a-z ]+) \| (\d+) \| (\d+) \| ([\d.]+) \|", table, re.M
    )
    column = 2 if pack == "general" else 3
    assert [(row[0], row[1], row[column], row[4]) for row in described] == [
        (check.name, check.kind.replace("_", " "), str(len(check.cases)), str(float(check.floor)))
        for check in load_checks(pack)
    ]


def test_every_event_is_described() -> None:
    described = list_described(read_section("releases.md", "Events"))
    assert set(KINDS) <= described
    assert list_names(Event) <= described
    assert described == set(KINDS) | list_names(Event)


def read_sources(*names: str) -> str:
    folder = REPOSITORY / "src" / "sentiflow" / "serving"
    return "".join((folder / f"{name}.py").read_text() for name in names)


def test_every_route_error_and_metric_of_the_service_is_described() -> None:
    # Read as text: the modules themselves bring FastAPI and MLflow along.
    middleware = read_sources("middleware")
    routes = set(re.findall(r'"(/[a-z0-9/.]*)"', middleware))
    assert routes == list_described(read_section("serving.md", "The service"))
    sources = read_sources("app", "connections", "middleware", "schemas")
    codes = set(re.findall(r'Refusal\(\s*(?:[a-z.]+|\d+),\s*"([a-z_]+)"', sources))
    codes |= set(re.findall(r'\d{3}: "([a-z_]+)"', sources)) | {"error"}
    assert len(codes) >= 18
    assert codes == list_described(read_section("serving.md", "Errors"))
    metrics = set(re.findall(r'"(sentiflow_[a-z_]+)"', read_sources("measurements")))
    assert metrics == list_described(read_section("serving.md", "Metrics")) - {"_total"}


def test_every_ending_and_column_of_an_output_is_described() -> None:
    section, answers = read_section("serving.md", "Batch scoring"), read_sources("answers")
    suffixes = re.search(r"SUFFIXES: Final = (\(.*?\))", answers)
    assert suffixes is not None
    assert all(f"`{suffix}`" in section for suffix in ast.literal_eval(suffixes[1]))
    columns = re.findall(r'\("(\w+)", pa\.', answers)
    assert list_described(section) == set(columns) != set()


def test_the_power_table_is_what_the_code_says() -> None:
    rows = re.findall(r"^\| ([\d.]+) % \| (0\.\d\d) \|", read_section("gate.md", "Power"), re.M)
    assert len(rows) == 3
    for share, power in rows:
        measured = measure_power(3_070, float(share) / 100, GateSettings().margin, BOUND_ALPHA)
        assert f"{measured:.2f}" == power
    assert "Below 446 rows" in DOCS["gate.md"]
    assert compute_lower_bound(0, 0, 446) > -0.01 >= compute_lower_bound(0, 0, 445)


def test_the_gains_that_would_be_seen_are_what_the_code_says() -> None:
    section = read_section("gate.md", "Superior")
    seen = re.search(r"from ([\d.]+) points on \(([\d.]+) % discordant\), or ([\d.]+) \(([\d.]+) %",
                     " ".join(section.split()))  # fmt: skip
    assert seen is not None
    level = GateSettings().alpha / GateSettings().alpha_nights
    for points, share in (seen.group(1, 2), seen.group(3, 4)):
        assert f"{100 * compute_smallest_drop(3_070, float(share) / 100, level):.1f}" == points


@pytest.mark.parametrize(("column", "discordant"), [(0, 233), (1, 71)])
def test_the_exact_share_of_false_promotions_is_the_binomial_sum(
    column: int, discordant: int
) -> None:
    title = "How often does chance move the champion?"
    section = read_section("gate.md", title)
    assert f"({discordant} discordant)" in section
    rows = re.findall(r"\| ([\d.]+) ± ([\d.]+) \| ([\d.]+)", section)
    gate, single, naive = rows[column], rows[2 + column], rows[4 + column]
    wins = np.arange(discordant + 1)
    p_values = np.array([compute_mcnemar_p(n, discordant - n) for n in wins.tolist()])
    for (share, error, exact), promotes in (
        (gate, p_values <= 0.05 / 30),
        (single, p_values <= 0.05),
        (naive, wins > discordant - wins),
    ):
        theory = float(binom.pmf(wins[promotes], discordant, 0.5).sum())
        assert theory == pytest.approx(float(exact), abs=6e-5)
        # What was measured must be able to have come from it.
        assert abs(float(share) - theory) < 3 * float(error)
        assert float(error) == pytest.approx((theory * (1 - theory) / 10_000) ** 0.5, abs=2e-4)


def slug(title: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", DOCS)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", DOCS[page])
    for link in links:
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (REPOSITORY / "docs" / path) if path else REPOSITORY / "docs" / page
        assert target.exists(), link
        if anchor:
            text = re.sub(r"```.*?```", "", target.read_text(), flags=re.DOTALL)
            assert anchor in {slug(title) for title in re.findall(r"^#+ (.+)$", text, re.M)}, link


@pytest.mark.parametrize("page", PAGES.values())
def test_every_file_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"`((?:src|tests|flows|benchmarks|release|operations)/[\w/]+\.\w+)",
                           DOCS[page]))  # fmt: skip
    package = REPOSITORY / "src" / "sentiflow"
    for name in named:
        assert (REPOSITORY / name).exists() or (package / name).exists(), name


def test_a_changed_default_or_a_missing_row_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = DOCS["gate.md"].replace("| `gate.margin` | `0.01` |", "| `gate.margin` | `0.02` |")
    monkeypatch.setitem(DOCS, "gate.md", changed)
    with pytest.raises(AssertionError):
        test_every_setting_is_described_with_its_default("gate.margin")
    monkeypatch.setitem(DOCS, "gate.md", changed.replace("| `looks` |", "| `glances` |"))
    with pytest.raises(AssertionError):
        test_every_part_of_a_decision_is_described_and_nothing_else("findings")


def test_every_path_that_the_architecture_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|\.toml|/))`", DOCS["architecture.md"]))
    named |= {
        f"{folder}/" for folder in re.findall(r"^\| `(\S+)/` \|", DOCS["architecture.md"], re.M)
    }
    roots = (REPOSITORY, REPOSITORY / "src" / "sentiflow")
    assert len(named) > 50
    assert not [path for path in named if not any((root / path).exists() for root in roots)]


def test_the_architecture_names_every_folder_of_the_plan() -> None:
    folders = {
        f"{path.parent.relative_to(REPOSITORY)}/"
        for path in (REPOSITORY / "src" / "sentiflow").rglob("__init__.py")
        if path.parent.name != "sentiflow"
    }
    assert not [
        folder
        for folder in folders
        if folder.removeprefix("src/sentiflow/") not in DOCS["architecture.md"]
    ]
