"""What is expected of a whole night, written down in one place.

Row expectations (row_expectations.py) decide which rows are quarantined. Table expectations decide
whether the night's data may be trained on (critical) or should be looked at (warning). They are
written by hand and compared with, never learned from, the data they check;
data/checks/validation.py has Great Expectations run them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Final

from sentiflow.data.checks.expectation import TableExpectation
from sentiflow.data.checks.row_expectations import list_row_expectations
from sentiflow.data.checks.value_expectations import expect_own_ids, expect_readable_values
from sentiflow.data.profile import PreviousSnapshot, Profile
from sentiflow.data.values.labels import suggest_labels
from sentiflow.settings import DataSettings, Settings
from sentiflow.settings.notations import USUAL_LABELS

# A review can be dated tomorrow where the sun is ahead of the server; more than this share of
# the rows cannot.
MAX_AFTER_NIGHT_SHARE: Final = 0.01
MIN_JOIN_COVERAGE: Final = 0.5


# From this share of the quarantined rows on, the encoding is named as a likely cause.
_MANY_UNDECODABLE: Final = 0.1

_FAULT: Final = "This is a fault in sentiflow: please report it with these numbers."
_NO_ROWS: Final = "the snapshot has no rows"
_NO_PREVIOUS: Final = "there is no earlier accepted snapshot to compare with"


def list_table_expectations(
    profile: Profile,
    previous: PreviousSnapshot | None,
    settings: Settings,
    night: date,
    *,
    replay: bool,
) -> tuple[TableExpectation, ...]:
    """Return what is expected of the night, in the order in which causes come before effects.

    Args:
        profile: the night's counts.
        previous: the last accepted snapshot, or None.
        settings: the bounds (validation, data).
        night: the logical date.
        replay: whether the night is an earlier one, so that later reviews are there by right.
    """
    of_reading = _expect_of_reading(profile, settings, night, replay=replay)
    of_rows = [
        *_expect_of_content(profile, settings, night),
        *_expect_of_split(profile, settings),
        *_expect_of_change(profile, previous, settings),
    ]
    if not profile.rows:
        # The expectation on the number of rows, among the first, fails in their place.
        of_rows = [replace(expected, unless=_NO_ROWS) for expected in of_rows]
    return (*of_reading, *of_rows)


def _expect_of_reading(
    profile: Profile, settings: Settings, night: date, *, replay: bool
) -> list[TableExpectation]:
    data = settings.data
    no_input = None if profile.rows_read else "no rows were read"
    return [
        TableExpectation(
            name="truncated_files",
            required="Every file must be read to its end",
            received=f"truncated_files={profile.truncated_files:,}",
            advice="See truncated_file in the quarantine file, and fetch those files again.",
            value=profile.truncated_files,
            at_most=0,
        ),
        TableExpectation(
            name="rejected_share",
            required=f"At most {data.max_rejected_share:g} of the rows read may be quarantined "
            "(data.max_rejected_share)",
            received=f"rejected_share={_write(profile.rejected_share)} "
            f"({profile.quarantined:,} of {profile.rows_read:,} rows)",
            advice=_advise_on_rejections(profile, data),
            value=profile.rejected_share,
            at_most=data.max_rejected_share,
            unless=no_input,
        ),
        *expect_readable_values(profile, data, no_input),
        *expect_own_ids(profile, data, no_input),
        TableExpectation(
            name="rows_after_night",
            required=f"At most {MAX_AFTER_NIGHT_SHARE:g} of the rows read may be dated after "
            f"the night, {night}",
            received=f"left_out_after_night={profile.left_out_after_night:,} "
            f"of {profile.rows_read:,} rows",
            advice="They are left out tonight. Look at the source's clock and its date column "
            "(data.columns.date).",
            value=profile.after_night_share,
            at_most=MAX_AFTER_NIGHT_SHARE,
            critical=False,
            unless=no_input
            or ("the replay of an earlier night leaves later reviews out" if replay else None),
        ),
        TableExpectation(
            name="accounted_rows",
            required="Rows read must equal quarantined + outdated + left out + train + "
            "validation + test",
            received=f"rows_read={profile.rows_read:,}, quarantined={profile.quarantined:,}, "
            f"outdated={profile.superseded:,}, left_out={profile.left_out:,}, "
            f"train={profile.train_rows:,}, validation={profile.validation_rows:,}, "
            f"test={profile.test_rows:,}",
            advice=f"{profile.unaccounted_rows:,} rows are unaccounted for. {_FAULT}",
            value=profile.unaccounted_rows,
            at_least=0,
            at_most=0,
        ),
        TableExpectation(
            name="split_rows",
            required="Train, validation and test must together be the rows of the snapshot",
            received=f"train={profile.train_rows:,}, validation={profile.validation_rows:,}, "
            f"test={profile.test_rows:,}, rows={profile.rows:,}",
            advice=_FAULT,
            value=profile.rows - profile.train_rows - profile.validation_rows - profile.test_rows,
            at_least=0,
            at_most=0,
        ),
        TableExpectation(
            name="rows",
            required=f"The snapshot must have at least {settings.validation.min_rows:,} rows "
            "(validation.min_rows)",
            received=f"rows={profile.rows:,}",
            advice="Give the night more reviews, or lower that setting.",
            value=profile.rows,
            at_least=settings.validation.min_rows,
        ),
    ]


def _expect_of_content(profile: Profile, settings: Settings, night: date) -> list[TableExpectation]:
    bounds = settings.validation
    undated = profile.missing_dates == profile.rows
    return [
        TableExpectation(
            name="unique_ids",
            required="Every row of the snapshot must have a review id of its own",
            received=f"unique_ids={profile.unique_ids:,}, rows={profile.rows:,}",
            advice=f"Outdated rows were not removed. {_FAULT}",
            value=profile.rows - profile.unique_ids,
            at_least=0,
            at_most=0,
        ),
        TableExpectation(
            name="class_share",
            required="The rarer class must have a share of at least "
            f"{bounds.min_class_share:g} (validation.min_class_share)",
            received=f"positive_share={_write(profile.positive_share)} "
            f"({profile.positive_rows:,} of {profile.rows:,} rows)",
            advice="Look at the column of stars or labels and at data.positive_above.",
            value=profile.smaller_class_share,
            at_least=bounds.min_class_share,
        ),
        TableExpectation(
            name="mean_words",
            required=f"The average text must have between {bounds.min_mean_words:g} and "
            f"{bounds.max_mean_words:g} words "
            "(validation.min_mean_words, validation.max_mean_words)",
            received=f"mean_words={_write(profile.mean_words)}",
            advice="Look at the column of texts (data.columns.text), or change those settings.",
            value=profile.mean_words,
            at_least=bounds.min_mean_words,
            at_most=bounds.max_mean_words,
        ),
        TableExpectation(
            name="shortest_text",
            required="Every text must have at least 1 character",
            received=f"shortest_characters={profile.shortest_characters:,}",
            advice=f"Empty texts were not quarantined. {_FAULT}",
            value=profile.shortest_characters,
            at_least=1,
        ),
        TableExpectation(
            name="missing_dates",
            required=f"At most {bounds.max_missing_date_share:g} of the rows may lack a date "
            "(validation.max_missing_date_share)",
            received=f"missing_date_share={_write(profile.missing_date_share)} "
            f"({profile.missing_dates:,} of {profile.rows:,} rows)",
            advice="Look at the column of dates (data.columns.date), or raise that setting.",
            value=profile.missing_date_share,
            at_most=bounds.max_missing_date_share,
            critical=False,
            unless=None if settings.data.columns.date else "data.columns.date is none",
        ),
        TableExpectation(
            name="latest_date",
            required=f"No review of the snapshot may be dated after the night, {night}",
            received=f"latest_date={profile.latest_date}",
            advice=f"Reviews of the future were not left out. {_FAULT}",
            value=date.fromisoformat(profile.latest_date) if profile.latest_date else None,
            at_most=night,
            unless="no review has a date" if undated else None,
        ),
        TableExpectation(
            name="join_coverage",
            required=f"At least {MIN_JOIN_COVERAGE:g} of the reviews should have their business "
            "in the businesses file",
            received=f"join_coverage={_write(profile.join_coverage)}",
            advice="Look whether reviews and businesses are of the same export "
            "(data.columns.business_id).",
            value=profile.join_coverage,
            at_least=MIN_JOIN_COVERAGE,
            critical=False,
            unless="no businesses file was given" if profile.join_coverage is None else None,
        ),
    ]


def _expect_of_split(profile: Profile, settings: Settings) -> list[TableExpectation]:
    bounds = settings.validation
    test_negative_rows = profile.test_rows - profile.test_positive_rows
    sides = {
        "train": (profile.train_rows, profile.train_positive_rows),
        "validation": (profile.validation_rows, profile.validation_positive_rows),
    }
    return [
        TableExpectation(
            name="test_rows",
            required=f"There must be at least {bounds.min_test_rows:,} rows to test on "
            "(validation.min_test_rows)",
            received=f"test_rows={profile.test_rows:,}",
            advice="Give the night more reviews, or lower validation.min_test_rows.",
            value=profile.test_rows,
            at_least=bounds.min_test_rows,
        ),
        TableExpectation(
            name="test_class_rows",
            required=f"The rarer class must have at least {bounds.min_test_class_rows:,} rows to "
            "test on (validation.min_test_class_rows)",
            received=f"test_positive_rows={profile.test_positive_rows:,}, "
            f"test_negative_rows={test_negative_rows:,}",
            advice="Give the night more reviews of the rarer class, or lower "
            "validation.min_test_class_rows.",
            value=min(profile.test_positive_rows, test_negative_rows),
            at_least=bounds.min_test_class_rows,
        ),
        *(
            TableExpectation(
                name=f"{side}_class_rows",
                required=f"The rarer class must have at least 1 row in {side}",
                received=f"{side}_positive_rows={positive:,}, "
                f"{side}_negative_rows={rows - positive:,}",
                advice="Give the night more reviews of both classes.",
                value=min(positive, rows - positive),
                at_least=1,
            )
            for side, (rows, positive) in sides.items()
        ),
    ]


def _expect_of_change(
    profile: Profile, previous: PreviousSnapshot | None, settings: Settings
) -> list[TableExpectation]:
    bounds = settings.validation
    ratio = shift = None
    rows_received = share_received = ""
    if previous is not None:
        ratio = profile.rows / previous.rows if previous.rows else None
        rows_received = f"rows={profile.rows:,}, previous_rows={previous.rows:,}"
        share_received = (
            f"positive_share={_write(profile.positive_share)}, "
            f"previous_positive_share={_write(previous.positive_share)}"
        )
        if profile.positive_share is not None:
            # 0.4 - 0.3 is 0.10000000000000003, which is not more than 0.1 to anyone.
            shift = round(abs(profile.positive_share - previous.positive_share), 12)
    no_previous = _NO_PREVIOUS if previous is None else None
    return [
        TableExpectation(
            name="volume_low",
            required=f"There must be at least {bounds.min_volume_ratio:g} times as many rows as "
            "in the previous accepted snapshot (validation.min_volume_ratio)",
            received=rows_received,
            advice="Look for files that are missing, or lower that setting if the loss is meant.",
            value=ratio,
            at_least=bounds.min_volume_ratio,
            unless=no_previous,
        ),
        TableExpectation(
            name="volume_high",
            required=f"There should be at most {bounds.max_volume_ratio:g} times as many rows as "
            "in the previous accepted snapshot (validation.max_volume_ratio)",
            received=rows_received,
            advice="Look for files that are there twice, or raise that setting.",
            value=ratio,
            at_most=bounds.max_volume_ratio,
            critical=False,
            unless=no_previous,
        ),
        TableExpectation(
            name="balance_shift",
            required=f"The share of positive rows may differ by at most "
            f"{bounds.max_balance_shift:g} from the previous accepted snapshot's "
            "(validation.max_balance_shift)",
            received=share_received,
            advice="Look at the column of stars or labels, or raise that setting if the change "
            "is real.",
            value=shift,
            at_most=bounds.max_balance_shift,
            unless=no_previous,
        ),
    ]


def list_rule_expectations(profile: Profile, data: DataSettings) -> tuple[TableExpectation, ...]:
    """Return an expectation per rule, of which the share of quarantined rows is made up.

    They add no verdict, since no rule can exceed what all of them together may not; they
    show in the Data Docs how many rows each rule cost.
    """
    reasons = {expected.name: expected.reason for expected in list_row_expectations(data)}
    counts = {**dict.fromkeys(reasons, 0), **profile.rejected_by_rule}
    return tuple(
        TableExpectation(
            name=f"rejected:{rule}",
            required=f"{rule} may reject at most {data.max_rejected_share:g} of the rows read"
            + (f". {reasons[rule]}" if rule in reasons else ""),
            received=f"rows={count:,}",
            advice="Look at the quarantine file.",
            value=count,
            # 0.29 * 100 is 28.999999999999996, which 29 rows do not exceed to anyone.
            at_most=round(data.max_rejected_share * profile.rows_read, 6),
        )
        for rule, count in counts.items()
    )


_RULES_OF_DIALECT: Final = ("not_csv", "wrong_field_count")


def _advise_on_rejections(profile: Profile, data: DataSettings) -> str:
    """Say which rule rejected most, and name the encoding where it is a likely cause."""
    advice = "Look at the quarantine file."
    if profile.rejected_by_rule:
        # Of two rules with as many rows the first by name, so that a rerun says the same.
        rule = min(
            profile.rejected_by_rule, key=lambda name: (-profile.rejected_by_rule[name], name)
        )
        advice = f"Most by {rule} ({profile.rejected_by_rule[rule]:,} rows). {advice}"
        if rule.endswith(":label"):
            advice += _advise_on_labels(profile, data)
        elif rule.endswith("between:stars"):
            advice += " If the scale is another, name it: --set data.stars_scale=0-4, 1-10 or so."
        elif rule.endswith("null:stars"):
            advice += (
                " Stars are numbers, 4/5, 4 out of 5 stars or ★★★★☆: look at data.columns.stars."
            )
        elif rule in _RULES_OF_DIALECT:
            advice += (
                " Where the CSV is written in another way than it looks, name that: "
                "data.delimiter, data.quote, data.escape."
            )
    if profile.undecodable and profile.undecodable >= _MANY_UNDECODABLE * profile.quarantined:
        advice += (
            f" {profile.undecodable:,} rows could not be decoded as {data.encoding}: "
            "set data.encoding to the encoding of the files."
        )
    return advice


def _advise_on_labels(profile: Profile, data: DataSettings) -> str:
    """Return what to set so that the labels are understood, as far as their words tell."""
    if not profile.unknown_labels:
        return " They have no label: look at data.columns.label."
    seen = set(profile.unknown_labels)
    if data.labels == USUAL_LABELS:
        # Those that were understood are there too.
        seen |= {"0"} if profile.rows > profile.positive_rows else set()
        seen |= {"1"} if profile.positive_rows else set()
    fitting = suggest_labels(seen)
    return (
        f" Their labels fit {fitting}."
        if fitting
        else " Name the labels with data.labels = {positive = […], negative = […], neutral = […]}."
    )


def _write(value: float | None) -> str:
    """Return the number with at most six significant digits."""
    return "None" if value is None else f"{value:.6g}"
