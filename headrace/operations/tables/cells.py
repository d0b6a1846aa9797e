"""Values of a file in the types of a topic: exactly what was written, or refused with row, column and remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import ConfigurationError

kernels: Any = pc  # its stubs know too few of the overloads

NONE = ("", "na", "n/a", "nan", "null", "none", "\\n")
"""Words for a missing number, time or flag in a CSV, in lower case; in a text they are text."""
LONGEST = 40
"""Characters of a value that a message shows."""
EXACT = 2**53
"""Whole numbers from here on are no longer told apart as floating-point numbers."""
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"
_FLAGS = {"true": 1, "false": 0}

Convert = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True, slots=True)
class CellPlace:
    """A column of a file and what it is read as.

    Attributes:
        column: its name in the file.
        field: the topic's field: its name, type and whether it may be null.
        text: whether the file's values are text that was never typed.
        identity: whether it names something: then an empty text is none, and blanks at its ends are a mistake.
        flags: whether a number may be written as true or false.
        decimal, thousands: how numbers in text are written, see `FileLayout`.
    """

    column: str
    field: pa.Field
    text: bool = False
    identity: bool = False
    flags: bool = False
    decimal: str = "."
    thousands: str = ""

    @property
    def what(self) -> str:
        """The column, and the field where that is called otherwise."""
        name = self.field.name
        return f"column {self.column}" if name == self.column else f"column {self.column} (for {name})"

    def refusal(self, row: int, values: pa.Array, first: int, why: str, remedy: str) -> ConfigurationError:
        """What is wrong with the value at index `row` of values that begin at the file's row `first`."""
        try:
            value = str(values[row].as_py())
        except (ValueError, OverflowError):  # Arrow's times reach further than Python's
            value = str(values.slice(row, 1).cast(pa.int64())[0])
        shown = value if len(value) <= LONGEST else value[:LONGEST] + "..."
        return ConfigurationError(f"row {first + row:,}, {self.what}: {shown!r} {why}; {remedy}")

    def empty(self, row: int) -> ConfigurationError:
        """A value is missing in the file's row that must be there."""
        name = self.field.name
        return ConfigurationError(
            f"row {row:,}, {self.what}: is empty, and {name} is needed; fill it, or take the row out"
        )

    def refusal_type(self, values: pa.Array, why: str, remedy: str) -> ConfigurationError:
        """A column as a whole cannot be what it should be."""
        return ConfigurationError(f"{self.what} holds {values.type}, {why}; {remedy}")


def typed(values: pa.Array, place: CellPlace, first: int) -> pa.Array:
    """A column's values, from the file's row `first` on (counted from 1), in the type of the field.

    Raises:
        ConfigurationError: one of them is none of that type, or missing where it must not be.
    """
    values = plain(values, place, first)
    if pa.types.is_null(values.type):
        found = pa.nulls(len(values), place.field.type)
    elif place.text:
        found = _read(values, place, first)
    else:
        found = _cast(values, place, first)
    return present(found, place, first)


def plain(values: pa.Array, place: CellPlace, first: int) -> pa.Array:
    """Without dictionaries and views; a CSV's bytes as text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string_view(values.type) or pa.types.is_large_string(values.type) or place.text:
        return each(values, lambda part: part.cast(pa.string()), place, first, "is not UTF-8", "save the file as UTF-8")
    return values


def present(found: pa.Array, place: CellPlace, first: int) -> pa.Array:
    """The same, where nothing is missing that must not be."""
    if found.null_count and (place.identity or not place.field.nullable):
        row = kernels.index(found.is_null(), True).as_py()
        raise place.empty(first + row)
    return found


def first_true(mask: Any) -> int:
    """Index of the first true; -1 without any."""
    return int(kernels.index(kernels.fill_null(mask, False), True).as_py())


def each(
    values: pa.Array,
    convert: Convert,
    place: CellPlace,
    first: int,
    why: str,
    remedy: str,
    shown: pa.Array | None = None,
) -> pa.Array:
    """What a conversion of each value by itself gives; names the first value that it fails for, as it is in `shown`."""
    try:
        return convert(values)
    except pa.ArrowException:
        raise place.refusal(_misfit(values, convert), values if shown is None else shown, first, why, remedy) from None


def _misfit(values: pa.Array, convert: Convert) -> int:
    """Index of the first value that a conversion fails for, of values that it fails for."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(values.slice(low, middle - low))
            low = middle
        except pa.ArrowException:
            high = middle
    return low


# ---- text -----------------------------------------------------------------------------------------------------------


def words(values: pa.StringArray) -> pa.StringArray:
    """Text without blanks at its ends; null where it says that there is no value."""
    trimmed = kernels.utf8_trim_whitespace(values)
    nothing = kernels.is_in(kernels.utf8_lower(trimmed), value_set=pa.array(NONE))
    return kernels.if_else(nothing, pa.scalar(None, pa.string()), trimmed)


def _read(values: pa.StringArray, place: CellPlace, first: int) -> pa.Array:
    """Text of a CSV in the type of the field."""
    kind = place.field.type
    if pa.types.is_string(kind):
        return named(values, place, first)
    if pa.types.is_integer(kind):
        return _integers(values, place, first)
    if pa.types.is_floating(kind):
        return _numbers(values, place, first)
    if pa.types.is_boolean(kind):
        return each(
            words(values),
            lambda part: part.cast(kind),
            place,
            first,
            "is neither true nor false",
            "write true or false",
        )
    if pa.types.is_date(kind):
        return each(words(values), lambda part: part.cast(kind), place, first, "is no date", "write it as 2024-05-31")
    if pa.types.is_binary(kind):
        return values.cast(kind)
    raise place.refusal_type(values, f"and a text cannot be {kind}", "bring Parquet, where the column has that type")


def named(values: pa.StringArray, place: CellPlace, first: int) -> pa.StringArray:
    """Text as it stands; as a name of something it must be one."""
    if not place.identity:
        return values
    if (row := first_true(kernels.equal(values, ""))) >= 0:
        raise place.empty(first + row)
    if place.text and (row := first_true(kernels.not_equal(values, kernels.utf8_trim_whitespace(values)))) >= 0:
        why = "begins or ends with a blank, and would be another than the same without"
        raise place.refusal(row, values, first, why, "take the blank away, or bring Parquet where it is meant")
    return values


def _integers(values: pa.StringArray, place: CellPlace, first: int) -> pa.Array:
    said = _pointed(words(values), values, place, first)
    if (row := first_true(kernels.invert(kernels.match_substring_regex(said, _WHOLE)))) >= 0:
        raise place.refusal(row, values, first, "is no whole number", _number_remedy(values[row].as_py(), "42"))
    digits = kernels.replace_substring_regex(said, r"^\+|\.0*$", "")
    kind = place.field.type
    return each(digits, lambda part: part.cast(kind), place, first, f"is too large for {kind}", "check the value")


def _pointed(said: pa.StringArray, values: pa.Array, place: CellPlace, first: int) -> pa.StringArray:
    """Numbers as the file says that it writes them, with a point before the fraction and nothing between thousands.

    Only a file that says so is read so. A number with the other sign in it is refused; none is taken for another.
    """
    if place.decimal == "." and not place.thousands:
        return said
    pattern = number_pattern(place.decimal, place.thousands)
    strange = kernels.invert(kernels.match_substring_regex(said, pattern))
    if place.flags:
        strange = kernels.and_(
            strange, kernels.invert(kernels.is_in(kernels.utf8_lower(said), value_set=pa.array(list(_FLAGS))))
        )
    if (row := first_true(strange)) >= 0:
        between = f" and thousands: {place.thousands!r}" if place.thousands else ""
        why = f"is no number where files say decimal: {place.decimal!r}{between}"
        raise place.refusal(row, values, first, why, f"write it as 12{place.decimal}50, or mend the section files")
    if place.thousands:
        said = kernels.replace_substring_regex(said, _between(place.thousands), "")
    return kernels.replace_substring(said, place.decimal, ".") if place.decimal != "." else said


def number_pattern(decimal: str, thousands: str = "") -> str:
    """A regular expression of numbers that are written with these signs; thousands may also stand without.

    >>> import re
    >>> [bool(re.fullmatch(number_pattern(",", "."), text)) for text in ("1.234,50", "1234,5", "1.5", "1,234.5", "7")]
    [True, True, False, False, True]
    """
    before = f"[{decimal}]"
    groups = f"|[0-9]{{1,3}}(?:{_between(thousands)}[0-9]{{3}})+" if thousands else ""
    return rf"^[+-]?(?:(?:[0-9]+{groups})(?:{before}[0-9]*)?|{before}[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def _between(thousands: str) -> str:
    """A class of characters that may stand between thousands."""
    return "[ \u00a0\u202f\u2009]" if thousands == " " else f"[{thousands}]"


def _numbers(values: pa.StringArray, place: CellPlace, first: int) -> pa.Array:
    said = _pointed(words(values), values, place, first)
    if place.flags:
        lower = kernels.utf8_lower(said)
        for word, number in _FLAGS.items():
            said = kernels.if_else(kernels.equal(lower, word), str(number), said)
    try:
        found = said.cast(pa.float64())
    except pa.ArrowException:
        row = _misfit(said, lambda part: part.cast(pa.float64()))
        raise place.refusal(row, values, first, "is no number", _number_remedy(values[row].as_py(), "12.50")) from None
    infinite = kernels.match_substring(kernels.utf8_lower(said), "inf")
    return _narrowed(found, place, values, first, infinite)


def _number_remedy(text: str, example: str) -> str:
    if "," in text:
        return (
            "write a point for the decimal comma, and nothing between thousands, or say how the file writes numbers in "
            "the pipeline file: files: {decimal: ','}"
        )
    return f"write it as {example}, or leave it empty"


def _narrowed(found: pa.Array, place: CellPlace, values: pa.Array, first: int, infinite: Any) -> pa.Array:
    """Numbers in the width of the field; none may become infinite that was not."""
    narrow = found.cast(place.field.type)
    if (row := first_true(kernels.and_(kernels.is_inf(narrow), kernels.invert(infinite)))) >= 0:
        raise place.refusal(row, values, first, f"is too large for {place.field.type}", "check the value")
    return narrow


# ---- typed values ---------------------------------------------------------------------------------------------------


def _cast(values: pa.Array, place: CellPlace, first: int) -> pa.Array:
    """Typed values in the type of the field, if no value changes."""
    have, want = values.type, place.field.type
    if pa.types.is_string(want):
        return named(_texts(values, place, first), place, first)
    if pa.types.is_integer(want) or pa.types.is_floating(want):
        return _figures(values, place, first)
    if pa.types.is_boolean(want) and not pa.types.is_boolean(have):
        return _flags(values, place, first)
    if pa.types.is_date(want) and not (pa.types.is_date(have) or pa.types.is_timestamp(have) or _is_text(have)):
        raise place.refusal_type(values, "and no dates", "write dates")
    return each(values, lambda part: part.cast(want), place, first, f"cannot be {want}", f"write it as {want}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(values: pa.Array, place: CellPlace, first: int) -> pa.StringArray:
    have = values.type
    if pa.types.is_integer(have) or pa.types.is_decimal(have) or _is_text(have):
        return each(values, lambda part: part.cast(pa.string()), place, first, "is not UTF-8", "write it as text")
    why = f"and {place.field.name} is text: how it would be written is not known"
    raise place.refusal_type(values, why, "write the column as text, or as whole numbers")


def _figures(values: pa.Array, place: CellPlace, first: int) -> pa.Array:
    have, want = values.type, place.field.type
    if _is_text(have):
        text = each(values, lambda part: part.cast(pa.string()), place, first, "is not UTF-8", "write numbers")
        return (_integers if pa.types.is_integer(want) else _numbers)(text, place, first)
    if pa.types.is_boolean(have) and place.flags:
        return values.cast(pa.int8()).cast(want)
    if not (pa.types.is_integer(have) or pa.types.is_floating(have) or pa.types.is_decimal(have)):
        raise place.refusal_type(values, "and no numbers", "write numbers")
    if pa.types.is_floating(have) and pa.types.is_integer(want):
        inexact = kernels.greater_equal(kernels.abs(values.cast(pa.float64())), float(EXACT))
        if (row := first_true(inexact)) >= 0:
            why = "as a floating-point number has lost digits, or may have"
            raise place.refusal(row, values, first, why, "write the column as whole numbers")
    if pa.types.is_floating(have) and pa.types.is_floating(want):
        return _narrowed(values, place, values, first, kernels.is_inf(values))
    fraction = pa.types.is_integer(want) and not pa.types.is_integer(have)
    why = "is no whole number" if fraction else f"cannot be {want} and stay as it is"
    return each(values, lambda part: part.cast(want), place, first, why, f"write it as {want}")


def _flags(values: pa.Array, place: CellPlace, first: int) -> pa.Array:
    if _is_text(values.type):
        text = each(values, lambda part: part.cast(pa.string()), place, first, "is not UTF-8", "write true or false")
        return each(
            words(text),
            lambda part: part.cast(pa.bool_()),
            place,
            first,
            "is neither true nor false",
            "write true or false",
        )
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise place.refusal_type(values, "and neither true nor false", "write true or false")
    strange = kernels.invert(kernels.is_in(values, value_set=pa.array([0, 1]).cast(values.type)))
    if (row := first_true(kernels.and_(strange, values.is_valid()))) >= 0:
        raise place.refusal(row, values, first, "is neither true nor false", "write true or false")
    return values.cast(pa.bool_())
