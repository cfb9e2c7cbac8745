"""What is expected of a night's values: that they can be read, and that an id names one review."""

from __future__ import annotations

from typing import Final

from sentiflow.data.checks.expectation import TableExpectation
from sentiflow.data.profile import Profile
from sentiflow.settings import DataSettings

# Reviews are edited now and then, and somebody's account is renamed; more than these shares of
# the rows read are no edits.
MAX_EDITED_SHARE: Final = 0.02
MAX_STRANGERS_SHARE: Final = 0.01
MAX_MISSING_IDS_SHARE: Final = 0.01


def expect_readable_values(
    profile: Profile, data: DataSettings, no_input: str | None
) -> list[TableExpectation]:
    """Expect that optional values can be read; such a row is used without the value."""
    # Of two columns with as many, the first by name.
    worst = min(profile.unreadable, key=lambda name: (-profile.unreadable[name], name), default="")
    count = profile.unreadable.get(worst, 0)
    share = count / profile.rows_read if profile.rows_read else 0.0
    is_too_much = share > data.max_unreadable_share
    received = f"unreadable {worst} values={count:,} of {profile.rows_read:,} rows"
    others = [f"{name} {profile.unreadable[name]:,}" for name in sorted(profile.unreadable)]
    neutral = "positive" if data.positive_above < 3 else "negative"
    return [
        TableExpectation(
            name="unreadable_share",
            required=f"At most {data.max_unreadable_share:g} of the values of an optional column "
            "may be unreadable (data.max_unreadable_share)",
            received=received if worst else "unreadable values=0",
            advice=_advise_on_values(profile, worst),
            value=share,
            at_most=data.max_unreadable_share,
            unless=no_input,
        ),
        TableExpectation(
            name="unreadable_values",
            required="Every value of an optional column should be readable",
            received=f"unreadable values: {', '.join(others) or 0}",
            advice=f"These rows are used without it. {_advise_on_values(profile, worst)}",
            value=count,
            at_most=0,
            critical=False,
            unless=no_input or ("unreadable_share says it" if is_too_much else None),
        ),
        TableExpectation(
            name="neutral_labels",
            required=f"Neutral labels should count as {neutral} only where that is meant "
            "(data.neutral)",
            received=f"neutral labels kept as {neutral}={profile.neutral_labels:,} rows",
            advice="Set data.neutral=leave_out to train without them, or data.labels to what "
            "they mean.",
            value=profile.neutral_labels,
            at_most=0,
            critical=False,
            unless=no_input,
        ),
    ]


def expect_own_ids(
    profile: Profile, data: DataSettings, no_input: str | None
) -> list[TableExpectation]:
    """Expect that an id names one review; edits of one, and copies, have its id by right."""
    derived = profile.derived_ids
    replaced = (
        f"{profile.superseded_by_others:,} of {profile.rows_read:,} rows, "
        f"{profile.superseded_by_strangers:,} of another user or business"
    )
    advice = (
        "Every review must have an id of its own: name its column with "
        "--set data.columns.review_id=COLUMN, or leave the column out with "
        "--set data.columns.review_id=none."
    )
    is_too_much = profile.superseded_share > data.max_superseded_share
    return [
        TableExpectation(
            name="superseded_share",
            required=f"At most {data.max_superseded_share:g} of the rows read may be superseded "
            "by a row with the same review id and another text, user or business "
            "(data.max_superseded_share)",
            received=replaced,
            advice=advice,
            value=profile.superseded_share,
            at_most=data.max_superseded_share,
            unless=no_input,
        ),
        TableExpectation(
            name="superseded_rows",
            required="A review id should be that of one review (data.columns.review_id)",
            received=f"superseded by another text, user or business: {replaced}",
            advice=f"The older rows are not used. {advice}",
            value=max(
                profile.superseded_share / MAX_EDITED_SHARE,
                _divide(profile.superseded_by_strangers, profile.rows_read) / MAX_STRANGERS_SHARE,
            ),
            at_most=1,
            critical=False,
            unless=no_input or ("superseded_share says it" if is_too_much else None),
        ),
        TableExpectation(
            name="missing_ids",
            required="Either all rows should have a review id or none (data.columns.review_id)",
            received=f"rows without an id (empty, NULL, nan)={derived:,} of {profile.passed:,}",
            advice="Theirs are derived from their content: a row that is edited counts as "
            "another review.",
            # Where no row has one, there is no such column, and nothing to tell.
            value=_divide(derived, profile.passed) if derived < profile.passed else 0.0,
            at_most=MAX_MISSING_IDS_SHARE,
            critical=False,
            unless=no_input,
        ),
    ]


def _advise_on_values(profile: Profile, worst: str) -> str:
    """Return what to set so that the values of a column can be read."""
    if worst != "date":
        return (
            f"Look at that column, or leave it out with --set data.columns.{worst}=none."
            if worst
            else ""
        )
    leave_out = "leave the column out with --set data.columns.date=none"
    days, months = profile.date_orders["day_first"], profile.date_orders["month_first"]
    if days and not months:
        return f"{days:,} dates fit DD/MM only: --set data.date_format=DD/MM, or {leave_out}."
    if months and not days:
        return f"{months:,} dates fit MM/DD only: --set data.date_format=MM/DD, or {leave_out}."
    if days or profile.date_orders["either"]:
        return (
            "Only you can know whether the day or the month comes first: --set "
            f"data.date_format=DD/MM or --set data.date_format=MM/DD, or {leave_out}."
        )
    return f"Say how dates are written with --set data.date_format=…, or {leave_out}."


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
