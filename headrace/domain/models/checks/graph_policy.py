"""What a graph may contain before anything runs it.

A graph is a program: `If` and `Loop` can nest for minutes of load time, `ConstantOfShape` can ask for 32 GiB with a
hundred bytes, external data can name any file. So graphs are read as data first, and only operators that map rows to
rows within bounded memory are allowed. `trial` then runs the graph once under limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from headrace.domain.models.package import ModelPackage
from headrace.errors import ContractError

LARGEST_GRAPH = 64 << 20  # bytes
MOST_NODES = 2_000

ML = "ai.onnx.ml"


def _operators(domain: str, names: str) -> frozenset[tuple[str, str]]:
    return frozenset((domain, name) for name in names.split())


ALLOWED = _operators(
    ML,
    """
    ArrayFeatureExtractor Binarizer Imputer LinearClassifier LinearRegressor Normalizer Scaler SVMClassifier
    SVMRegressor TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
    """,
) | _operators(
    "",
    """
    Abs Add And ArgMax BatchNormalization Cast Clip Concat Constant Div Elu Equal Erf Exp Flatten Gather Gemm Greater
    GreaterOrEqual HardSigmoid Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max Min
    Mul Neg Not Or Pow Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Selu Sigmoid Sign Slice Softmax
    Softplus Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
    """,
)
"""Operators that map rows to rows within memory that grows with the rows and the file alone."""

_DTYPES = {"float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}


def inspect(package: ModelPackage) -> onnx.ModelProto:
    """What runs of the graph, parsed, when nothing in it is forbidden and it takes what the package says.

    That is what the package's output is made of, and this is the one output of what is returned: labels that converters
    write beside probabilities, and the maps that they make of these (`ZipMap`), are left out. What is not run may be
    anything.

    Raises:
        ContractError: it is no ONNX, too large, has an operator outside `ALLOWED`, control flow, functions, external or
            sparse data, an initializer larger than its bytes, or inputs and outputs other than the manifest's.
    """
    title = package.title
    if len(package.graph) > LARGEST_GRAPH:
        raise ContractError(f"{title}: the graph has {len(package.graph)} bytes; {LARGEST_GRAPH} are allowed")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(package.graph)
    except DecodeError as error:
        raise ContractError(f"{title}: model.onnx is not an ONNX file: {error}") from error
    if len(model.graph.node) > MOST_NODES:
        raise ContractError(f"{title}: {len(model.graph.node)} nodes; {MOST_NODES} are allowed")
    outputs, output = _outputs(model.graph), package.manifest.output
    if output not in outputs:
        raise ContractError(f"{title}: the graph answers {outputs}, model.yaml names the output {output!r}")
    keep(model.graph, output)
    for fault in _faults(model):
        raise ContractError(f"{title}: {fault}")
    _check_signature(package, model.graph)
    return model


def answer_of(graph: onnx.GraphProto, output: str) -> str:
    """The tensor that an output is: its own, or the one that a `ZipMap` makes maps of."""
    for node in graph.node:
        if output in node.output and (node.domain, node.op_type) == (ML, "ZipMap") and node.input:
            return node.input[0]
    return output


def keep(graph: onnx.GraphProto, output: str) -> None:
    """Take away what an output is not made of; it becomes the only one, a tensor."""
    answer = answer_of(graph, output)
    makers: dict[str, list[int]] = {}
    for place, node in enumerate(graph.node):
        for name in node.output:
            makers.setdefault(name, []).append(place)
    pending, wanted, kept = [answer], {answer}, set[int]()
    while pending:
        for place in makers.get(pending.pop(), ()):
            if place not in kept:
                kept.add(place)
                fresh = set(graph.node[place].input) - wanted
                wanted |= fresh
                pending += fresh
    nodes = [node for place, node in enumerate(graph.node) if place in kept]
    if len(nodes) == len(graph.node) and _outputs(graph) == [answer]:
        return
    wanted |= {value.name for value in graph.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in wanted]
    found = [value for value in graph.output if value.name == answer]
    found = found or [onnx.helper.make_tensor_value_info(answer, onnx.TensorProto.FLOAT, None)]
    fields: tuple[tuple[Any, Sequence[Any]], ...] = (
        (graph.node, nodes),
        (graph.initializer, tensors),
        (graph.output, found[:1]),
    )
    for field, values in fields:
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


def _outputs(graph: onnx.GraphProto) -> list[str]:
    return [value.name for value in graph.output]


def _faults(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    if model.functions or model.training_info:
        yield "model functions and training graphs are not allowed"
    for opset in model.opset_import:
        if _domain(opset.domain) not in ("", ML):
            yield f"operator domain {opset.domain!r} is not allowed"
    if graph.sparse_initializer:
        yield "sparse initializers are not allowed"
    for node in graph.node:
        if (_domain(node.domain), node.op_type) not in ALLOWED:
            yield f"operator {_domain(node.domain) or 'ai.onnx'}.{node.op_type} is not allowed"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                yield f"operator {node.op_type} carries a graph of its own"
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                yield f"operator {node.op_type} carries a sparse tensor"
            for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                yield from _tensor_faults(tensor)
    for tensor in graph.initializer:
        yield from _tensor_faults(tensor)


def _tensor_faults(tensor: onnx.TensorProto) -> Iterator[str]:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        yield f"tensor {tensor.name!r} keeps its data in another file; a model is a single file"
    elif prod(tensor.dims) > tensor.ByteSize():
        # Every element takes a byte at least, so a larger claim is a lie that somebody would allocate for.
        yield f"tensor {tensor.name!r} claims {prod(tensor.dims)} elements in {tensor.ByteSize()} bytes"


def _check_signature(package: ModelPackage, graph: onnx.GraphProto) -> None:
    manifest, title = package.manifest, package.title
    defaults = {tensor.name for tensor in graph.initializer}
    inputs = [i for i in graph.input if i.name not in defaults]
    names = [i.name for i in inputs]
    if len(inputs) == 1 and len(manifest.inputs) != 1:
        kinds = {i.dtype for i in manifest.inputs}
        if len(kinds) > 1:
            raise ContractError(f"{title}: the graph takes one tensor, but model.yaml gives inputs of {sorted(kinds)}")
        _check_tensor(title, inputs[0], manifest.inputs[0].dtype, len(manifest.inputs))
    elif len(inputs) == 1:
        _check_tensor(title, inputs[0], manifest.inputs[0].dtype, 1)
    elif names != list(manifest.input_names):
        raise ContractError(f"{title}: the graph takes {names}, model.yaml says {list(manifest.input_names)}")
    else:
        for declared, given in zip(manifest.inputs, inputs, strict=True):
            _check_tensor(title, given, declared.dtype, 1)
    _check_trees(title, graph, inputs[0].name, len(manifest.inputs))
    answer = graph.output[0]
    if not answer.type.HasField("tensor_type"):
        raise ContractError(f"{title}: output {answer.name!r} is no tensor (convert with zipmap off)")


def _check_trees(title: str, graph: onnx.GraphProto, features: str, width: int) -> None:
    """Trees that read the graph's own input name its columns only: nothing at run time holds them to that."""
    for node in graph.node:
        if node.op_type.startswith("TreeEnsemble") and node.input and node.input[0] == features:
            for attribute in node.attribute:
                if attribute.name == "nodes_featureids" and not all(0 <= i < width for i in attribute.ints):
                    raise ContractError(f"{title}: a tree reads a column beyond the {width} inputs")


def _check_tensor(title: str, value: onnx.ValueInfoProto, dtype: str, width: int) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type != _DTYPES[dtype]:
        found = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ContractError(f"{title}: graph input {value.name!r} is {found}, model.yaml says {dtype}")
    dims = tensor.shape.dim
    if dims and dims[0].HasField("dim_value"):
        raise ContractError(f"{title}: graph input {value.name!r} takes {dims[0].dim_value} rows only; leave it open")
    if not (len(dims) == 2 and dims[1].dim_value == width) and not (len(dims) == 1 and width == 1):
        shape = [d.dim_value or "?" for d in dims]
        raise ContractError(f"{title}: graph input {value.name!r} has shape {shape}, the package has {width} inputs")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
