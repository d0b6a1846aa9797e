"""Files of one JSON object a line, as columns of text: nested fields by their path, no digit lost.

Numbers are kept as they are written, as a CSV's are, and the schema of the topic says what becomes of them. A field of
an object in an object has the name `user.id`. A list stays the text that it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.errors import ConfigurationError

LONGEST = 1 << 24
"""Bytes of a line."""
BATCH = 16_384
"""Lines that are read at a time."""
DEEPEST = 12
"""Objects within objects."""

Opened = Callable[[], Any]
"""The bytes of a file, from its beginning."""


def names_in(opened: Opened, path: Path) -> tuple[str, ...]:
    """The names of all columns, in the order in which they are met; reads the whole file.

    Raises:
        ConfigurationError: a line is no JSON object; says which.
    """
    found: dict[str, None] = {}
    for _, row in _rows(opened, path):
        for name in row:
            found.setdefault(name)
    if not found:
        raise ConfigurationError(f"{path} is empty: write one JSON object a line")
    return tuple(found)


def batches(opened: Opened, path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of these names as text; null where a row has none, or null."""
    waiting: list[dict[str, str | None]] = []
    for _, row in _rows(opened, path):
        waiting.append(row)
        if len(waiting) == BATCH:
            yield _batch(waiting, names)
            waiting = []
    if waiting:
        yield _batch(waiting, names)


def _batch(rows: Sequence[dict[str, str | None]], names: Sequence[str]) -> pa.RecordBatch:
    columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _rows(opened: Opened, path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and flat fields of each row; empty lines are passed over."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_once, parse_float=_Written, parse_int=_Written, parse_constant=_Written
    )
    with opened() as stream:
        for number, line in enumerate(_lines(stream, path), start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                row = decoder.decode(text)
            except UnicodeDecodeError:
                raise _wrong(path, number, "is not UTF-8", "save the file as UTF-8") from None
            except (ValueError, RecursionError) as error:
                raise _wrong(path, number, f"is no JSON: {error}", "write one object a line") from None
            if not isinstance(row, dict):
                raise _wrong(path, number, "is no JSON object", "write one object a line, as jq -c '.[]' does")
            flat: dict[str, str | None] = {}
            _flatten(row, "", flat, path, number, DEEPEST)
            yield number, flat


def _lines(stream: Any, path: Path) -> Iterator[bytes]:
    """Lines of a stream, none longer than `LONGEST`."""
    rest, number = b"", 0
    while block := stream.read(1 << 20):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        number += len(whole)
        if len(rest) > LONGEST:
            raise _wrong(path, number + 1, f"has more than {LONGEST:,} bytes", "write one object a line")
    if rest:
        yield rest


class _Written(str):
    """A number as it is written."""

    __slots__ = ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice} stands there twice")
    return found


def _flatten(
    values: dict[str, Any], before: str, flat: dict[str, str | None], path: Path, number: int, deep: int
) -> None:
    for name, value in values.items():
        at = f"{before}{name}"
        if isinstance(value, dict):
            if deep == 0:
                raise _wrong(path, number, f"has objects within objects, more than {DEEPEST} deep", "take some out")
            _flatten(value, f"{at}.", flat, path, number, deep - 1)
            continue
        if at in flat:
            raise _wrong(path, number, f"says {at} twice, as a name and as a path", "rename one of them")
        flat[at] = _text(value)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _written(value)


def _written(value: Any) -> str:
    """JSON again, numbers as they were written."""
    match value:
        case _Written():
            return str(value)
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(name)}: {_written(part)}' for name, part in value.items())}}}"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _wrong(path: Path, number: int, why: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: line {number:,} {why}; {remedy}")
