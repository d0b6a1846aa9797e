"""What a label says of its event: a class for a probability, one of several classes, a quantity for a value.

On the topic of labels a truth is a number. One of several classes is told there as itself where all classes are whole
numbers, by its place where they are texts. Wherever headrace works with it, it is the place, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.classes.names import numbers, whole
from headrace.domain.pipeline.spec import Labels

kernels: Any = pc  # its stubs know too few of the overloads

Floats = npt.NDArray[np.float64]

_SHOWN = 12
"""Classes that a message names at most."""


def truths(values: Floats, rule: Labels) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What each label says, and which of them (mask) say nothing.

    Args:
        values: as the topic of labels has them.

    Returns:
        0 or 1 where labels are one of two classes, the place of one of several, or a quantity.

    >>> rule = Labels("id", "bad", classes=True)
    >>> [part.tolist() for part in truths(np.array([0.0, 1.0, 2.0]), rule)]
    [[0.0, 1.0, 2.0], [False, False, True]]
    >>> rule = Labels("id", "bad", classes=True, positive=2)
    >>> [part.tolist() for part in truths(np.array([1.0, 2.0, np.nan]), rule)]
    [[0.0, 1.0, 0.0], [False, False, True]]
    >>> rule = Labels("id", "stars", classes=True, names=("1", "2", "7"))
    >>> [part.tolist() for part in truths(np.array([7.0, 1.0, 3.0]), rule)]
    [[2.0, 0.0, 3.0], [False, False, True]]
    """
    if rule.names:
        is_class = values[:, None] == numbers(rule.names)
        strange = ~is_class.any(axis=1)
        return np.where(strange, values, is_class.argmax(axis=1)), strange
    strange = ~np.isfinite(values)
    if rule.classes and rule.positive is not None:
        return (values == rule.positive).astype(np.float64), strange
    if rule.classes:
        strange |= (values != 0) & (values != 1)
    return values, strange


def number_of(text: str, rule: Labels) -> float | None:
    """What the topic of labels has for a class that a person wrote; None where it is none of them.

    Where all classes are whole numbers, `3.0` is the class 3: so files and frames write them once a value is missing.

    >>> rule = Labels("id", "stars", classes=True, names=("1", "2", "7"))
    >>> number_of("7", rule), number_of("7.0", rule), number_of("3", rule)
    (7.0, 7.0, None)
    >>> number_of("dog", Labels("id", "kind", classes=True, names=("cat", "dog")))
    1.0
    """
    if text not in rule.names and whole(text.removesuffix(".0")):
        text = text.removesuffix(".0")
    return float(numbers(rule.names)[rule.names.index(text)]) if text in rule.names else None


def numbers_of(texts: pa.Array | pa.ChunkedArray, rule: Labels) -> Floats:
    """`number_of` each of many, float64; NaN for what is no class.

    >>> numbers_of(pa.array(["dog", "cow"]), Labels("id", "kind", classes=True, names=("cat", "dog"))).tolist()
    [1.0, nan]
    """
    codes = kernels.dictionary_encode(texts)
    parts = codes.chunks if isinstance(codes, pa.ChunkedArray) else [codes]
    found = [np.empty(0)]
    for part in parts:
        known = [number_of(str(text), rule) for text in part.dictionary.to_pylist()]
        places = part.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        found.append(np.array([*known, None], np.float64)[places])
    return np.concatenate(found)


def told(value: float, rule: Labels | None) -> str:
    """A truth as people say it: a class by its name, a number as it is.

    >>> told(1.0, Labels("id", "kind", classes=True, names=("cat", "dog"))), told(1.0, Labels("id", "bad"))
    ('dog', '1')
    """
    return rule.names[int(value)] if rule is not None and rule.names else f"{value:g}"


def said_of(rule: Labels) -> str:
    """What is wrong with a label that says nothing, and the remedy."""
    if rule.names:
        return (
            f"is none of the classes, which labels tell {_classes(rule.names)}; mend it, or add the class to "
            "model.classes"
        )
    if rule.classes and rule.positive is None:
        return (
            "is neither 0 nor 1, and the labels of a probability must be; say in the pipeline file which value is the "
            "positive class, such as labels: {positive: 2}"
        )
    return "is no finite number; mend it, or take the row out"


def no_class(rule: Labels) -> str:
    """What is wrong with what a person wrote for one of several classes, and the remedy."""
    more = f" and {len(rule.names) - _SHOWN} more" if len(rule.names) > _SHOWN else ""
    known = f"{', '.join(rule.names[:_SHOWN])}{more}"
    return f"is none of the classes {known}; mend it, or add the class to model.classes in the pipeline file"


def _classes(names: Sequence[str]) -> str:
    """The classes as labels tell them."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    if all(map(whole, names)):
        return f"as themselves: {', '.join(names[:_SHOWN])}{more}"
    order = (f"{place} {name}" for place, name in enumerate(names[:_SHOWN]))
    return f"by their places: {', '.join(order)}{more}"
