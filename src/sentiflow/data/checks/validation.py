"""Have Great Expectations check every chunk of rows and then the whole night.

The one module that imports great_expectations, and only once something is to be checked.
What is expected stands in data/checks/expectations.py and data/checks/row_expectations.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.checks.docs_page import lay_out_page
from sentiflow.data.checks.expectation import Bound, TableExpectation
from sentiflow.data.checks.expectations import list_rule_expectations, list_table_expectations
from sentiflow.data.checks.row_expectations import list_row_expectations, list_text_expectations
from sentiflow.data.checks.table_report import (
    ExpectationOutcome,
    TableReport,
    describe_outcome,
    describe_unchecked,
)
from sentiflow.data.profile import PreviousSnapshot, Profile
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SentiflowError
from sentiflow.files import write_text
from sentiflow.settings import DataSettings, Settings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

__all__ = [
    "DOCS_PAGE",
    "ExpectationOutcome",
    "PreviousSnapshot",
    "RowChecker",
    "TableReport",
    "check_table",
]

DOCS_PAGE: Final = "index.html"
RAW_CHARACTERS: Final = 2_000

# Great Expectations keeps the frame of the moment in its one context: two threads that validate
# at once are answered about each other's rows.
_ONE_AT_A_TIME: Final = Lock()

# The text comes last, so that it is what a long row loses.
_RAW_FIELDS: Final = ("review_id", "user_id", "business_id", "stars", "label", "date", "text")


class RowChecker:
    """Check typed reviews chunk by chunk and part the rows that pass from those that do not.

    Attributes:
        counts: rejected rows so far by the name of the expectation they were rejected for,
            the first they failed; an expectation that nothing failed has 0.
    """

    def __init__(self, data: DataSettings, *, text_only: bool = False) -> None:
        """Prepare the row expectations for this kind of source.

        Args:
            data: says whether reviews carry stars or labels.
            text_only: expect a text and nothing else, as of rows that are only answered.
        """
        self._expectations = list_text_expectations() if text_only else list_row_expectations(data)
        self._suite = [
            _translate(
                expected.name, expected.kind, {"column": expected.column, **expected.arguments}
            )
            for expected in self._expectations
        ]
        self.counts: dict[str, int] = {expected.name: 0 for expected in self._expectations}

    def check(self, reviews: pd.DataFrame) -> tuple[pd.DataFrame, list[Rejection]]:
        """Return the reviews that meet every row expectation, and a rejection for each other.

        Args:
            reviews: n typed reviews, columns as `type_reviews` gives them; not changed.

        Returns:
            The reviews that pass, in their order, index reset and without unknown_label; and
            the rejections, in the order of their rows. Together they are n.

        Raises:
            SentiflowError: an expectation could not be evaluated, or a row was lost.
        """
        numbered = reviews.reset_index(drop=True)
        columns = list(dict.fromkeys(expected.column for expected in self._expectations))
        outcomes = _validate("reviews", numbered[columns], self._suite)
        # The position of the first expectation that each row fails, or -1.
        first_failed = np.full(len(numbered), -1, dtype=np.int64)
        for position in reversed(range(len(self._expectations))):
            name = self._expectations[position].name
            first_failed[_select_failed_rows(name, outcomes[name], len(numbered))] = position

        failed = first_failed >= 0
        passed = numbered.loc[~failed].drop(columns="unknown_label").reset_index(drop=True)
        rejections = self._reject(numbered.loc[failed], first_failed[failed])
        if len(passed) + len(rejections) != len(reviews):
            raise SentiflowError(
                "Every row must pass or be rejected. "
                f"Received: rows={len(reviews)}, passed={len(passed)}, "
                f"rejected={len(rejections)}. This is a fault in sentiflow: please report it."
            )
        return passed, rejections

    def _reject(
        self, rejected: pd.DataFrame, first_failed: npt.NDArray[np.int64]
    ) -> list[Rejection]:
        """Return a rejection for each row, and count it."""
        raws = _format_raw(rejected)
        rejections = []
        for file, line, review_id, label, position, raw in zip(
            rejected["file"],
            rejected["line"],
            rejected["review_id"],
            rejected["unknown_label"],
            first_failed,
            raws,
            strict=True,
        ):
            broken = self._expectations[position]
            self.counts[broken.name] += 1
            rejections.append(
                Rejection(
                    file=str(file),
                    line=int(line),
                    rule=broken.name,
                    reason=broken.reason,
                    review_id=None if pd.isna(review_id) else review_id,
                    raw=raw,
                    unknown_label=(None if broken.column != "label" or pd.isna(label) else label),
                )
            )
        return rejections


def check_table(
    profile: Profile,
    previous: PreviousSnapshot | None,
    settings: Settings,
    night: date,
    docs: Path | None,
    *,
    replay: bool = False,
) -> TableReport:
    """Compare a whole night with the table expectations.

    Great Expectations sees one row of counts and shares, never a review, so that its Data
    Docs cannot hold a text.

    Args:
        profile: the night's counts.
        previous: the last accepted snapshot of the lineage; without one the expectations on
            volume and balance are not checked, and the report says so.
        settings: the bounds (validation, data).
        night: the logical date.
        docs: folder for the Data Docs page `index.html`, made if missing; None writes none.
        replay: whether the night is an earlier day than today (`--as-of`); reviews dated
            after it are then no cause for a warning.

    Returns:
        The outcome of each expectation.

    Raises:
        SentiflowError: an expectation could not be evaluated.
    """
    listed = list_table_expectations(profile, previous, settings, night, replay=replay)
    checked = [expected for expected in listed if expected.unless is None]
    by_rule = list_rule_expectations(profile, settings.data)
    results = _compare_with_bounds([*checked, *by_rule])
    report = TableReport(
        outcomes=tuple(
            describe_outcome(expected, passed=bool(results[expected.name].success))
            for expected in checked
        ),
        unchecked=tuple(
            describe_unchecked(expected) for expected in listed if expected.unless is not None
        ),
    )
    if docs is not None:
        tables = {
            "The whole night": [results[expected.name] for expected in checked],
            "Quarantined rows, by rule": [results[expected.name] for expected in by_rule],
        }
        page = lay_out_page(
            f"Data checks of the night {night}",
            report.verdict,
            [
                *report.reasons,
                *(f"Warning: {sentence}" for sentence in report.warnings),
                *report.unchecked,
            ],
            {heading: _render(rows) for heading, rows in tables.items()},
        )
        write_text(docs / DOCS_PAGE, page)
    return report


@cache
def _open_assets() -> Mapping[str, BatchDefinition[Any]]:
    """Return where frames are handed to Great Expectations, by what the frames hold.

    One context serves the whole process: it is global state in Great Expectations.
    """
    # Read when the package is imported, so it has to be said before.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    source = context.data_sources.add_pandas("sentiflow")
    return {
        name: source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
        for name in ("reviews", "night")
    }


def _translate(
    name: str,
    kind: str,
    arguments: Mapping[str, object],
    description: str | None = None,
    *,
    critical: bool = True,
) -> Expectation:
    """Return Great Expectations' own object for an expectation, carrying its name."""
    with _ONE_AT_A_TIME:
        _open_assets()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    return ExpectationConfiguration(
        type=kind,
        kwargs=dict(arguments),
        meta={"name": name},
        description=description,
        severity=FailureSeverity.CRITICAL if critical else FailureSeverity.WARNING,
    ).to_domain_obj()


def _validate(
    asset: str, table: pd.DataFrame, suite: Sequence[Expectation]
) -> dict[str, ExpectationValidationResult]:
    """Run expectations on a table and return their results by name.

    Raises:
        SentiflowError: an expectation could not be evaluated.
    """
    with _ONE_AT_A_TIME:
        batch = _open_assets()[asset].get_batch({"dataframe": table})
        from great_expectations import ExpectationSuite

        validated = batch.validate(
            ExpectationSuite(name=asset, expectations=list(suite)), result_format="COMPLETE"
        )
    results: dict[str, ExpectationValidationResult] = {}
    for result in cast("list[Any]", validated.results):
        name = result.expectation_config.meta["name"]
        # What raised within Great Expectations has a result with nothing in it.
        if not {"observed_value", "unexpected_index_list"} & result.result.keys():
            raise _cannot_evaluate(name, result)
        results[name] = result
    return results


def _select_failed_rows(
    name: str, result: ExpectationValidationResult, rows: int
) -> npt.NDArray[np.int64]:
    """Return the positions of the rows that failed one expectation.

    Raises:
        SentiflowError: it did not see every row, or does not list every failure.
    """
    found: list[int] = result.result["unexpected_index_list"]
    if result.result["element_count"] != rows or result.result["unexpected_count"] != len(found):
        raise _cannot_evaluate(name, result)
    return np.array(found, dtype=np.int64)


def _compare_with_bounds(
    expectations: Sequence[TableExpectation],
) -> dict[str, ExpectationValidationResult]:
    """Put every value into one row and have each compared with its bounds.

    The minimum of one row is its value; unlike the expectations on values, it fails where
    the value is missing.
    """
    row = pd.DataFrame({expected.name: [_as_cell(expected.value)] for expected in expectations})
    suite = [
        _translate(
            expected.name,
            "expect_column_min_to_be_between",
            {
                "column": expected.name,
                "min_value": _as_cell(expected.at_least),
                "max_value": _as_cell(expected.at_most),
            },
            # Great Expectations puts a description into its HTML as it is.
            escape(f"{'Critical' if expected.critical else 'Warning'}: {expected.required}"),
            critical=expected.critical,
        )
        for expected in expectations
    ]
    return _validate("night", row, suite)


def _as_cell(value: Bound | None) -> Bound | pd.Timestamp | None:
    """Return a date as the timestamp that Great Expectations can compare."""
    return pd.Timestamp(value) if isinstance(value, date) else value


def _cannot_evaluate(name: str, result: ExpectationValidationResult) -> SentiflowError:
    """Return the error, without Great Expectations' own message: that may quote a text."""
    return SentiflowError(
        "Every expectation must be evaluated on every row. "
        f"Received: expectation={name}, element_count={result.result.get('element_count')}. "
        "Look whether great-expectations is the version in requirements.lock, and whether the "
        "columns are those of type_reviews."
    )


def _render(results: Sequence[ExpectationValidationResult]) -> str:
    """Return results as the HTML table of Great Expectations' Data Docs."""
    from great_expectations.render.renderer.content_block import (
        validation_results_table_content_block as block,
    )
    from great_expectations.render.view.view import DefaultJinjaComponentView

    for result in results:
        observed = result.result["observed_value"]
        # The renderer writes "--" for numpy's floats, and ten digits for Python's.
        if isinstance(observed, np.floating):
            result.result["observed_value"] = float(f"{observed:.6g}")
        elif isinstance(observed, pd.Timestamp):
            result.result["observed_value"] = str(observed.date())
    renderer: Any = block.ValidationResultsTableContentBlockRenderer
    table = renderer.render(list(results), include_column_name=False)
    view: Any = DefaultJinjaComponentView()
    return str(view.render({"content_block": table.to_json_dict()}))


def _format_raw(rejected: pd.DataFrame) -> list[str]:
    """Return each row's fields as JSON, cut at RAW_CHARACTERS."""
    fields = rejected[list(_RAW_FIELDS)].assign(
        # A text of megabytes is cut before it is written, and the date takes its ISO form.
        text=rejected["text"].str.slice(0, RAW_CHARACTERS),
        date=rejected["date"].dt.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    records = fields.astype(object).where(fields.notna(), None).to_dict("records")
    return [json.dumps(record, ensure_ascii=False)[:RAW_CHARACTERS] for record in records]
