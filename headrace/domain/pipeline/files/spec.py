"""The `files` section as frozen values; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.domain.pipeline.document import Scalar

TIME_UNITS = ("seconds", "millis", "micros", "nanos")
"""Of numbers since 1970."""
THOUSANDS = (".", ",", "'", " ")
"""What may stand between thousands; a blank stands for narrow and unbreakable ones, too."""


@dataclass(frozen=True, slots=True)
class TimeLayout:
    """How a column of times is written, where its values do not say it themselves.

    Attributes:
        unit: of numbers since 1970, of `TIME_UNITS`; None: told by their size.
        format: as Python's `strptime` has it; None: ISO 8601, or numbers.
        zone: of times that name none, as `Europe/Berlin`; None: UTC.
        ambiguous: which of the two is meant where clocks were set back, `earliest` or `latest`; None: neither.
    """

    unit: str | None = None
    format: str | None = None
    zone: str | None = None
    ambiguous: str | None = None


@dataclass(frozen=True, slots=True)
class FileLayout:
    """What files of a pipeline's events and labels do not say themselves.

    Attributes:
        decimal: what stands before the fraction of a number in a text file, a point or a comma.
        thousands: what may stand between its thousands, of `THOUSANDS`; empty: nothing.
        columns: field to column, where that has another name.
        values: field to the value that all rows have, of fields that files have no column for.
        times: field to how it is written.
        truths: what words in a column of labels mean, as numbers; none: labels are numbers.
        row_ids: whether an event's id is the number of its row, from 1.
        first_time, time_step: when the first row happened, and how far rows are apart, milliseconds; None where files
            have a column with the time.
    """

    decimal: str = "."
    thousands: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Scalar] = field(default_factory=dict)
    times: Mapping[str, TimeLayout] = field(default_factory=dict)
    truths: Mapping[str, float] = field(default_factory=dict)
    row_ids: bool = False
    first_time: int | None = None
    time_step: int | None = None
