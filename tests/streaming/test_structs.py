"""Records and spans in kernels: fields by name, whatever their alignment, and bounds where they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from headrace.columnar.jit import kernel
from headrace.columnar.structs import (
    I4,
    Span,
    array_of,
    at,
    bytes_in,
    copy,
    i2,
    kind_of,
    names_of,
    part,
    same,
    span_of,
    u1,
    u4,
)
from headrace.columnar.structs import f8 as real
from tests.members import ROOT


class Item:
    """Fields that begin anywhere."""

    small: u1
    short: i2
    weight: real
    count: u4


class Shelf:
    """A record with spans, one in another record."""

    sum: real
    items: Span
    numbers: Span
    letters: Span


ITEM, SHELF = kind_of(Item), kind_of(Shelf)


@kernel("shelf", shelf=SHELF)
def turn(shelf: Shelf) -> int:
    """Read and set all fields."""
    for index in range(shelf.items.length):
        item = at(shelf.items, index, ITEM)
        shelf.sum += item.weight + item.small
        item.count += at(shelf.numbers, index, I4)
        item.short = -item.short
    return shelf.items.length


@kernel("shelf i8 i8 i8", shelf=SHELF)
def matching(shelf: Shelf, first: int, second: int, size: int) -> bool:
    """Whether two parts of the letters are the same."""
    return same(part(shelf.letters, first, first + size), part(shelf.letters, second, second + size))


@kernel("u1[::1] i8 i8 i8")
def moved(letters: np.ndarray, start: int, stop: int, target: int) -> None:  # type: ignore[type-arg]  # bytes
    """Copy some bytes of an array to another place in it."""
    copy(bytes_in(letters, start, stop), bytes_in(letters, target, target + stop - start))


def shelf() -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]  # records
    """A shelf with three items, and what it is made of."""
    items = array_of(ITEM, 3)
    items["small"], items["short"], items["weight"], items["count"] = [1, 2, 3], [4, 5, -6], 0.5, 2**32 - 10
    numbers, letters = np.array([1, 2, 3], np.int32), np.frombuffer(b"abcabd", np.uint8)
    made = array_of(SHELF, 1)
    made["items"], made["numbers"], made["letters"] = span_of(items), span_of(numbers), span_of(letters)
    return made, items, numbers, letters


def test_fields_have_no_gaps_between_them() -> None:
    """A dtype is what the class says, in its order, and no byte more."""
    assert names_of(ITEM) == ("small", "short", "weight", "count")
    assert ITEM.itemsize == 1 + 2 + 8 + 4
    assert SHELF.itemsize == 8 + 3 * 24


def test_fields_are_read_and_set_by_name() -> None:
    """What a kernel sets is in the array, whatever its alignment; numbers of spans are read as they are."""
    made, items, *_kept = shelf()
    assert turn(made[0]) == 3
    assert made["sum"].tolist() == [3 * 0.5 + 6]
    assert items["count"].tolist() == [2**32 - 9, 2**32 - 8, 2**32 - 7]
    assert items["short"].tolist() == [-4, -5, 6]


def test_bytes_are_compared_and_copied() -> None:
    """All of them, and no others."""
    made, *_kept = shelf()
    assert matching(made[0], 0, 3, 2)
    assert not matching(made[0], 0, 3, 3)
    letters = np.frombuffer(b"abcdef", np.uint8).copy()
    moved(letters, 0, 2, 4)
    assert letters.tobytes() == b"abcdab"


def test_a_span_has_no_gaps() -> None:
    """An array with gaps is refused: a kernel would read what lies between."""
    with pytest.raises(AssertionError, match="gaps"):
        span_of(np.arange(10)[::2])


BEYOND = """
from tests.streaming.test_structs import *

made, items, numbers, letters = shelf()
held = letters.copy()


def told(call, *words):
    try:
        call(*words)
        print("nothing")
    except IndexError as error:
        print(error)


told(turn, made[0])
made["numbers"]["length"] = 2
told(turn, made[0])
made["numbers"] = span_of(np.arange(3))
told(turn, made[0])
told(matching, made[0], 0, 3, 3)
told(matching, made[0], 0, 3, 4)
told(matching, made[0], -1, 3, 2)
told(moved, held, 0, 3, 3)
told(moved, held, 0, 3, 4)
"""


@pytest.mark.kernels
def test_what_lies_beyond_a_span_raises_where_that_is_asked_for() -> None:
    """With bounds checks: an item or bytes beyond the end or before the beginning, and items of another width."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", BEYOND], cwd=ROOT, env=environment, capture_output=True, text=True)
    item = "an item that its span does not have"
    some, array = "bytes that their span does not have", "bytes that their array does not have"
    assert ran.stdout.splitlines() == ["nothing", item, item, "nothing", some, some, "nothing", array], ran.stderr
