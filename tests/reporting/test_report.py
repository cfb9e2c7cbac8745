import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate.forging import find_out
from reporting.recording import (
    CHALLENGER,
    CHAMPION,
    GATE,
    LABELS,
    find_alone,
    find_pair,
    make_record,
)

from sentiflow.reporting.decision_record import DecisionRecord
from sentiflow.reporting.report import list_cost, write_report
from sentiflow.settings import GateSettings

VOID = {"meta", "br", "line", "path"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&lt;{{ 7 * 7 }}"""


class Page(HTMLParser):
    """What a browser makes of a page: its tags, its words and its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: dict[str, list[list[str]]] = {}
        self._caption: str | None = None
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "caption":
            self._caption = dict(attrs).get("id") or "settings"
            self.tables[self._caption] = []
        elif tag == "tr" and self._caption:
            self.tables[self._caption].append([])
        elif tag in ("td", "th") and self._caption:
            self.tables[self._caption][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "table" and self._caption:
            rows = self.tables[self._caption]
            self.tables[self._caption] = [[" ".join(cell.split()) for cell in row] for row in rows]
            self._caption = None

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if self._caption and self.tables[self._caption] and {"td", "th"} & {*self.open}:
            self.tables[self._caption][-1][-1] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def write(record: DecisionRecord, folder: Path) -> str:
    return write_report(folder / "report.html", record).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a challenger of an old champion, with everything in it."""
    return write(make_record(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., Page]:
    return lambda *arguments, **changes: Page(write(make_record(*arguments, **changes), tmp_path))


def spoil_strings(value: Any, kept: tuple[str, ...] = ()) -> Any:
    """Put HTML into every string but those that the report tells apart."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, dict):
        return {
            key: held if key in kept else spoil_strings(held, kept) for key, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [spoil_strings(held, kept) for held in value]
    return value


def forget_floats(value: Any) -> Any:
    if isinstance(value, float):
        return None
    if isinstance(value, dict):
        return {key: forget_floats(held) for key, held in value.items()}
    return [forget_floats(held) for held in value] if isinstance(value, list | tuple) else value


def test_the_page_needs_nothing_beside_itself(html: str, page: Page) -> None:
    loading = {"script", "link", "iframe", "object", "embed", "img", "image", "use", "base", "a"}
    assert not {tag for tag, _ in page.tags} & (loading | {"form", "video", "audio"})
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "href")]
    assert not re.search(r"url\(|@import|https?:|//[a-z]", html)


def test_its_policy_forbids_everything_but_its_own_styles_before_any_are_met(page: Page) -> None:
    (policy,) = [
        meta for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy["content"] == POLICY
    order = [tag for tag, _ in page.tags]
    assert page.tags.index(("meta", policy)) < order.index("style")


def test_markup_in_any_value_of_a_record_stays_text(page: Page, tmp_path: Path) -> None:
    kept = ("verdict", "basis", "relation", "group", "policy", "night")
    record = DecisionRecord.model_validate(
        spoil_strings(make_record().model_dump(mode="json"), kept)
    )
    html = write(record, tmp_path)
    spoiled = Page(html)
    shape = [(tag, sorted(attributes)) for tag, attributes in page.tags]
    assert [(tag, sorted(attributes)) for tag, attributes in spoiled.tags] == shape
    assert "<script" not in html
    assert "<img" not in html
    # Twenty ids of changed labels and many others, as they were written.
    assert spoiled.text.count(HOSTILE) > 60


def test_half_a_character_in_an_id_does_not_lose_the_report(tmp_path: Path) -> None:
    record = make_record()
    record.findings["changes"][0]["review_id"] = "id-\ud800"
    assert "id-?" in Page(write(record, tmp_path)).text


def test_the_same_decision_gives_the_same_page(html: str, tmp_path: Path) -> None:
    assert write(make_record(), tmp_path) == html


def test_sections_come_in_the_order_they_are_asked_for(html: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    if "Warnings" in headings:
        headings.remove("Warnings")
    assert headings == [
        "Reasons", "What was compared", "Rules", "Paired intervals", "Slices", "Behaviours",
        "Changed labels", "Metrics", "Cost", "Settings",
    ]  # fmt: skip


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(page: Page) -> None:
    tables = len(page.find("table"))
    assert len(page.find("caption")) == tables == 7
    assert {attributes.get("scope") for attributes in page.find("th")} == {
        "col", "row", "rowgroup",
    }  # fmt: skip
    named = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= named


def test_every_picture_says_in_words_what_it_shows(page: Page) -> None:
    pictures = [svg for svg in page.find("svg") if "role" in svg]
    assert len(pictures) == 3 * 3 + 3
    assert all(svg["role"] == "img" for svg in pictures)
    labels = [str(svg["aria-label"]) for svg in pictures]
    assert labels[0].startswith("All test rows, against champion version 1: +")
    assert all(re.search(r": [+−]?\d.*, interval ", label) for label in labels)
    (worse,) = [label for label in labels if label.startswith("stars: 1")]
    assert worse.endswith(", worse")


def test_the_margin_is_a_line_and_explained(show: Callable[..., Page]) -> None:
    lines = [line for line in show().find("line") if line["class"] == "margin"]
    assert len(lines) == 3
    assert "a drop of 1.0 points, the margin" in show().words
    strict = show(find_pair(), GateSettings(resamples=200, policy="superior"))
    assert not [line for line in strict.find("line") if line["class"] == "margin"]
    assert "the margin" not in strict.words


@pytest.mark.parametrize(
    ("decision", "changes", "mark", "sentence"),
    [
        ({"verdict": "promoted", "basis": "superior"}, {}, "✓ Promoted",
         "Version 9 replaces version 1; it is significantly better on the same rows."),
        ({"verdict": "promoted", "basis": "fresh"}, {}, "✓ Promoted",
         "Version 9 replaces version 1, which is old; it is no worse."),
        ({"verdict": "promoted", "basis": "first"}, {"champion_version": None}, "✓ Promoted",
         "Version 9 becomes the first champion of its lineage."),
        ({"verdict": "waiting"}, {}, "○ Waiting",
         "Version 9 may be promoted and waits for a person; until then version 1 stays champion."),
        ({"verdict": "kept"}, {}, "✗ Kept",
         "Version 1 stays champion; version 9 does not replace it."),
        ({"verdict": "kept", "rules": []}, {}, "○ Kept",
         "Version 1 stays champion; version 9 does not replace it."),
        ({"verdict": "kept"}, {"champion_version": None}, "✗ Kept back",
         "Version 9 is not promoted; there is no champion."),
        ({"verdict": "not_evaluated"}, {}, "✗ Not evaluated",
         "The gate could not rule on version 9; version 1 stays champion."),
    ],
)  # fmt: skip
def test_the_verdict_is_told_in_words_and_by_a_mark(
    decision: dict[str, Any],
    changes: dict[str, Any],
    mark: str,
    sentence: str,
    show: Callable[..., Page],
) -> None:
    record = make_record()
    words = show(decision={**record.decision, **decision}, **changes).words
    assert f"what the gate decided {mark} {sentence}" in words


def test_a_champion_that_was_superseded_unseen_is_named(show: Callable[..., Page]) -> None:
    words = show(find_alone(), champion_version=4).words
    assert "Version 9 replaces version 4, with which it was not compared." in words
    assert words.count("champion version 4 is of another lineage, or could not be loaded") == 3


def test_only_missing_the_policy_is_no_failure_of_the_model(show: Callable[..., Page]) -> None:
    findings = find_out(LABELS, CHAMPION, CHAMPION, gate=GATE)
    words = show(findings).words
    assert "○ Kept" in words
    assert "✗ failed" in words


def test_reasons_and_warnings_stand_as_they_were_written(page: Page) -> None:
    decision = make_record().decision
    assert decision["reasons"]
    for sentence in (*decision["reasons"], *decision["warnings"]):
        assert sentence in page.text


def test_the_rules_are_all_in_one_table_with_value_threshold_and_outcome(page: Page) -> None:
    rows = page.tables["rules"]
    assert rows[0] == ["Rule", "Value", "Required", "Outcome"]
    rules = make_record().decision["rules"]
    assert len([row for row in rows[1:] if len(row) == 4]) == len(rules)
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["Latency of one text of 100 words"] == ["8.0 ms", "≤ 250.0 ms", "✓ passed"]
    assert by_name["No worse in slice stars: 1 (p)"][2] == "✗ failed"
    assert by_name["Age of the champion"] == ["42 nights", "≥ 30 nights", "○ met"]


def test_the_slices_are_the_findings(page: Page) -> None:
    rows = page.tables["slices"][1:]
    for row, part in zip(rows, find_pair().slices, strict=True):
        assert row[:4] == [
            f"{part.kind}: {part.name}", f"{part.rows:,}", f"{part.challenger:.4f}",
            f"{part.champion:.4f}",
        ]  # fmt: skip
        sign = "+" if part.value > 0 else ""
        assert row[4] == f"{sign}{100 * part.value:.2f} points".replace("-", "−")
        assert row[5] == f"{part.wins} : {part.losses}"


def test_failing_cases_are_listed_but_folded_away(page: Page, html: str) -> None:
    rows = {row[0].split(" A negated")[0]: row[1:] for row in page.tables["behaviours"]}
    assert rows["negation"] == ["32 of 40", "80.0 %", "60.0 %", "✓ yes"]
    folded = r"<details><summary>1 failing case</summary>\s*<ul[^>]*>\s*<li>(.*?)</li>"
    assert re.findall(folded, html) == ["added_praise-007: A → B"]


def test_changed_labels_are_told_by_id_and_who_is_right(page: Page) -> None:
    rows = page.tables["changes"][1:]
    changes = find_pair().changes
    assert len(rows) == len(changes) == 20
    for row, change in zip(rows, changes, strict=True):
        assert row[0] == change.review_id
        assert row[1] == ("positive" if change.label else "negative")
        assert row[2:4] == [f"{change.challenger:.3f}", f"{change.champion:.3f}"]
        position = int(change.review_id.removeprefix("review-"))
        is_right = (CHALLENGER[position] >= 0.5) == (LABELS[position] == 1)
        assert row[4] == ("challenger" if is_right else "champion")


def test_a_probability_just_below_a_half_does_not_read_as_one(tmp_path: Path) -> None:
    record = make_record()
    record.findings["changes"][0]["challenger"] = 0.49996
    assert Page(write(record, tmp_path)).tables["changes"][1][2] == "0.49996"


def test_metrics_stand_side_by_side(page: Page) -> None:
    found = find_pair()
    assert found.champion_metrics is not None
    rows = page.tables["metrics"]
    assert rows[0] == [
        "Metric", "challenger (9)", "its n-grams alone", "its network alone", "champion (1)",
        "TF-IDF, tuned",
    ]  # fmt: skip
    assert rows[1] == [
        "Accuracy", f"{found.metrics['accuracy']:.4f}", "0.8700", "0.8400",
        f"{found.champion_metrics['accuracy']:.4f}", "0.8600",
    ]  # fmt: skip
    assert rows[4][0] == "ROC AUC"
    assert rows[4][5] == "not known"


def test_the_branches_shares_are_told_where_there_are_two(html: str, tmp_path: Path) -> None:
    assert "n-grams 62 %, network 38 % of the answers" in html
    assert "of the answers" not in write(make_record(branches={}), tmp_path)


def test_cost_is_told_by_step_in_the_order_of_the_night(page: Page) -> None:
    assert page.tables["cost"][1:] == [
        ["ingest", "2.5", "2 %"],
        ["train", "70.0", "70 %"],
        ["decide and between steps, so far", "27.5", "28 %"],
        ["total, so far", "100.0", ""],
    ]
    assert "8.0 ms median, 11.0 ms 95th percentile" in page.words.replace("\u00a0", " ")
    assert "20.0 MB" in page.words.replace("\u00a0", " ")


def test_cpu_and_bytes_are_told_where_they_were_measured(
    page: Page, show: Callable[..., Page]
) -> None:
    cost = {"cpu_seconds": {"train": 120.0, "total": 140.04}, "bytes_written": 210_500_000}
    words = show(**cost).words.replace("\u00a0", " ")
    assert "CPU, so far140.0 s; 210.5 MB written to disk" in words
    unknown = show(**{**cost, "bytes_written": None}).words.replace("\u00a0", " ")
    assert "CPU, so far140.0 s One text" in unknown
    assert "CPU" not in page.words


@pytest.mark.parametrize("seconds", [{}, {"total": 0.0}, {"train": 3.0}])
def test_the_shares_of_a_night_add_up_to_its_total(seconds: dict[str, float]) -> None:
    steps = list_cost(seconds)
    assert sum(value for _, value, _ in steps) == sum(seconds.values())
    shares = [share for _, _, share in steps if share is not None]
    assert sum(shares) == (1.0 if shares else 0)


def test_identities_are_short_with_the_whole_one_at_hand(page: Page) -> None:
    assert len([code for code in page.find("code") if code.get("title") == "b" * 64]) == 1
    assert "b" * 12 + "…" in page.text
    assert "b" * 13 not in page.text
    assert "/#/experiments/1/runs/6afb05a7" in page.text


def test_settings_are_told_as_they_are_written(page: Page) -> None:
    settings = dict(page.tables["settings"][1:])  # type: ignore[arg-type]
    assert settings["margin"] == "0.01"
    assert settings["policy"] == "superior_or_fresh"
    assert settings["behaviour_floors"] == "{}"
    assert set(settings) == set(GATE.model_dump())


def test_on_a_first_night_the_paired_parts_say_why_they_are_empty(
    show: Callable[..., Page],
) -> None:
    page = show(find_alone())
    assert page.find("figure") == []
    assert {"slices", "changes"} & set(page.tables) == set()
    assert page.words.count("on a lineage's first night there is no champion") == 3


def test_a_copy_of_the_champion_has_no_changed_labels(show: Callable[..., Page]) -> None:
    page = show(find_out(LABELS, CHAMPION, CHAMPION, gate=GATE))
    assert "Challenger and champion give every row the same label." in page.words
    assert "No slice has the 100 rows that it needs" in page.words


def test_a_hold_is_shown_beside_the_rules(show: Callable[..., Page]) -> None:
    page = show(replace(find_alone(), blockers=("A hold since yesterday.",)))
    assert "Besides the rules, this keeps the champion: A hold since yesterday." in page.words


def test_a_decision_that_could_not_be_made_has_a_report(show: Callable[..., Page]) -> None:
    broken = {**find_alone().metrics, "accuracy": np.nan}
    page = show(replace(find_alone(), metrics=broken, champion_version=3))
    assert "Not evaluated: the challenger's accuracy is no number" in page.words
    assert "No rule was evaluated." in page.words
    assert "The comparison with champion version 3 is missing" in page.words


@pytest.mark.parametrize("findings", [find_alone(), find_pair()], ids=["alone", "pair"])
def test_numbers_that_are_none_are_said_to_be_not_known(findings: Any, tmp_path: Path) -> None:
    record = make_record(findings)
    whole = Page(write(record, tmp_path))
    values = record.model_dump(mode="json")
    values["decision"]["alpha"] = None
    values["findings"] = forget_floats(values["findings"])
    values["baselines"] = forget_floats(values["baselines"])
    # A behaviour's rates are shares of whole numbers, and a probability that is none ends a night.
    values["findings"]["behaviours"] = record.findings["behaviours"]
    values["findings"]["changes"] = record.findings["changes"]
    for rule in values["decision"]["rules"]:
        rule["value"] = None
    emptied = Page(write(DecisionRecord.model_validate(values), tmp_path))
    assert {*emptied.tables} == {*whole.tables}
    assert emptied.words.count("not known") > 20
    assert "None" not in emptied.words
    assert "nan" not in emptied.words.split()
    if findings is find_pair():
        assert emptied.tables["slices"][1][7] == "too few rows"


def test_an_outcome_is_never_told_by_color_alone(page: Page) -> None:
    marks = Counter(row[-1].split()[0] for row in page.tables["rules"] if len(row) == 4)
    assert set(marks) == {"Outcome", "✓", "✗", "○"}
    shapes = [path["d"] for path in page.find("path") if path["class"] in ("dot", "worse")]
    assert len(set(shapes)) == 2
