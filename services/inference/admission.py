"""What a graph may contain before anything runs it.

A graph is a program: `If` and `Loop` can nest for minutes of load time, `ConstantOfShape` can ask for 32 GiB with a
hundred bytes, external data can name any file. So graphs are read as data first, and only operators that map rows to
rows within bounded memory are allowed. `trial` then runs the graph once under limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import onnx
from google.protobuf.message import DecodeError

from services.inference.package import ModelPackage
from services.kit.errors import ContractError

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
    """The graph, parsed, when nothing in it is forbidden and it takes what the package says.

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
    for fault in _faults(model):
        raise ContractError(f"{title}: {fault}")
    _check_signature(package, model.graph)
    return model


def _faults(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    if model.functions or model.training_info:
        yield "model functions and training graphs are not allowed"
    for opset in model.opset_import:
        if _domain(opset.domain) not in ("", ML):
            yield f"operator domain {opset.domain!r} is not allowed"
    if len(graph.node) > MOST_NODES:
        yield f"{len(graph.node)} nodes; {MOST_NODES} are allowed"
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
    outputs = [o.name for o in graph.output]
    if manifest.output not in outputs:
        raise ContractError(f"{title}: the graph answers {outputs}, model.yaml names the output {manifest.output!r}")
    answer = graph.output[outputs.index(manifest.output)]
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
