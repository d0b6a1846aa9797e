"""What a graph answers: which output is the score, what its classes are, and which of them is yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto

from headrace.domain.models.checks.graph_policy import answer_of
from headrace.domain.models.package import Class
from headrace.domain.models.positive_class import CONVENTIONS, MANY, names_of, told
from headrace.errors import ContractError

PROBABILITIES = ("probabilities", "output_probability", "probability")
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What is the score.

    Attributes:
        classes: names of the output's columns, in their order; None where it has one column.
        positive: which one is the score; None likewise, and where each gets a score.
    """

    classes: tuple[Class, ...] | None = None
    positive: Class | None = None


def score_output(graph: onnx.GraphProto, said: str | None) -> str:
    """The output that holds probabilities or quantities: numbers with a fraction, or maps of such.

    Raises:
        ContractError: there is none, or several and nothing says which.
    """
    outputs = [each.name for each in graph.output]
    if said is not None:
        if said not in outputs:
            raise ContractError(f"its graph has no output {said}; it has {', '.join(outputs)}")
        return said
    made = {name: node for node in graph.node for name in node.output}
    found = []
    for each in graph.output:
        maps = each.name in made and made[each.name].op_type == "ZipMap"
        if maps or each.type.tensor_type.elem_type in FLOATS:
            found.append(each.name)
    named = [name for name in found if name in PROBABILITIES]
    if len(named) == 1 or len(found) == 1:
        return (named if len(named) == 1 else found)[0]
    if not found:
        raise ContractError(
            f"its graph has the outputs {', '.join(outputs)}, and none is a probability or a quantity: convert the "
            "model with its probabilities (predict_proba)"
        )
    raise ContractError(
        f"its graph has the outputs {', '.join(outputs)}, and nothing says which is the score: --output NAME"
    )


def read_answer(
    graph: onnx.GraphProto,
    output: str,
    classes: Sequence[Class] | None,
    positive: Any,
    *,
    quantity: bool,
    several: Sequence[str] = (),
) -> FileAnswer:
    """What an output's columns are.

    Args:
        graph: with all that its converter wrote: names of classes stand behind labels.
        classes, positive: what a person says; None: nothing.
        quantity: whether the pipeline's model tells a quantity.
        several: the classes that it tells apart, where these are several.

    Raises:
        ContractError: it is no answer for the pipeline, or something is in doubt; with what to say.
    """
    found = list(dict.fromkeys(names_of(graph, output)))
    if len(found) > 1 and classes is None:
        raise ContractError(
            f"its graph names its classes {' and also '.join(map(told, found))}: say what its columns are, --classes "
            f"{told(found[0]).replace(', ', ',')}"
        )
    width = _width(graph, answer_of(graph, output))
    names = tuple(classes) if classes is not None else found[0] if found else None
    if several and classes is not None:  # a graph's 0, 1, ... count its columns, and these are what they are called
        found = [own for own in found if not counted(own)]
    if names is not None and found and classes is not None and not any(_same(classes, own) for own in found):
        raise ContractError(f"--classes says {told(classes)}, and its graph {told(found[0])}: leave --classes out")
    if several:
        return of_several(names, several, positive, width)
    if names is None and width == 1:
        if positive is not None:
            raise ContractError(f"it has one column and no classes, so none is {positive}: leave --positive out")
        return FileAnswer()
    if names is None and width is None:
        return FileAnswer()  # what it answers is seen when it runs
    if quantity:
        raise ContractError(
            f"it answers {len(names or ()) or width} classes, and the pipeline's model tells a quantity (output: "
            "value): add a regression, or say output: probability in the pipeline file's model"
        )
    if (count := len(names) if names is not None else width or 0) > 2:
        which = "" if names is None else f" ({told(names)})"
        raise ContractError(f"it has {count} classes{which}, and {MANY}")
    if names is None:
        raise ContractError(
            f"its output {output} has {width} columns without names: say what they are, in their order, and which "
            "is yes, such as --classes legit,fraud --positive fraud"
        )
    return FileAnswer(tuple(names), positive_of(names, positive))


def of_several(
    names: Sequence[Class] | None, several: Sequence[str], positive: Any, width: int | None = None
) -> FileAnswer:
    """An answer of a probability for each of a pipeline's classes.

    Args:
        names: of the columns; None: nothing says them.
        several: of the pipeline.
        positive: what a person says.
        width: columns, as far as it is known.

    Raises:
        ContractError: they are other classes, or it is in doubt which column is which; with what to say.
    """
    if positive is not None:
        raise ContractError(f"each of the pipeline's classes gets a score: leave --positive {positive} out")
    say = f"say what its columns are, in their order, such as --classes {','.join(several)}"
    if names is None:
        many = (
            ""
            if width is None
            else f" has {width} columns" + (", one for each class, that nothing names" * (width > 1))
        )
        raise ContractError(f"its output{many or ' names no classes'}, and the pipeline tells {told(several)}: {say}")
    lacking, beyond = _beyond(several, names), _beyond(names, several)
    if not lacking and not beyond:
        return FileAnswer(tuple(names))
    if counted(names) and len(names) == len(several):
        raise ContractError(f"it counts its classes, {told(names)}, and the pipeline names {told(several)}: {say}")
    unknown = [f"it does not know {told(lacking)}"] if lacking else []
    unknown += [f"the pipeline does not know {told(beyond)}"] if beyond else []
    raise ContractError(
        f"its classes are {told(names)}, those of the pipeline {told(several)}: {', and '.join(unknown)}; fit it on "
        "the pipeline's classes, or list its own in the pipeline file"
    )


def _beyond(some: Sequence[Class], others: Sequence[Class]) -> list[str]:
    known = set(map(str, others))
    return [str(each) for each in some if str(each) not in known]


def counted(names: Sequence[Class]) -> bool:
    """Whether names are 0, 1, ... in this order."""
    return list(map(str, names)) == list(map(str, range(len(names))))


def positive_of(names: Sequence[Class], said: Any) -> Class:
    """Which of two classes is yes. ContractError: nothing says it; with what to say."""
    if said is not None:
        chosen = next((name for name in names if str(name) == str(said)), None)
        if chosen is None:
            raise ContractError(
                f"its classes are {told(names)}, and none is {said}: --positive {names[-1]}, or another"
            )
        return chosen
    for no, yes in CONVENTIONS:
        if len(names) == 2 and {_plain(no), _plain(yes)} == {_plain(name) for name in names}:
            return next(name for name in names if _plain(name) == _plain(yes))
    raise ContractError(
        f"its classes are {told(names)}, and nothing says which is yes: --positive {names[0]}, or --positive "
        f"{names[-1]}"
    )


def _plain(name: Any) -> str:
    """A name as conventions have it: 1.0, "1" and 1 are one."""
    text = str(name)
    return text.removesuffix(".0").casefold()


def _same(one: Sequence[Class], other: Sequence[Class]) -> bool:
    return list(map(str, one)) == list(map(str, other))


def _width(graph: onnx.GraphProto, tensor: str) -> int | None:
    """Columns of a tensor, as far as its graph says."""
    for each in (*graph.output, *graph.value_info):
        if each.name == tensor and each.type.HasField("tensor_type"):
            dims = each.type.tensor_type.shape.dim
            if len(dims) == 2 and dims[1].dim_value:
                return int(dims[1].dim_value)
    return None
