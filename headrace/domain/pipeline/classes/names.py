"""What classes are called: in a file, as numbers on the topic of labels, and as fields of records."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}", re.ASCII)
_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def whole(name: str) -> bool:
    """Whether a class is a whole number: then labels tell it as itself."""
    return _WHOLE.fullmatch(name) is not None


def numbers(names: Sequence[str]) -> Floats:
    """What the topic of labels has for each class: the number that it is, else its place.

    >>> numbers(["1", "2", "7"]).tolist(), numbers(["cat", "dog"]).tolist()
    ([1.0, 2.0, 7.0], [0.0, 1.0])
    """
    if all(map(whole, names)):
        return np.array([float(name) for name in names])
    return np.arange(len(names), dtype=np.float64)


def field_name(name: str) -> str:
    """A class as a field of a record: a name as it is, a whole number behind `class_`, other texts made legal.

    Letters and digits beyond ASCII stand there by their code points, all else that a name cannot have as `_`.

    >>> [field_name(each) for each in ("setosa", "3", "very bad", "3d", "été")]
    ['setosa', 'class_3', 'very_bad', 'class_3d', 'u00e9tu00e9']
    """
    if _LEGAL.fullmatch(name):
        return name
    legal = "".join(
        letter
        if letter == "_" or (letter.isascii() and letter.isalnum())
        else f"u{ord(letter):04x}"
        if letter.isalnum()
        else "_"
        for letter in name
    )
    return legal if _LEGAL.fullmatch(legal) and not whole(name) else f"class_{legal}"


def field_names(names: Sequence[str]) -> tuple[str, ...]:
    """The fields of `scores`, in the order of the classes."""
    return tuple(map(field_name, names))
