"""Times of a file: dates in ISO 8601, typed times, or numbers since 1970 whose unit is told or plain from their size.

Texts in another format and times of another zone than UTC are read where the file's layout says so (`FileLayout`).

A number says nothing of its unit. From 1980 to 2100 seconds, milliseconds, microseconds and nanoseconds since 1970 have
no number in common, so one that lies there in a unit has that unit, and one that lies there in none is refused. So is a
typed time outside of these years: most often somebody read seconds as milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.files.spec import TimeLayout
from headrace.errors import ConfigurationError
from headrace.operations.tables.cells import CellPlace, each, first_true, plain, present, words

kernels: Any = pc  # its stubs know too few of the overloads
arrays: Any = pa

MICROS = {"seconds": 1_000_000.0, "millis": 1_000.0, "micros": 1.0, "nanos": 0.001}
"""Microseconds in each unit that a number may have."""
NAMES = {"seconds": "seconds", "millis": "milliseconds", "micros": "microseconds", "nanos": "nanoseconds"}


def _micros(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


PLAUSIBLE = (_micros(1980), _micros(2100))
POSSIBLE = (_micros(2), _micros(4199))
"""Microseconds since 1970: from the first, up to and not with the second."""
_NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?$"
_ZONED = r"[T ][0-9:.]+(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_UTC = pa.timestamp("us", tz="UTC")
ISO = "write it in ISO 8601, as 2024-05-31T12:30:00Z"


@dataclass(frozen=True, slots=True)
class Reading:
    """How times are read.

    Attributes:
        unit: of numbers, of `MICROS`; None: that of their size.
        any_time: take strange ones, too.
        format: of texts, as `strptime` has it; None: ISO 8601.
        zone: of times that name none; None: UTC.
        ambiguous: which is meant of the hour that comes twice where clocks were set back, `earliest` or `latest`.
    """

    unit: str | None = None
    any_time: bool = False
    format: str | None = None
    zone: str | None = None
    ambiguous: str | None = None

    def of(self, layout: TimeLayout | None) -> Reading:
        """The same for a column whose layout is told; what is asked for here goes before."""
        if layout is None or self.unit is not None:
            return self
        return replace(self, unit=layout.unit, format=layout.format, zone=layout.zone, ambiguous=layout.ambiguous)


def reading_of(unit: str | None, any_time: bool) -> Reading:
    """How times of the file are read; ConfigurationError for an unknown unit."""
    if unit is not None and unit not in MICROS:
        raise ConfigurationError(f"--time-unit cannot be {unit}: {closest(unit, MICROS)}")
    return Reading(unit, any_time)


class Moments:
    """Reads a column of times, batch by batch.

    Args:
        place: the column; its field is a timestamp of milli- or microseconds.
        reading: how.
    """

    def __init__(self, place: CellPlace, reading: Reading) -> None:
        self.place = place
        self.reading = reading
        self.unit = reading.unit
        self._cut = 0
        self._local = 0
        self._numbers = 0

    @property
    def notes(self) -> list[str]:
        """What was made of times that the file does not say in so many words."""
        found = []
        if self._numbers and self.unit is not None and self.reading.unit is None:
            found.append(f"{self.place.what}: numbers are read as {NAMES[self.unit]} since 1970")
        if self._local:
            found.append(f"{self.place.what}: times without a zone are read as UTC: {self._local:,}")
        if self._cut:
            found.append(f"{self.place.what}: times finer than the topic's are cut: {self._cut:,}")
        return found

    def read(self, values: pa.Array, first: int) -> pa.Array:
        """The times of the file's rows from `first` on, in the type of the field.

        Raises:
            ConfigurationError: one is no time, missing, or lies where no unit makes sense of it.
        """
        values = plain(values, self.place, first)
        kind = values.type
        if self.reading.format is not None and (pa.types.is_string(kind) or pa.types.is_integer(kind)):
            said = words(values.cast(pa.string()))
            found = self._in_zone(self._formatted(said, values, first), values, first)
            self._check(found, values, first)
        elif pa.types.is_string(kind):
            said = words(values)
            number = kernels.fill_null(kernels.match_substring_regex(said, _NUMBER), False)
            found = self._iso(kernels.if_else(number, None, said), values, first)
            if kernels.any(number).as_py():
                numbers = self._number(kernels.if_else(number, said, None), values, first)
                found = kernels.coalesce(found, numbers)
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found = self._number(values, values, first)
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            found = self._typed(values, first)
        elif pa.types.is_null(kind):
            found = pa.nulls(len(values), _UTC)
        else:
            raise self.place.refusal_type(values, "and no times", "write timestamps")
        return self._cut_to_field(present(found, self.place, first))

    def _iso(self, said: pa.StringArray, values: pa.Array, first: int) -> pa.Array:
        text = kernels.replace_substring_regex(said, r" ?(Z|z|UTC|GMT)$", "Z")
        text = kernels.replace_substring_regex(text, r" ([+-][0-9]{2}(:?[0-9]{2})?)$", r"\1")
        zoned = kernels.fill_null(kernels.match_substring_regex(text, _ZONED), False)
        text = kernels.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1")

        def parsed(part: pa.Array, kind: pa.DataType) -> pa.Array:
            return each(part, lambda some: some.cast(kind), self.place, first, "is no time", ISO, shown=values)

        local = parsed(kernels.if_else(zoned, None, text), pa.timestamp("us"))
        found = kernels.coalesce(parsed(kernels.if_else(zoned, text, None), _UTC), self._in_zone(local, values, first))
        self._check(found, values, first)
        return found

    def _typed(self, values: pa.Array, first: int) -> pa.Array:
        if values.type != _UTC:
            whose = f"cannot be a time of the years {_year(POSSIBLE[0])} to {_year(POSSIBLE[1])}"
            wide = each(values, lambda part: _in_micros(part), self.place, first, whose, ISO)
            values, shown = self._in_zone(wide, values, first) if wide.type.tz is None else wide, values
        else:
            shown = values
        self._check(values, shown, first)
        return values

    def _in_zone(self, local: pa.Array, values: pa.Array, first: int) -> pa.Array:
        """Times that name no zone, in the one that is told, else in UTC, which is said."""
        if local.type.tz is not None:
            return local
        zone, ambiguous = self.reading.zone, self.reading.ambiguous
        if zone is None:
            self._local += len(local) - local.null_count
            return local.cast(_UTC)
        why = f"is no time in {zone}, or stands for two: clocks were changed then"
        remedy = "write it with its offset, as 2024-10-27T02:30:00+02:00"
        if ambiguous is None:
            layout = f"{{times: {{{self.place.field.name}: {{ambiguous: earliest}}}}}}"
            remedy += f"; of an hour that comes twice, files: {layout}"

        def there(part: pa.Array) -> pa.Array:
            return kernels.assume_timezone(part, zone, ambiguous=ambiguous or "raise", nonexistent="raise").cast(_UTC)

        return each(local, there, self.place, first, why, remedy, shown=values)

    def _formatted(self, said: pa.StringArray, values: pa.Array, first: int) -> pa.Array:
        """Texts in the told format: as times of no zone, or in UTC where they have an offset.

        Arrow's reader takes a 31st of February; what does not come back from it as it was is read by Python's own.
        """
        told = self.reading.format
        assert told is not None, "only a told format is read"
        zoned = "%z" in told
        if zoned or "%f" in told or "%p" in told:
            return self._strictly(said, told, values, first)
        fast = kernels.strptime(said, format=told, unit="us", error_is_null=True)
        back = kernels.strftime(fast, format=told)
        good = kernels.fill_null(kernels.equal(_unpadded(back), _unpadded(said)), False)
        rest = kernels.if_else(good, None, said)
        if rest.null_count == len(rest):
            return fast
        return kernels.coalesce(self._strictly(rest, told, values, first), kernels.if_else(good, fast, None))

    def _strictly(self, said: pa.StringArray, told: str, values: pa.Array, first: int) -> pa.Array:
        """Texts by Python's `strptime`, each different one once."""
        coded = said.dictionary_encode()
        kind = _UTC if "%z" in told else pa.timestamp("us")
        found: list[datetime | None] = []
        for text in coded.dictionary.to_pylist():
            try:
                found.append(datetime.strptime(text, told))  # its zone is told beside
            except (ValueError, OverflowError):
                row = first_true(kernels.equal(said, text))
                raise self.place.refusal(
                    row, values, first, f"is no time in the format {told}", "mend it, or the section files"
                ) from None
        return arrays.array(found, kind).take(coded.indices)

    def _check(self, found: pa.Array, values: pa.Array, first: int) -> None:
        """Refuse times outside of the plausible years, saying what they were in another unit."""
        low, high = POSSIBLE if self.reading.any_time else PLAUSIBLE
        micros = found.cast(pa.int64())
        row = first_true(kernels.or_(kernels.less(micros, low), kernels.greater_equal(micros, high)))
        if row < 0:
            return
        why = f"is {_moment(micros[row].as_py())}, outside of {_year(low)} to {_year(high)}"
        for factor in (1_000, 1_000_000, 1_000_000_000):
            other = micros[row].as_py() * factor
            if PLAUSIBLE[0] <= other < PLAUSIBLE[1]:
                why += f"; if its unit is {factor:,} times as long, {_moment(other)}"
        raise self.place.refusal(row, values, first, why, f"mend it{'' if self.reading.any_time else ANY_TIME}")

    def _number(self, numbers: pa.Array, values: pa.Array, first: int) -> pa.Array:
        """Numbers since 1970 as times, in the unit that is told or that the first of them is plain in."""
        if not pa.types.is_integer(numbers.type):
            whole = pa.types.is_string(numbers.type) and bool(
                kernels.all(kernels.match_substring_regex(numbers, r"^[+-]?[0-9]{1,18}$")).as_py()
            )
            if pa.types.is_string(numbers.type):
                numbers = kernels.replace_substring_regex(numbers, r"^\+", "")
            numbers = numbers.cast(pa.int64() if whole else pa.float64())
        floats = numbers.cast(pa.float64(), safe=False)
        given = floats.is_valid().to_numpy(zero_copy_only=False)
        size = kernels.fill_null(floats, 0.0).to_numpy(zero_copy_only=False)
        if not given.any():
            return pa.nulls(len(numbers), _UTC)
        self._numbers += int(given.sum())
        if self.unit is None:
            self.unit = _unit_of(float(size[given.argmax()]))
        low, high = POSSIBLE if self.reading.any_time and self.reading.unit else PLAUSIBLE
        micros = size * MICROS[self.unit or "millis"]
        strange = given & ~((micros >= low) & (micros < high))
        if strange.any():
            raise self._strange(int(strange.argmax()), size, values, first)
        exact = numbers.fill_null(0).to_numpy(zero_copy_only=False) if pa.types.is_integer(numbers.type) else None
        if exact is None:
            found = np.rint(micros).astype(np.int64)
        elif self.unit == "nanos":
            found = exact.astype(np.int64) // 1000
        else:
            found = np.where(given, exact, 0).astype(np.int64) * int(MICROS[self.unit or "millis"])
        return arrays.array(found, mask=~given).cast(_UTC)

    def _strange(self, row: int, size: npt.NDArray[np.float64], values: pa.Array, first: int) -> ConfigurationError:
        other, asked = _unit_of(float(size[row])), self.reading.unit
        if self.unit is not None and other is not None and self.reading.unit is None:
            why = f"is a number of {NAMES[other]} since 1970, and those before it are of {NAMES[self.unit]}"
            return self.place.refusal(row, values, first, why, "write all in one unit")
        readings = " and ".join(
            f"{_moment(size[row] * MICROS[unit])} in {NAMES[unit]}"
            for unit in dict.fromkeys([asked or "millis", "millis" if asked == "seconds" else "seconds"])
        )
        low, high = PLAUSIBLE
        remedy = "say which with --time-unit" if asked is None else f"check --time-unit {asked}"
        if not (self.reading.any_time and self.reading.unit):
            remedy += ANY_TIME
        return self.place.refusal(
            row, values, first, f"is {readings} since 1970, outside of {_year(low)} to {_year(high)}", remedy
        )

    def _cut_to_field(self, found: pa.Array) -> pa.Array:
        kind = self.place.field.type
        if kind.unit == "ms":
            micros = found.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            self._cut += int(np.sum(micros % 1000 != 0))
            found = kernels.floor_temporal(found, unit="millisecond")
        return found.cast(kind)


ANY_TIME = "; --any-time takes other years too"


def _unpadded(text: Any) -> Any:
    """Texts without zeros before digits: `01.02.2024` as `1.2.2024`."""
    return kernels.replace_substring_regex(text, r"(^|[^0-9])0+([0-9])", r"\1\2")


def _in_micros(values: pa.Array) -> pa.Array:
    if pa.types.is_date(values.type):
        return values.cast(pa.timestamp("us"))
    if values.type.unit == "ns":
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
    return values.cast(pa.timestamp("us") if values.type.tz is None else _UTC)


def _unit_of(number: float) -> str | None:
    """The unit in which a number since 1970 is a plausible time; None if there is none.

    >>> _unit_of(1_714_521_600), _unit_of(1_714_521_600_000), _unit_of(86_400_000)
    ('seconds', 'millis', None)
    """
    low, high = PLAUSIBLE
    return next((unit for unit, factor in MICROS.items() if low <= number * factor < high), None)


def _moment(micros: float) -> str:
    """A time for a message; numbers of microseconds that no calendar has are told as such."""
    if not POSSIBLE[0] <= micros < POSSIBLE[1]:
        return f"{'before' if micros < 0 else 'beyond'} the years {_year(POSSIBLE[0])} to {_year(POSSIBLE[1])}"
    return f"{np.datetime64(int(micros), 'us').astype('datetime64[s]')}Z"


def _year(micros: int) -> int:
    return int(np.datetime64(micros, "us").astype("datetime64[Y]").astype(int)) + 1970
