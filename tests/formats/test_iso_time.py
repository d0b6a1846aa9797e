"""Times of ISO 8601 as Python reads them, each text judged alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import given, settings

from headrace.columnar.iso_time import LOCAL, NO_TIME, ZONED, milliseconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.none() | st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=200)
@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
    ZONES,
    st.sampled_from("T t"),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
)
def test_every_time_is_read_as_python_reads_it(
    moment: datetime, zone: timezone | None, between: str, spec: str
) -> None:
    """In all years, with and without zones, to the millisecond: what is below it is cut off."""
    text = moment.replace(tzinfo=zone).isoformat(between, spec)
    wanted = datetime.fromisoformat(text.replace(between, "T", 1))
    times, kinds = milliseconds(pa.array(["no", text, text[:-1] + "x"]))
    assert kinds.tolist() == [NO_TIME, LOCAL if zone is None else ZONED, NO_TIME]
    there = wanted.replace(tzinfo=UTC) if zone is None else wanted
    assert times[1] == (there - EPOCH) // timedelta(milliseconds=1)


@settings(max_examples=200)
@given(st.text(alphabet="0123456789-:T+Z. ", max_size=30))
def test_what_python_does_not_know_is_none(text: str) -> None:
    """Whatever is read as a time is one."""
    (kind,) = milliseconds(pa.array([text]))[1].tolist()
    if kind != NO_TIME:
        assert datetime.fromisoformat(text.upper().replace(" ", "T", 1))
