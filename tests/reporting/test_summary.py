import json

from sentiflow.reporting.record import NightRecord, read_last_records, read_record, save_record
from sentiflow.reporting.summary import format_markdown, format_run_note, write_text

RECORD = NightRecord(
    night="2026-11-24",
    model="sentiflow",
    outcome="kept",
    reasons=["Accuracy 0.8800 ties the champion's on the same rows: ties keep."],
    warnings=["Dates are missing."],
    version=4,
    champion_version=3,
    rows={
        "read": 1_106, "quarantined": 1, "superseded": 2, "left_out": 3,
        "train": 800, "validation": 100, "test": 200,
    },
    metrics={"accuracy": 0.88, "roc_auc": 0.95, "confusion": [[1, 2], [3, 4]]},
    champion_metrics={"accuracy": 0.88},
    baselines={"tfidf_logreg": {"accuracy": 0.87, "roc_auc": None}},
    branches={
        "wide": {"share": 0.6, "accuracy": 0.861},
        "deep": {"share": 0.4, "accuracy": 0.852},
    },
    seconds={"total": 60.0, "train": 40.0, "ingest": 2.0},
    peak_memory_mb=1_234.5,
    quarantine="some/file.jsonl",
    mlflow_run_id="abc",
    mlflow_run_path="/#/experiments/1/runs/abc",
)  # fmt: skip


def test_the_text_tells_outcome_rows_metrics_and_time_in_the_order_of_the_night() -> None:
    text = write_text(RECORD)
    assert "KEPT" in text
    assert "1,106 read = 1 quarantined, 2 outdated, 3 left out, 800 train + 100 validation" in text
    assert "ingest 2.0, train 40.0, total 60.0" in text
    assert "champion is version 3" in text
    assert "Warning: Dates are missing." in text
    lines = [line for line in text.splitlines() if "0.8800" in line or "0.8700" in line]
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "tonight's model", "champion (3)", "TF-IDF, tuned",
    ]  # fmt: skip
    assert " - " in lines[-1] or lines[-1].rstrip().endswith("-")


def test_each_branchs_share_is_told_where_there_are_two() -> None:
    told = "n-grams 60 %, network 40 % of the answers; alone they reach accuracy 0.8610 and 0.8520"
    for format_record in (write_text, format_markdown):
        assert told in format_record(RECORD)
        assert "of the answers" not in format_record(RECORD.model_copy(update={"branches": {}}))


def test_columns_are_aligned() -> None:
    rows = [
        line for line in write_text(RECORD).splitlines() if "0.88" in line or "accuracy" in line
    ]
    ends = {line.index("0.8800") + 6 for line in rows if "tonight" in line or "champion (" in line}
    header = next(line for line in rows if "test rows" in line)
    assert ends == {header.index("accuracy") + len("accuracy")}


def test_the_markdown_links_the_mlflow_run_and_is_a_table() -> None:
    markdown = format_markdown(RECORD)
    assert "/#/experiments/1/runs/abc" in markdown
    assert "| tonight's model | 0.8800 |" in markdown
    assert "- Warning: Dates are missing." in markdown


def test_a_night_that_failed_early_has_a_summary_too() -> None:
    record = NightRecord(night="2026-11-24", model="sentiflow", reasons=["No."])
    assert "FAILED" in write_text(record)
    assert "No." in format_markdown(record)


def test_cpu_and_bytes_are_told_in_one_line_where_they_were_measured() -> None:
    cost = {"cpu_seconds": {"train": 80.12, "ingest": 3.0, "total": 95.36}}
    line = "95.4 seconds, 80.1 of them in train; 1,210.5 MB written"
    record = RECORD.model_copy(update={**cost, "bytes_written": 1_210_500_000})
    assert f"  CPU       {line}\n" in write_text(record)
    assert f"\n**CPU** {line}\n" in format_markdown(record)
    unknown = RECORD.model_copy(update=cost)
    assert "  CPU       95.4 seconds, 80.1 of them in train\n" in write_text(unknown)
    assert "CPU" not in write_text(RECORD) + format_markdown(RECORD)


def test_a_record_from_before_a_key_was_added_is_still_read(tmp_path) -> None:
    path = save_record(tmp_path, "abc", RECORD)
    value = json.loads(path.read_text())
    for key in ("cpu_seconds", "bytes_written", "swept", "moved_outside", "refused"):
        del value[key]
    path.write_text(json.dumps(value))
    assert read_record(tmp_path, "abc") == RECORD


def test_records_are_found_again(tmp_path) -> None:
    assert read_record(tmp_path, "abc") is None
    assert read_last_records(tmp_path, "sentiflow") == []
    save_record(tmp_path, "abc", RECORD)
    save_record(tmp_path, "other", RECORD.model_copy(update={"model": "another"}))
    assert read_record(tmp_path, "abc") == RECORD
    assert read_last_records(tmp_path, "sentiflow") == [RECORD]


def test_where_mlflow_has_an_address_the_markdown_links_report_and_run() -> None:
    record = RECORD.model_copy(update={"decision": "d" * 64})
    markdown = format_markdown(record, lambda page: f"http://m:5000{page}?x")
    page = f"http://m:5000{record.mlflow_run_path}"
    written = record.model_copy(update={"report": f"/home/decisions/{'d' * 64}.html"})
    told = format_markdown(written, lambda page: f"http://m:5000{page}?x")
    assert f"[its report]({page}/artifacts/report/{'d' * 64}.html?x)" in told
    assert f"[its report]({page}/artifacts/report?x)" in markdown
    assert f"[`{record.mlflow_run_id}`]({page}?x)" in markdown
    # Where MLflow is files there is nothing to link.
    plain = format_markdown(record, lambda _: None)
    assert "](" not in plain
    assert f"`{record.mlflow_run_path}/artifacts/report`" in plain


def test_mlflow_shows_in_a_sentence_what_a_night_became() -> None:
    record = RECORD.model_copy(update={"report": "/home/decisions/x.html"})
    first, second, *others = format_run_note(record).split("  \n")
    assert first.startswith(f"**{record.outcome.capitalize()}**: night {record.night} of ")
    assert f"version {record.version}" in first
    # The links stand before the reasons, where MLflow shows them without a click.
    page = f"{record.mlflow_run_path}/artifacts".removeprefix("/")
    query = "workflowType=machine_learning"
    assert second == (
        f"Read [the report with its figures]({page}/report/x.html?{query}), "
        f"[the decision]({page}/decision.json?{query}), [all numbers]({page}/night.json?{query})."
    )
    assert others == list(record.reasons)
    failed = NightRecord(night="2026-11-24", model="a_b", reasons=["No |"])
    assert format_run_note(failed) == "**Failed**: night 2026-11-24 of a_b.  \nNo \\|"
