"""Expressions: what they compute, what they refuse, and that they cannot do anything else."""

from __future__ import annotations

import contextlib
import pickle
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.pipeline.language.expressions import CALENDAR, ExpressionError, compile
from headrace.domain.pipeline.spec import Field

FIELDS = {
    "amount": Field("amount", "number", False, "double"),
    "tip": Field("tip", "number", True, "double"),
    "pieces": Field("pieces", "integer", False, "int"),
    "channel": Field("channel", "string", True, "string"),
    "online": Field("online", "boolean", True, "boolean"),
    "moment": Field("moment", "time", False, "long"),
    "hour": Field("hour", "integer", False, "int"),
}
COLUMNS = pa.record_batch(
    {
        "amount": pa.array([1.0, 20.0, 300.0]),
        "tip": pa.array([0.5, None, 0.0]),
        "pieces": pa.array([3, 0, -7], pa.int32()),
        "channel": pa.array(["web", None, "shop"]),
        "online": pa.array([True, None, False]),
    }
)
NOON = np.array([datetime(2018, 4, day, 12, 30, tzinfo=UTC).timestamp() * 1000 for day in (1, 2, 3)], np.int64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weekday >= 5", [True, False, False]),
        ("hour <= 6 or minute == 30", None),
        ("amount > 10 and amount < 100", [False, True, False]),
        ("10 < amount <= 300", [False, True, True]),
        ("not amount > 10", [True, False, False]),
        ("amount * 2 - 1", [1.0, 39.0, 599.0]),
        ("amount / pieces", [1 / 3, np.nan, 300 / -7]),
        ("pieces % 2", [1, 0, 1]),
        ("pieces % pieces", [0.0, np.nan, -0.0]),
        ("-pieces + 1", [-2, 1, 8]),
        ("tip + 1", [1.5, np.nan, 1.0]),
        ("tip > 0.1", [True, False, False]),
        ("tip != 0.5", [False, False, True]),
        ('channel == "web"', [True, False, False]),
        ('channel != "web"', [False, False, True]),
        ('"a" < channel and channel < "t"', [False, False, True]),
        ("online", [True, False, False]),
        ("online == True", [True, False, False]),
        ("day * 100 + month", [104, 204, 304]),
        ("7", [7, 7, 7]),
        ("1 < 2", [True, True, True]),
    ],
)
def test_an_expression_is_computed_for_every_row(text: str, expected: list[float] | None) -> None:
    """Each row has the value that the text says, nulls compare false and give NaN."""
    if expected is None:
        with pytest.raises(ExpressionError, match="both a field of the event and a calendar name"):
            compile(text, FIELDS)
        return
    found = compile(text, FIELDS).evaluate(COLUMNS, NOON)
    np.testing.assert_array_equal(found, expected)
    assert len(found) == COLUMNS.num_rows


def test_the_result_has_the_type_that_is_told() -> None:
    """Booleans are bool, whole numbers int64, the rest float64; also where the text names no column at all."""
    types = {"amount > 1": "boolean", "pieces % 2": "integer", "pieces / 2": "number", "1": "integer", "1.5": "number"}
    for text, expected in types.items():
        expression = compile(text, FIELDS)
        assert expression.type == expected
        wanted = {"boolean": np.bool_, "integer": np.int64, "number": np.float64}[expected]
        assert expression.evaluate(COLUMNS, NOON).dtype == wanted


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("", 1, "not an expression"),
        ("amount >", None, "not an expression"),
        ("x = 1", 3, "not an expression"),
        ("__import__('os')", 1, "a function call is not allowed"),
        ("amount.real", 1, "an attribute is not allowed"),
        ("amount > 1 and pieces[0] > 1", 16, "an index is not allowed"),
        ("1 if online else 2", 1, "if is not allowed"),
        ("lambda: 1", 1, "lambda is not allowed"),
        ("[1, 2]", 1, "list is not allowed"),
        ("amount ** 2", 1, "binop is not allowed"),
        ("pieces // 2", 1, "binop is not allowed"),
        ("amount is 1", 1, "is is not allowed"),
        ("channel in channel", 1, "in is not allowed"),
        ("amonut > 1", 1, "unknown name amonut"),
        ("moment > 1", 1, "moment is a time"),
        ("amount > 'a'", 10, "a number is compared with a string"),
        ("online + 1", 1, "arithmetic on a boolean"),
        ("amount and online", 1, "needs a boolean"),
        ("not amount", 5, "needs a boolean"),
        ("amount / 0", 10, "division by zero"),
        ("channel", 1, "cannot be a string"),
        ("1e999 > 1", 1, "inf is not allowed"),
        ("9999999999999999999 > 1", 1, "too large"),
        ("b'x' == b'x'", 1, "is not allowed"),
        ("None == 1", 1, "None is not allowed"),
        (r"channel == '\ud800'", 12, "is not allowed"),
        ("-" * 200 + "1", None, "nested too deeply"),
        ("1+" * 5000 + "1", 500, "longer than"),
    ],
)
def test_what_is_not_allowed_is_named_with_its_place(text: str, column: int | None, part: str) -> None:
    """A refusal says at which column, and what is allowed."""
    with pytest.raises(ExpressionError) as refusal:
        compile(text, FIELDS)
    assert part in refusal.value.message
    assert column is None or refusal.value.column == column
    assert refusal.value.remedy


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    """No text, however odd, raises anything but the refusal that the checker shows."""
    with contextlib.suppress(ExpressionError):
        compile(text, FIELDS).evaluate(COLUMNS, NOON)


@settings(max_examples=200)
@given(
    st.lists(st.integers(-(2**41), 2_145_916_800_000), min_size=1, max_size=20),
    st.sampled_from(["UTC", "Europe/Paris", "America/St_Johns", "Asia/Kolkata"]),
)
def test_the_calendar_is_pythons(times: list[int], timezone: str) -> None:
    """Weekday, hour, minute, day and month are what `datetime` says in that zone, before 1970 too (until 2037)."""
    zone = ZoneInfo(timezone)
    moments = [datetime.fromtimestamp(time // 1000, zone) for time in times]
    columns = pa.record_batch({"x": pa.nulls(len(times))})
    for name in CALENDAR:
        expected = [m.weekday() if name == "weekday" else getattr(m, name) for m in moments]
        found = compile(name, {}, timezone).evaluate(columns, np.array(times, np.int64))
        assert found.tolist() == expected


def test_an_unknown_timezone_is_refused() -> None:
    """A zone must be one that this machine knows, and cannot be a path."""
    for zone in ("Mars/Olympus", "../../etc/passwd", "", "posixrules", "localtime", "posix/Europe/Paris", "\ud800"):
        with pytest.raises(ExpressionError, match="timezone"):
            compile("weekday", {}, zone)


def test_an_expression_travels_to_another_process() -> None:
    """A pickled expression computes the same, and equals the one that it was made from."""
    expression = compile('amount > 10 and channel == "shop"', FIELDS)
    copy = pickle.loads(pickle.dumps(expression))
    assert copy == expression
    assert copy.evaluate(COLUMNS, NOON).tolist() == [False, False, True]
