"""How a text file writes its numbers: which sign stands before the fraction, which between thousands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.operations.tables.cells import number_pattern, words

kernels: Any = pc  # its stubs know too few of the overloads

FORMS = ((".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", " "), (",", "'"), (".", "'"))
"""(before the fraction, between thousands); of forms that fit equally well the first is meant."""
GROUPED = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+$"


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How numbers are written.

    Attributes:
        decimal, thousands: as in `FileLayout`.
        evidence: a value that shows it; empty where nothing but points was found.
        tie: what else the numbers could mean; empty where they cannot.
    """

    decimal: str = "."
    thousands: str = ""
    evidence: str = ""
    tie: str = ""


def number_form(columns: Iterable[tuple[str, pa.ChunkedArray]], delimiter: str) -> NumberForm:
    """The form in which most columns are numbers.

    Args:
        columns: of text, with their names.
        delimiter: what the file's kind says of it; semicolons make decimal commas likely.

    >>> number_form([("price", pa.chunked_array([["1,5", "2,75"]]))], "semicolons").decimal
    ','
    """
    votes = dict.fromkeys(FORMS, 0)
    shown: dict[tuple[str, str], str] = {}
    grouped = True
    for name, values in columns:
        said = words(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)).drop_null()
        marked = said.filter(kernels.match_substring_regex(said, "[.,' \u00a0\u202f\u2009]"))
        fits = [form for form in FORMS if _all(said, number_pattern(*form))] if len(marked) else []
        if not fits:
            continue
        grouped &= _all(marked, GROUPED)
        for form in fits:
            votes[form] += 1
            # The longest of a few shows most of how numbers are written.
            example = max(marked.slice(0, 100).to_pylist(), key=len)
            if len(example) > len(shown.get(form, "").rpartition(" ")[2]):
                shown[form] = f"{name}: {example}"
    best = [form for form in FORMS if votes[form] == max(votes.values())]
    if FORMS[0] in best:
        return NumberForm()
    # 1,234 alone is either a fraction or a thousand.
    if grouped and (".", ",") in best and delimiter not in ("semicolons", "tabs"):
        tie = "the comma could as well stand before the fraction: decimal: ','"
        return NumberForm(".", ",", shown[".", ","], tie)
    tie = "the comma could as well stand between thousands: decimal: '.', thousands: ','" if grouped else ""
    return NumberForm(*best[0], shown[best[0]], tie if (".", ",") in best else "")


def _all(said: pa.StringArray, pattern: str) -> bool:
    if not kernels.all(kernels.match_substring_regex(said.slice(0, 200), pattern)).as_py():
        return False
    return bool(kernels.all(kernels.match_substring_regex(said, pattern)).as_py())
