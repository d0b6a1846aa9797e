"""What a column holds, as far as its rows tell."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.language.aggregation import LABEL
from headrace.domain.pipeline.language.grammar import CALENDAR
from headrace.errors import ConfigurationError
from headrace.operations.proposal.number_form import NumberForm
from headrace.operations.proposal.sample import StreamSample
from headrace.operations.proposal.time_form import TimeForm, time_of_numbers, time_of_text, time_of_typed
from headrace.operations.tables.cells import CellPlace, number_pattern, typed, words

kernels: Any = pc  # its stubs know too few of the overloads

Kind = Literal["integer", "number", "string", "boolean", "time", "empty", "other"]
LISTED = 50
"""Different values that are counted one by one; of more only their number is told."""
RESERVED_NAMES = frozenset({*CALENDAR, LABEL, "null"})
"""What expressions and YAML mean something else by."""
WHOLE = r"^[+-]?[0-9]+$"
SHOWN = 40
"""Characters of a value that a comment shows."""
_TIMES = re.compile(
    r"date|time|stamp|epoch|created|updated|occurred|when|(?:^|_)(?:at|ts|on|dt|unix|day|year|month)(?:_|$)"
)
_NUMBERED = re.compile(r"(?:^|_)(?:id|ids|uuid|guid|key|no|nr|num|number|ref|reference|code|index|seq|sequence)(?:_|$)")


@dataclass(frozen=True, slots=True, eq=False)
class StreamColumn:
    """A column.

    Attributes:
        column: what the file calls it.
        name: what a field of a schema can be called.
        kind: of its values.
        why: what shows the kind, where that is not plain; empty where it is.
        rows, nulls, distinct: counts; nulls are not counted as a value.
        low, high: least and greatest number; None for what has none.
        counts: different values and how often each is there, the most frequent first; empty for more than `LISTED`.
        time: how it can be read as times; None where it cannot.
        values: as the topic would have them: int64, float64, string, bool; None for times and what is not read.
    """

    column: str
    name: str
    kind: Kind
    why: str
    rows: int
    nulls: int
    distinct: int
    low: float | None
    high: float | None
    counts: Mapping[Any, int]
    time: TimeForm | None
    values: pa.Array | None

    @property
    def words(self) -> str:
        """Its name in lower case, words apart by `_`: `customerId` is `customer_id`."""
        apart = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", self.name)
        return re.sub(r"_+", "_", apart).lower()

    @property
    def called_time(self) -> bool:
        """Whether its name says that it is a time."""
        return _TIMES.search(self.words) is not None

    @property
    def called_id(self) -> bool:
        """Whether its name says that it names something."""
        return _NUMBERED.search(self.words) is not None or self.words.endswith("id")

    @property
    def complete(self) -> bool:
        """Whether no row is without a value."""
        return self.nulls == 0

    @property
    def unique(self) -> bool:
        """Whether no two rows have the same value, and none has none."""
        return self.complete and self.distinct == self.rows and self.rows > 1

    @property
    def names(self) -> bool:
        """Whether each value can be an id or a key: whole numbers, or texts without blanks at an end."""
        if self.kind == "integer":
            return True
        if self.kind != "string" or self.values is None:
            return False
        plain = kernels.equal(self.values, kernels.utf8_trim_whitespace(self.values))
        return bool(kernels.all(kernels.and_(plain, kernels.not_equal(self.values, ""))).as_py())

    @property
    def numeric(self) -> bool:
        """Whether models read it."""
        return self.kind in ("integer", "number", "boolean")

    @property
    def spread(self) -> str:
        """Its values, in words."""
        if self.kind == "boolean" or (self.counts and self.kind == "string"):
            shown = ", ".join(f"{shown_value(value)} {count:,}" for value, count in list(self.counts.items())[:6])
            return shown + (f" and {len(self.counts) - 6} more" if len(self.counts) > 6 else "")
        if self.low is not None and self.high is not None:
            return f"{self.low:.10g} to {self.high:.10g}, {self.distinct:,} different"
        return f"{self.distinct:,} different"

    @property
    def gaps(self) -> str:
        """How many rows have no value, in words."""
        return f"empty in {self.nulls:,} of {self.rows:,} rows" if self.nulls else "in every row"


def shown_value(value: object) -> str:
    r"""A value for a comment: in one line, short.

    >>> shown_value("a\nb"), shown_value(True)
    ('a b', 'true')
    """
    text = str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def profiles(sample: StreamSample, form: NumberForm) -> list[StreamColumn]:
    """Every column, in the file's order, with names that no two of them share."""
    found: list[StreamColumn] = []
    taken: set[str] = set()
    for column, values in sample.columns.items():
        name = _free(field_name(column), taken)
        taken.add(name.lower())
        found.append(_profile(column, name, values, sample.text, form))
    return found


def field_name(column: str) -> str:
    """A name that a field of an Avro schema can have, near to a column's.

    >>> field_name("user.id"), field_name("Betrag (€)"), field_name("2nd"), field_name("Größe"), field_name("hour")
    ('user_id', 'Betrag', 'field_2nd', 'Grosse', 'hour_field')
    """
    plain = unicodedata.normalize("NFKD", column.replace("ß", "ss")).encode("ascii", "ignore").decode()
    legal = re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")[:80]
    if not legal:
        return "field"
    if legal in RESERVED_NAMES:
        return f"{legal}_field"
    return f"field_{legal}" if legal[0].isdigit() else legal


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _profile(column: str, name: str, values: pa.ChunkedArray, text: bool, form: NumberForm) -> StreamColumn:
    rows = len(values)

    def made(
        kind: Kind,
        why: str = "",
        found: pa.Array | None = None,
        time: TimeForm | None = None,
        said: pa.Array | None = None,
    ) -> StreamColumn:
        there = next((one for one in (found, said) if one is not None), values)
        nulls = there.null_count
        try:
            distinct = kernels.count_distinct(there).as_py()
        except pa.ArrowException:
            distinct = 0
        low = high = None
        if found is not None and kind in ("integer", "number") and nulls < rows:
            low, high = kernels.min_max(found).as_py().values()
        counts = _counts(found) if found is not None and distinct <= LISTED else {}
        return StreamColumn(column, name, kind, why, rows, nulls, distinct, low, high, counts, time, found)

    if pa.types.is_string(values.type):
        return _of_text(values, text, form, made)
    if pa.types.is_null(values.type) or values.null_count == rows:
        return made("empty", "no row has a value")
    if (time := time_of_typed(values)) is not None:
        return made("time", time.written, time=time)
    whole = values.combine_chunks()
    if pa.types.is_boolean(whole.type):
        return made("boolean", "", whole)
    if pa.types.is_integer(whole.type):
        try:
            return made("integer", "", found := whole.cast(pa.int64()), time_of_numbers(column, found))
        except pa.ArrowException:
            return made("other", f"holds {whole.type} beyond 64 bits")
    if pa.types.is_floating(whole.type) or pa.types.is_decimal(whole.type):
        found = whole.cast(pa.float64(), safe=False)
        why = f"typed as {whole.type}, read as float64" if pa.types.is_decimal(whole.type) else ""
        return made("number", why, found, time_of_numbers(column, found))
    return made("other", f"holds {whole.type}, which no field of an event can be")


def _of_text(values: pa.ChunkedArray, text: bool, form: NumberForm, made: Callable[..., StreamColumn]) -> StreamColumn:
    """Text is what all of its values can be read as."""
    raw = values.combine_chunks()
    said = words(raw) if text else raw
    there = said.drop_null()
    if not len(there):
        return made("empty", "no row has a value")
    if not text:
        time = time_of_text("", values)
        return made("string", "", raw) if time is None else made("time", time.written, time=time, said=said)
    if _every(kernels.utf8_lower(there), "^(true|false)$"):
        return made("boolean", "", said.cast(pa.bool_()))
    if _every(there, WHOLE):
        if kernels.any(kernels.match_substring_regex(there, r"^[+-]?0[0-9]")).as_py():
            return made("string", "digits with leading zeros, which a number would lose", raw)
        try:
            found = kernels.replace_substring_regex(said, r"^\+", "").cast(pa.int64())
        except pa.ArrowException:
            return made("string", "digits beyond 64 bits", raw)
        return made("integer", "", found, time_of_numbers("", found))
    if _every(there, number_pattern(form.decimal, form.thousands)):
        place = CellPlace("", pa.field("", pa.float64()), True, decimal=form.decimal, thousands=form.thousands)
        try:
            found = typed(raw, place, 1)
        except ConfigurationError:
            return made("string", "", raw)
        return made("number", "", found, time_of_numbers("", found))
    if (time := time_of_text("", values)) is not None:
        return made("time", time.written, time=time, said=said)
    return made("string", "", raw)


def _every(said: pa.StringArray, pattern: str) -> bool:
    """Whether all match; a few are looked at first."""
    parts = (said.slice(0, 100), said)
    return all(kernels.all(kernels.match_substring_regex(part, pattern)).as_py() for part in parts)


def _counts(values: pa.Array) -> dict[Any, int]:
    found = {entry["values"]: entry["counts"] for entry in kernels.value_counts(values).to_pylist()}
    found.pop(None, None)
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], str(pair[0]))))
