import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.values.dates import DateKind, Dates, read_dates
from sentiflow.settings.notations import DateFormat, read_date_format


def read(*values: Any, written_as: str = "auto") -> Dates:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return read_dates(column, read_date_format(written_as))


def read_one(value: Any, written_as: str = "auto") -> tuple[pd.Timestamp | None, DateKind]:
    # Beside others, because a column mixes them.
    dates = read(value, "2004-10-19 20:37:56", "Jan 5, 2005", written_as=written_as)
    first = dates.dates.iloc[0]
    return None if pd.isna(first) else first, DateKind(dates.kinds[0])


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("2012-01-01", "2012-01-01"),
        ("2012-01-01 20:37:56", "2012-01-01 20:37:56"),
        (" 2012-01-01 ", "2012-01-01"),
        ("2012-01-01T20:37", "2012-01-01 20:37"),
        ("2012-01-01T20:37:56Z", "2012-01-01 20:37:56"),
        ("2012-01-01T20:37:56.25+02:00", "2012-01-01 18:37:56.25"),
        ("2012-01-01 20:37:56-0500", "2012-01-02 01:37:56"),
        ("2012-01-01 20:37:56+05", "2012-01-01 15:37:56"),
        ("2012-01-01 20:37:56 +02:00", "2012-01-01 18:37:56"),
        ("2012-01-01 20:37:56 UTC", "2012-01-01 20:37:56"),
        ("2012-01-01 20:37:56.123456 UTC", "2012-01-01 20:37:56.123456"),
        ("2012-01-01 20:37:56 +0000 UTC", "2012-01-01 20:37:56"),
        ("2012-01-01 20:37:56,123", "2012-01-01 20:37:56.123"),
        ("2012-01-01T20:37:56+01:00[Europe/Berlin]", "2012-01-01 19:37:56"),
        ("2012-1-5 9:37", "2012-01-05 09:37"),
        ("2012/01/05", "2012-01-05"),
        ("2012.01.05 20:37:56", "2012-01-05 20:37:56"),
        (dt.date(2012, 1, 1), "2012-01-01"),
        (dt.datetime(2012, 1, 1, 20, 37), "2012-01-01 20:37"),
        (pd.Timestamp("2012-01-01 01:00", tz="Europe/Berlin"), "2012-01-01"),
        ({"$date": "2012-01-01T20:37:56Z"}, "2012-01-01 20:37:56"),
    ],
)
def test_iso_dates_and_their_relatives_are_read_in_utc(written: Any, understood: str) -> None:
    assert read_one(written) == (pd.Timestamp(understood), DateKind.ISO)


@pytest.mark.parametrize(
    "written",
    [
        "Jan 5, 2020", "January 5, 2020", "Jan. 5, 2020", "jan 5 2020", "January 5th, 2020",
        "5 January 2020", "5 Jan 2020", "05-Jan-2020", "5. Jan 2020", "5th of January 2020",
        "5 JAN, 2020", "2020-Jan-05", "Sunday, January 5, 2020", "Sun, 05 Jan 2020",
        "Reviewed in the United States on January 5, 2020",
        "Reviewed in the United Kingdom on 5 January 2020", "Reviewed on Jan 5, 2020",
    ],
)  # fmt: skip
def test_a_day_with_a_months_name_is_read(written: str) -> None:
    assert read_one(written) == (pd.Timestamp("2020-01-05"), DateKind.IN_WORDS)


@pytest.mark.parametrize(
    "written",
    [
        "Sun, 05 Jan 2020 21:34:02 GMT", "Sun, 05 Jan 2020 22:34:02 +0100",
        "Sun, 5 Jan 2020 16:34:02 -0500 (EST)", "Sun Jan 05 21:34:02 +0000 2020",
        "Sun Jan  5 21:34:02 2020", "Sun Jan 05 13:34:02 PST 2020", "Jan 5, 2020 9:34:02 PM",
        "Jan 5, 2020, 9:34:02 p.m. UTC", "5 January 2020 at 21:34:02",
        "Sun Jan 05 2020 22:34:02 GMT+0100 (Central European Standard Time)",
    ],
)  # fmt: skip
def test_a_moment_with_a_months_name_is_read(written: str) -> None:
    assert read_one(written) == (pd.Timestamp("2020-01-05 21:34:02"), DateKind.IN_WORDS)


@pytest.mark.parametrize(("hour", "read_as"), [("12:05 AM", 0), ("12:05 pm", 12), ("1:05 PM", 13)])
def test_twelve_oclock_is_midnight_and_noon(hour: str, read_as: int) -> None:
    assert read_one(f"Jan 5, 2020 {hour}")[0] == pd.Timestamp(2020, 1, 5, read_as, 5)


MOMENT = 1_578_260_042  # 2020-01-05 21:34:02


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("cast", [int, str, float, np.int64, Decimal, lambda n: f"{n}.0"])
def test_numbers_since_1970_are_read_by_their_size(per_second: int, cast: Any) -> None:
    date, kind = read_one(cast(MOMENT * per_second))
    assert date == pd.Timestamp("2020-01-05 21:34:02")
    assert 10 ** (3 * (kind - DateKind.SECONDS)) == per_second


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (-157_766_400, "1965-01-01"),
        ("-157766400", "1965-01-01"),
        (-157_766_400_000, "1965-01-01"),
        (-31_536_000, "1969-01-01"),
        (-31_536_000_000, "1969-01-01"),
        (-31_536_000_000_000, "1969-01-01"),
        (1_578_260_042.25, "2020-01-05 21:34:02.250"),
        ("1.578260042E9", "2020-01-05 21:34:02"),
        ({"$date": {"$numberLong": "1578260042000"}}, "2020-01-05 21:34:02"),
    ],
)
def test_negative_and_broken_numbers_since_1970(written: Any, understood: str) -> None:
    assert read_one(written)[0] == pd.Timestamp(understood)


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("20120101", "2012-01-01"), (20120101, "2012-01-01"), (20120101.0, "2012-01-01"),
        ("20120101T203756Z", "2012-01-01 20:37:56"), ("20120101203756", "2012-01-01 20:37:56"),
    ],
)  # fmt: skip
def test_basic_iso_dates_are_read(written: Any, understood: str) -> None:
    assert read_one(written) == (pd.Timestamp(understood), DateKind.COMPACT)


@pytest.mark.parametrize(
    "written",
    [
        "yesterday", "now", "today", "2012", 2012, 201201, 40909.5, 0, -1, -99999, 1e5, 8e9, 1e300,
        float("inf"), "2012-13-01", "2012-02-30", "20121301", "2012-01-01 25:00:00",
        "2012-01-01 junk", "Jan 32, 2012", "June 31, 2012", "Jan 5, 20", "Smarch 5, 2020",
        "Jan 5, 2020 13:05 PM", "Jan 5, 2020 9:05 IST", "1/2", "31/31/2020", "0/5/2020",
        "1899-12-31", "2200-01-01", "9999-12-31", "0000-00-00", True, [], {}, {"$date": None},
        "5 Jan 2020 or so", "2 weeks ago",
    ],
)  # fmt: skip
def test_what_is_no_sane_date_is_unreadable(written: Any) -> None:
    assert read_one(written) == (None, DateKind.UNREADABLE)


def test_what_is_far_too_long_is_unreadable() -> None:
    for value in (10**5000, "x" * 5000, "1" * 5000):
        assert read_one(value) == (None, DateKind.UNREADABLE)


@pytest.mark.parametrize(
    "missing", [None, "", "  ", float("nan"), pd.NaT, pd.NA, "NULL", "NaT", "None", " nan ", "\\N"]
)
def test_a_missing_date_is_not_unreadable(missing: Any) -> None:
    assert read_one(missing) == (None, DateKind.MISSING)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("05/01/2020", DateKind.EITHER_FIRST),
        ("5.1.20 9:34 PM", DateKind.EITHER_FIRST),
        ("09 05, 2009", DateKind.EITHER_FIRST),
        ("31/12/2020", DateKind.DAY_FIRST),
        ("12-31-2020", DateKind.MONTH_FIRST),
    ],
)
def test_whether_day_or_month_comes_first_is_never_guessed(written: str, kind: DateKind) -> None:
    assert read_one(written) == (None, kind)


@pytest.mark.parametrize(
    ("written", "written_as", "understood"),
    [
        ("05/01/2020", "DD/MM", "2020-01-05"),
        ("05/01/2020", "mm/dd/yyyy", "2020-05-01"),
        ("5.1.20", "DD.MM.YY", "2020-01-05"),
        ("5-1-99 9:34 PM", "MM-DD", "1999-05-01 21:34"),
        ("09 13, 2009", "MM/DD", "2009-09-13"),
        ("31/12/2020", "MM/DD", None),
        (1_578_260_042, "s", "2020-01-05 21:34:02"),
        (86_400, "s", "1970-01-02"),
        (86_400_000, "ms", "1970-01-02"),
        (0, "us", "1970-01-01"),
        ("05.01.20", "%d.%m.%y", "2020-01-05"),
        (5012020, "%d%m%Y", "2020-01-05"),
        ("2020-05-01", "%Y-%d-%m", "2020-01-05"),
        (dt.date(2020, 1, 5), "%Y-%d-%m", "2020-01-05"),
        ("Jan 5, 2020", "%d.%m.%y", None),
    ],
)
def test_the_setting_says_what_cannot_be_seen(
    written: Any, written_as: str, understood: str | None
) -> None:
    assert read_one(written, written_as)[0] == (understood and pd.Timestamp(understood))


def test_an_order_that_does_not_fit_is_told() -> None:
    assert read_one("31/12/2020", "MM/DD") == (None, DateKind.DAY_FIRST)
    assert read_one("12/31/2020", "DD/MM") == (None, DateKind.MONTH_FIRST)


def test_kinds_are_counted_the_most_frequent_first() -> None:
    dates = read("2020-01-05", MOMENT, "2020-01-06", None, "soon", "2020-01-05")
    assert dates.count_kinds() == {
        DateKind.ISO: 3,
        DateKind.SECONDS: 1,
        DateKind.MISSING: 1,
        DateKind.UNREADABLE: 1,
    }


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_parquet_are_read_in_every_unit(unit: str, zone: str | None) -> None:
    import pyarrow as pa

    moment = dt.datetime(2020, 1, 5, 21, 34, 2)
    array = pa.array([moment], type=pa.timestamp(unit, tz=zone))
    assert read(*array.to_pylist()).dates.iloc[0] == pd.Timestamp(moment)


MOMENTS = st.datetimes(dt.datetime(1973, 4, 1), dt.datetime(2199, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)
SPELLINGS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p", "%d %B %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S +0000",
    "%a %b %d %H:%M:%S +0000 %Y", "%Y%m%dT%H%M%S",
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(MOMENTS, st.integers(0, len(SPELLINGS) + 3)), min_size=1, max_size=20))
def test_every_spelling_of_a_moment_is_that_moment(
    drawn: list[tuple[dt.datetime, int]],
) -> None:
    written = []
    for moment, choice in drawn:
        if choice < len(SPELLINGS):
            written.append(moment.strftime(SPELLINGS[choice]))
        else:
            since = int(moment.replace(tzinfo=dt.UTC).timestamp())
            written.append(str(since * 1000 ** (choice - len(SPELLINGS))))
    assert read(*written).dates.tolist() == [pd.Timestamp(moment) for moment, _ in drawn]


VALUES = st.none() | st.text() | st.integers() | st.floats() | st.dates().map(str) | st.booleans()


@settings(deadline=None)
@given(st.lists(VALUES, max_size=8), st.sampled_from(["auto", "DD/MM", "s", "%d.%m.%Y"]))
def test_a_value_is_read_alike_whatever_stands_beside_it(values: list[Any], written: str) -> None:
    together = read(*values, written_as=written)
    alone = [read(value, written_as=written) for value in values]
    assert together.kinds.tolist() == [one.kinds[0] for one in alone]
    for date, one in zip(together.dates, alone, strict=True):
        assert (pd.isna(date) and pd.isna(one.dates[0])) or date == one.dates[0]
    assert ((together.kinds > 0) == together.dates.notna().to_numpy()).all()


def test_a_format_that_says_nothing_is_refused() -> None:
    assert read_date_format("dmy") == DateFormat(order="DD/MM")
    for text in ("", "DD", "YYYY-MM-DD", "%H:%M", "%d.%m", "soon", "%Q"):
        with pytest.raises(ValueError, match="MM/DD"):
            read_date_format(text)
