"""The score is the chance of the class that is named, wherever in the answer it stands; what is in doubt is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from headrace.domain.models import positive_class as classes
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import ModelPackage, pack, parse
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.errors import ContractError
from tests.models import graphs

BOTH = graphs.vector("probability", 2)
LABEL = helper.make_tensor_value_info("label", TensorProto.STRING, [None])
NUMBER = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
MAPS = helper.make_value_info(
    "probability",
    helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    ),
)


def graph(nodes: Sequence[NodeProto], outputs: Sequence[ValueInfoProto] = (BOTH,), **tensors: Any) -> bytes:
    """A graph over two features with any outputs."""
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    own = helper.make_graph(nodes, "g", [graphs.vector("features", 2)], outputs, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(own, opset_imports=opsets, ir_version=8).SerializeToString())


def linear(first: int = 1, answer: str = "probability", **names: Any) -> NodeProto:
    """A classifier whose column `first` rises with `graphs.WEIGHTS`."""
    signs = [1, -1] if first == 0 else [-1, 1]
    own = {"coefficients": [s * w for s in signs for w in graphs.WEIGHTS], "intercepts": [0.0, 0.0]}
    return ml("LinearClassifier", ["features"], ["label", answer], post_transform="LOGISTIC", **own, **names)


def ml(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    """A node of the domain of classical models."""
    return helper.make_node(kind, inputs, outputs, domain="ai.onnx.ml", **attributes)


def trees(answer: str, **names: Any) -> NodeProto:
    """One tree of which class 0 is likelier where the first feature is large."""
    return ml(
        "TreeEnsembleClassifier",
        ["features"],
        ["label", answer],
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        class_treeids=[0, 0, 0, 0],
        class_nodeids=[1, 1, 2, 2],
        class_ids=[0, 1, 0, 1],
        class_weights=[0.1, 0.9, 0.8, 0.2],
        **names,
    )


def network(answer: str = "probability", first: int = 0) -> list[NodeProto]:
    """Two columns by a softmax, which has no names."""
    return [
        helper.make_node("MatMul", ["features", "w"], ["margins"]),
        helper.make_node("Softmax", ["margins"], [answer], axis=1),
    ]


PAIR = np.array([graphs.WEIGHTS, [-w for w in graphs.WEIGHTS]], np.float32).T
FRAUD = {"classlabels_strings": ["fraud", "legit"]}


def with_zipmap() -> bytes:
    """What a converter writes unless told otherwise: labels, and maps of names to probabilities."""
    nodes = [
        trees("columns", **FRAUD),
        ml("ZipMap", ["columns"], ["probability"], classlabels_strings=["fraud", "legit"]),
    ]
    return graph(nodes, [LABEL, MAPS])


def with_encoder(**names: Any) -> bytes:
    """A classifier of numbers behind which numbers become names."""
    encoder = ml("LabelEncoder", ["label"], ["name"], keys_int64s=[0, 1], values_strings=["fraud", "legit"])
    name = helper.make_tensor_value_info("name", TensorProto.STRING, [None])
    return graph([linear(0, **(names or {"classlabels_ints": [0, 1]})), encoder], [name, BOTH])


def with_list(first: str = "fraud", second: str = "legit") -> bytes:
    """A network whose label is picked from a list by the place of the largest column."""
    nodes = [
        *network(),
        helper.make_node("ArgMax", ["probability"], ["place"], axis=1),
        ml("ArrayFeatureExtractor", ["names", "place"], ["picked"]),
        helper.make_node("Cast", ["picked"], ["label"], to=TensorProto.STRING),
    ]
    return graph(nodes, [LABEL, BOTH], w=PAIR, names=np.array([first, second], object))


def scores(content: bytes, **manifest: Any) -> tuple[np.ndarray, np.ndarray]:
    """(scores of some rows, how much each should be one of the class that rises with the weights)."""
    package: ModelPackage = pack(graphs.manifest(**manifest), content)
    matrix = np.random.default_rng(0).normal(0, 3, (50, 2)).astype(np.float32)
    return open_session(package, SessionSettings(device="cpu", rows=64)).run(matrix), matrix


def rises(content: bytes, **manifest: Any) -> bool:
    """Whether scores rise with `graphs.WEIGHTS`, and do not fall; they do one or the other."""
    found, matrix = scores(content, **manifest)
    margin = matrix @ np.array(graphs.WEIGHTS)
    correlation = np.corrcoef(np.argsort(np.argsort(found)), np.argsort(np.argsort(margin)))[0, 1]
    assert abs(correlation) > 0.99
    return bool(correlation > 0)


@pytest.mark.parametrize(
    "content",
    [
        graph([linear(0, **FRAUD)]),
        with_encoder(),
        with_list(),
        graph([linear(0, "c", **FRAUD), helper.make_node("Identity", ["c"], ["probability"])]),
        graph([linear(0, "c", **FRAUD), helper.make_node("Clip", ["c"], ["probability"])]),
    ],
)
def test_the_named_class_is_the_score(content: bytes) -> None:
    """The positive class is found by its name, first or last, and so is the other one."""
    assert rises(content, positive="fraud", classes=["fraud", "legit"])
    assert not rises(content, positive="legit", classes=["fraud", "legit"])


@pytest.mark.parametrize("content", [graph([linear(0, **FRAUD)]), with_encoder(), with_list()])
def test_the_graph_knows_its_names(content: bytes) -> None:
    """The package need not repeat names that the graph has."""
    assert rises(content, positive="fraud")
    with pytest.raises(ContractError, match=r"classes fraud, legit, and nothing says which is yes; say in model\.yaml"):
        scores(content)
    with pytest.raises(ContractError, match="positive: theft, but the model has the classes fraud, legit"):
        scores(content, positive="theft")


def test_a_converters_default_is_played() -> None:
    """An output of maps is read as the columns that it is made of, named by the map."""
    package = pack(graphs.manifest(positive="fraud"), with_zipmap())
    admit(package)
    found, matrix = scores(with_zipmap(), positive="fraud")
    np.testing.assert_allclose(found, np.where(matrix[:, 0] > 0, 0.8, 0.1), rtol=1e-6)
    other, _ = scores(with_zipmap(), positive="legit")
    np.testing.assert_allclose(found + other, 1, rtol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        {"classlabels_ints": [0, 1]},
        {"classlabels_ints": [-1, 1]},
        {"classlabels_strings": ["0", "1"]},
        {"classlabels_strings": ["False", "True"]},
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_names_that_leave_no_doubt(names: dict[str, list[Any]], first: int) -> None:
    """Of 0 and 1, -1 and 1, False and True the second means yes, in whichever order they stand."""
    turned = {key: values if first else values[::-1] for key, values in names.items()}
    assert rises(graph([linear(first, **turned)]))


@pytest.mark.parametrize(
    ("names", "manifest", "because"),
    [
        ({"classlabels_ints": [1, 2]}, {}, "classes 1, 2, and nothing says which is yes"),
        ({"classlabels_strings": ["no", "yes"]}, {}, "nothing says which is yes"),
        (FRAUD, {"classes": ["legit", "fraud"], "positive": "fraud"}, "the graph fraud, legit, in this order"),
        (FRAUD, {"classes": ["fraud", "legit", "other"], "positive": "fraud"}, "in this order"),
    ],
)
def test_doubt_is_refused(names: dict[str, list[Any]], manifest: dict[str, Any], because: str) -> None:
    """Names that do not say which is yes, or differ from the package's, are refused with what to write."""
    with pytest.raises(ContractError, match=because):
        scores(graph([linear(0, **names)]), **manifest)


def test_two_classes_of_one_name() -> None:
    """A name that means two columns means none."""
    with pytest.raises(ContractError, match="fraud, fraud two have one name"):
        scores(graph([linear(0, classlabels_strings=["fraud", "fraud"])]), positive="fraud")


def test_classes_may_be_called_yes_and_no() -> None:
    """What YAML takes for true and false elsewhere is the text that somebody wrote."""
    text = b"name: m\nversion: a\ninputs: [{name: amount}]\nclasses: [no, yes]\npositive: yes\n"
    said = parse(text, "folder")
    assert (said.classes, said.positive) == (("no", "yes"), "yes")
    assert rises(graph([linear(1, classlabels_strings=["no", "yes"])]), classes=said.classes, positive=said.positive)
    assert parse(text.replace(b"no, yes", b"false, true").replace(b": yes", b": true"), "folder").positive is True


def test_columns_without_names() -> None:
    """Two columns that nobody named are refused; the package may name them, or say the number of one."""
    content = graph(network(), w=PAIR)
    with pytest.raises(ContractError, match="2 columns, and nothing says which is yes; say in"):
        scores(content)
    with pytest.raises(ContractError, match="positive: fraud, but the model has columns without names"):
        scores(content, positive="fraud")
    with pytest.raises(ContractError, match=r"model\.yaml names 3 classes, a, b, c; the output has 2 columns"):
        scores(content, classes=["a", "b", "c"], positive="a")
    assert rises(content, classes=["fraud", "legit"], positive="fraud")
    assert rises(content, positive=0)
    assert not rises(content, positive=1)
    with pytest.raises(ContractError, match="positive: 2"):
        scores(content, positive=2)


def test_names_that_contradict_each_other() -> None:
    """A graph that calls its columns by two names says nothing; the package settles it."""
    nodes = [
        *network(),
        helper.make_node("ArgMax", ["probability"], ["place"], axis=1),
        ml("ArrayFeatureExtractor", ["names", "place"], ["label"]),
        ml("ZipMap", ["probability"], ["map"], classlabels_strings=["legit", "fraud"]),
    ]
    content = graph(nodes, [LABEL, BOTH], w=PAIR, names=np.array(["fraud", "legit"], object))
    with pytest.raises(ContractError, match="legit, fraud and also fraud, legit"):
        scores(content, positive="fraud")
    assert rises(content, classes=["fraud", "legit"], positive="fraud")


def test_several_classes() -> None:
    """Of three classes the one that is named is the score."""
    w = np.column_stack([PAIR, np.zeros(2, np.float32)])
    content = graph(network(), [graphs.vector("probability", 3)], w=w)
    assert rises(content, classes=["fraud", "legit", "other"], positive="fraud")


def test_one_column_is_the_score() -> None:
    """An answer of one column needs no names, and two names for it are one too many."""
    assert rises(graphs.logistic())
    assert rises(graphs.logistic(), positive="fraud")
    with pytest.raises(ContractError, match="names 2 classes"):
        scores(graphs.logistic(), classes=["legit", "fraud"], positive="fraud")


def test_the_label_is_no_score() -> None:
    """A package that names the label in place of the probabilities is told."""
    content = graph([linear(classlabels_ints=[0, 1])], [NUMBER, BOTH])
    with pytest.raises(ContractError, match="the output label is a tensor of int64; name the one"):
        scores(content, output="label")


def test_what_is_not_run_may_be_anything() -> None:
    """Operators behind the label are not among those that are run, and so do not keep a model out."""
    nodes = [linear(0, **FRAUD), helper.make_node("StringNormalizer", ["label"], ["strange"])]
    strange = helper.make_tensor_value_info("strange", TensorProto.STRING, [None])
    assert rises(graph(nodes, [strange, BOTH]), positive="fraud")


def test_messages_show_names_in_order() -> None:
    """Names of any kind are told as they are."""
    assert classes.told(("a", 1, True)) == "a, 1, True"
