"""Whose an event is in a view: a field, several fields together, or all events."""

from __future__ import annotations

import re
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import ALL_EVENTS, View

_PART = re.compile(r"((?:[^\\|]|\\.)*)(?:\||$)", re.DOTALL)
kernels: Any = pc  # its stubs know too few of the overloads


def entities_in_view(columns: pa.RecordBatch, view: View) -> pa.Array[Any]:
    r"""The entity of each event; null where a field that names it is.

    Of one field its values as they are. Of several their texts joined by `|`, in which `|` and the backslash have a
    backslash before them: no two entities have one name.

    >>> view = View("pair", "entity", "a+b")
    >>> entities_in_view(pa.record_batch({"a": ["x|y", "x"], "b": [1, 2]}), view).to_pylist()
    ['x\\|y|1', 'x|2']
    """
    if len(view.keys) == 1:
        return columns.column(view.keys[0])
    if not view.keys:
        return pa.array([ALL_EVENTS], pa.string()).take(pa.array([0] * columns.num_rows, pa.int64()))
    parts = [kernels.replace_substring(columns.column(name).cast(pa.string()), "\\", "\\\\") for name in view.keys]
    escaped = [kernels.replace_substring(part, "|", "\\|") for part in parts]
    return cast("pa.Array[Any]", kernels.binary_join_element_wise(*escaped, "|"))


def part_of(entity: str, place: int) -> str:
    r"""One of the texts that were joined.

    >>> part_of('x\\|y|1', 0), part_of('x\\|y|1', 1)
    ('x|y', '1')
    """
    parts = [found[1] for found in _PART.finditer(entity)]
    return re.sub(r"\\(.)", r"\1", parts[place], flags=re.DOTALL)
