"""Which column of a classifier's answer is which class: by what the package says, else by the graph's own names.

Converters order columns by the names of the classes, so `fraud` stands before `legit`: no place is the positive one by
itself. Names are read wherever a graph has them: in the classifier (`classlabels_strings`, `classlabels_ints`,
`classlabels_int64s`), in a `ZipMap`, in a `LabelEncoder` behind the label, in the list that an index of the largest
column picks from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from headrace.domain.models.checks.graph_policy import answer_of
from headrace.domain.models.package import Class, Manifest, ModelPackage
from headrace.errors import ContractError

Names = tuple[Class, ...]
MANY = (
    "the pipeline's model tells the probability of one of two: list them in the pipeline file (model: {output: class, "
    "classes: [a, b, c]}), or fit it on labels that are 1 for the class that matters and 0 for all others"
)
REMEDY = "say in model.yaml which column is which and what is yes, such as classes: [legit, fraud], positive: fraud"

SEVERAL = "class"
"""The output of a model of several classes, as trainers here call it."""
_CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
_SAME_COLUMNS = ("Cast", "Clip", "HardSigmoid", "Identity", "Normalizer", "Sigmoid", "Softmax")
"""Operators whose columns are those of their input, in its order."""
_SAME_LABEL = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
CONVENTIONS: tuple[tuple[Class, Class], ...] = ((0, 1), (-1, 1), (False, True))
"""Pairs of names (no, yes) that mean the same everywhere."""


def column(package: ModelPackage, width: int) -> int:
    """The column of the positive class in an answer of so many columns.

    Raises:
        ContractError: nothing says which it is, or the package and its graph say different things; with the remedy.
    """
    manifest, title = package.manifest, package.title
    names = _names(package, width)
    if manifest.positive is not None:
        if names is None and isinstance(manifest.positive, int) and not isinstance(manifest.positive, bool):
            names = tuple(range(width))  # classes without names are counted from 0
        place = None if names is None else _place(names, manifest.positive)
        if place is None:
            known = "has columns without names" if names is None else f"has the classes {told(names)}"
            said = f"model.yaml says positive: {manifest.positive}"
            raise ContractError(f"{title}: {said}, but the model {known}; {REMEDY}")
        return place
    if names is None:
        raise ContractError(f"{title}: the output has {width} columns, and nothing says which is yes; {REMEDY}")
    for no, yes in CONVENTIONS:
        places = _place(names, no), _place(names, yes)
        if len(names) == 2 and None not in places:
            assert places[1] is not None
            return places[1]
    raise ContractError(f"{title}: the model has the classes {told(names)}, and nothing says which is yes; {REMEDY}")


def scored(manifest: Manifest) -> tuple[str, ...]:
    """The classes that a package gives a score each, as far as it says so itself: a pipeline may take more of it so."""
    texts = tuple(map(str, manifest.classes or ()))
    return texts if manifest.positive is None and (len(texts) > 2 or manifest.output == SEVERAL) else ()


def columns(package: ModelPackage, width: int, wanted: Sequence[str]) -> npt.NDArray[np.int64]:
    """The column of each of a pipeline's classes, in its order, in an answer of so many columns.

    Raises:
        ContractError: nothing says which column is which, or the model knows other classes; with the difference.
    """
    title = package.title
    names = _names(package, width, counted=True)
    if names is None:
        raise ContractError(
            f"{title}: the output has {width} columns, and nothing says which is which; say so in model.yaml, in their "
            f"order: classes: [{', '.join(wanted)}]"
        )
    texts = list(map(_text, names))
    lacking, beyond = [each for each in wanted if _text(each) not in texts], set(texts) - set(map(_text, wanted))
    if lacking or beyond:
        unknown = [f"it does not know {told(lacking)}"] if lacking else []
        unknown += [f"the pipeline does not know {told(sorted(beyond))}"] if beyond else []
        raise ContractError(
            f"{title} tells {told(names)} apart, the pipeline {told(wanted)}: {', and '.join(unknown)}; train it on "
            "the pipeline's classes, or list its own in the pipeline file"
        )
    return np.array([texts.index(_text(each)) for each in wanted])


def _names(package: ModelPackage, width: int, *, counted: bool = False) -> Names | None:
    """What the columns are called; None where nothing says it. `counted`: a graph's 0, 1, ... are no names of its own
    beside those of the package. ContractError as above.
    """
    manifest, title = package.manifest, package.title
    found = list(dict.fromkeys(names_of(onnx.ModelProto.FromString(package.graph).graph, manifest.output)))
    if counted and manifest.classes is not None:
        found = [own for own in found if list(map(_text, own)) != list(map(str, range(width)))]
    names = _settled(manifest.classes, found, title)
    if names is not None and len(names) != width:
        where = "model.yaml" if manifest.classes is not None else "the graph"
        named = f"{where} names {len(names)} classes, {told(names)}"
        raise ContractError(f"{title}: {named}; the output has {width} columns")
    if names is not None and len({_text(name) for name in names}) < len(names):
        raise ContractError(f"{title}: of the classes {told(names)} two have one name; {REMEDY}")
    return names


def told(names: Sequence[Class]) -> str:
    """Names of classes as a message has them."""
    return ", ".join(map(str, names))


def _settled(said: Names | None, found: Sequence[Names], title: str) -> Names | None:
    """The names that hold: those of the package, which the graph may not contradict, else the graph's own."""
    if said is not None:
        if found and not any(list(map(_text, said)) == list(map(_text, own)) for own in found):
            raise ContractError(
                f"{title}: model.yaml gives the classes {told(said)}, the graph {' or '.join(map(told, found))}, in "
                "this order: write them as the graph has them"
            )
        return said
    if len(found) > 1:
        raise ContractError(f"{title}: the graph names its columns {' and also '.join(map(told, found))}; {REMEDY}")
    return found[0] if found else None


def _place(names: Names, wanted: Class) -> int | None:
    return next((place for place, name in enumerate(names) if _text(name) == _text(wanted)), None)


def _text(name: Class) -> str:
    """A name as it is compared: 1 and "1" are one, true and "True" are."""
    return str(name).casefold() if isinstance(name, bool) or str(name) in ("True", "False") else str(name)


def names_of(graph: onnx.GraphProto, output: str) -> Iterator[Names]:
    """What a graph calls the columns of an output, in their order: nothing, one thing, or several that may differ."""
    look = _GraphLook(graph)
    same, node = look.columns(answer_of(graph, output))
    labels, own = [], None
    if node is not None and node.op_type in _CLASSIFIERS and list(node.output).index(same[-1]) == 1:
        own = _listed(node, "classlabels_strings", "classlabels_ints", "classlabels_int64s")
        labels = [] if own is None else [(node.output[0], own)]
    finer = [*look.zipped(same), *look.encoded(labels), *look.picked(same)]
    yield from finer or ([own] if own is not None else [])


class _GraphLook:
    """Finds its way in a graph: what makes a tensor, and what takes it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)

    def columns(self, tensor: str) -> tuple[list[str], onnx.NodeProto | None]:
        """(the tensors that have the same columns as this one, back to where they come from; what makes that one)."""
        same = [tensor]
        while True:
            node = self._makers.get(same[-1])
            if node is None or node.op_type not in _SAME_COLUMNS or not node.input or node.input[0] in same:
                return same, node
            same.append(node.input[0])

    def zipped(self, tensors: Sequence[str]) -> Iterator[Names]:
        """Names that a ZipMap gives to the columns of one of these."""
        for node in self._of("ZipMap", tensors):
            names = _listed(node, "classlabels_strings", "classlabels_int64s")
            if names is not None:
                yield names

    def encoded(self, labels: Sequence[tuple[str, Names]]) -> Iterator[Names]:
        """Names by which a LabelEncoder replaces those of a label."""
        for tensor, names in labels:
            for node in self._of("LabelEncoder", self._labels(tensor)):
                known = _mapping(node)
                yield tuple(known.get(name, name) for name in names)

    def picked(self, tensors: Sequence[str]) -> Iterator[Names]:
        """Names that the place of the largest column of one of these picks from."""
        for largest in self._of("ArgMax", tensors):
            places = self._labels(largest.output[0])
            for node in (*self._of("ArrayFeatureExtractor", places), *self._of("Gather", places)):
                tensor = self._tensors.get(node.input[0])
                if tensor is not None:
                    names = tuple(_plain(name) for name in numpy_helper.to_array(tensor).reshape(-1).tolist())
                    yield from self._as_encoded(node.output[0], names)
            for node in self._of("LabelEncoder", places):
                known = _mapping(node)
                if known and set(known) == set(range(len(known))):
                    yield tuple(known[place] for place in range(len(known)))

    def _as_encoded(self, label: str, names: Names) -> Iterator[Names]:
        yield from list(self.encoded([(label, names)])) or [names]

    def _labels(self, tensor: str) -> list[str]:
        """This tensor and those that hold the same label."""
        same = [tensor]
        for known in same:  # grows while it is walked through
            same += [
                node.output[0]
                for node in self._takers.get(known, ())
                if node.op_type in _SAME_LABEL and node.input[0] == known and node.output[0] not in same
            ]
        return same

    def _of(self, kind: str, tensors: Sequence[str]) -> Iterator[onnx.NodeProto]:
        for tensor in tensors:
            yield from (node for node in self._takers.get(tensor, ()) if node.op_type == kind and node.output)


def _listed(node: onnx.NodeProto, *attributes: str) -> Names | None:
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    for name in attributes:
        if given.get(name):
            return tuple(_plain(value) for value in given[name])
    return None


def _mapping(node: onnx.NodeProto) -> Mapping[Any, Class]:
    """What a LabelEncoder makes of each key; nothing where it is none that is understood."""
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if given.get("classes_strings"):
        return {place: _plain(name) for place, name in enumerate(given["classes_strings"])}

    def found(what: str) -> list[Any]:
        for kind in ("strings", "int64s", "floats"):
            if given.get(f"{what}_{kind}"):
                return [_plain(value) for value in given[f"{what}_{kind}"]]
        tensor = given.get(f"{what}_tensor")
        return [] if tensor is None else [_plain(v) for v in numpy_helper.to_array(tensor).reshape(-1).tolist()]

    return dict(zip(found("keys"), found("values"), strict=False))


def _plain(value: Any) -> Class:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float):
        return int(value) if value.is_integer() else str(value)
    return value if isinstance(value, bool | int) else str(value)
