"""A model of the second of two classes as one of both: trainers fit two classes by one probability."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from headrace.domain.training.graphs import CLASSES, OUTPUT
from headrace.domain.training.trainer import Fitted, Matrix


def of_both(model: Fitted) -> Fitted:
    """The same model with a probability for either class: 1 - p and p."""

    def predict(matrix: Matrix) -> npt.NDArray[np.floating]:
        second = np.asarray(model.predict(matrix), np.float64)
        return np.column_stack([1 - second, second])

    return replace(model, graph=with_both(model.graph), predict=predict)


def with_both(graph: bytes) -> bytes:
    """A graph whose `probability`, float32 [n, 1], becomes `class`, float32 [n, 2]."""
    model = ModelProto.FromString(graph)
    taken = {name for node in model.graph.node for name in node.output}
    one, first = (next(f"{word}_{at}" for at in count() if f"{word}_{at}" not in taken) for word in ("one", "first"))
    model.graph.node.append(helper.make_node("Sub", [one, OUTPUT], [first]))
    model.graph.node.append(helper.make_node("Concat", [first, OUTPUT], [CLASSES], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), one))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(CLASSES, TensorProto.FLOAT, [None, 2]))
    return bytes(model.SerializeToString(deterministic=True))
