"""A package of trainers that is not ours, installed into a directory: a module, and what an installer notes of it."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
"""Trainers of somebody else."""

import ctypes
import os
import subprocess
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from headrace.domain.training.trainer import Fitted


def stump(rows, choice, progress):
    """One threshold on the first input; weighed, and louder than it should be."""
    print("this is no line of the job's")
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    cut = np.float32(choice.parameters.get("cut", 60))
    low, high = (
        np.float32(np.average(rows.labels[side], weights=weights[side]))
        for side in (rows.matrix[:, 0] <= cut, rows.matrix[:, 0] > cut)
    )
    progress(1)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["probability"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_values=[float(cut), 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[float(low), float(high)],
    )
    width = len(rows.inputs)
    graph = helper.make_graph(
        [node], "stump",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return Fitted(
        model.SerializeToString(),
        lambda matrix: np.where(matrix[:, 0] > cut, high, low),
        {"cut": float(cut)},
        {"numpy": np.__version__},
    )


stump.takes = frozenset({"weights"})


def hog(rows, choice, progress):
    """Takes memory until there is none."""
    held = []
    while True:
        held.append(np.ones(1 << 24))


def spin(rows, choice, progress):
    """Takes the processor."""
    while True:
        pass


def sleeper(rows, choice, progress):
    """Waits, and has a child that waits; says who they are."""
    child = subprocess.Popen(["sleep", "600"])
    Path(choice.parameters["pids"]).write_text(f"{os.getpid()} {child.pid}")
    progress(1)
    ctypes.PyDLL(None).sleep(600)  # and does not let go of the interpreter


def wrong(rows, choice, progress):
    """Is a defect."""
    return rows.nothing


def dead(rows, choice, progress):
    """Dies without a word."""
    os.abort()


def liar(rows, choice, progress):
    """Answers otherwise than its graph."""
    made = stump(rows, choice, progress)
    return Fitted(made.graph, lambda matrix: np.full(len(matrix), 0.5), made.parameters, made.libraries)
'''
NAMES = ("stump", "hog", "spin", "sleeper", "wrong", "dead", "liar")


def install(folder: Path, name: str = "outsiders", trainers: tuple[str, ...] = NAMES) -> Path:
    """Install the package as pip does; the directory, for the path of modules."""
    note = folder / f"{name}-3.1.dist-info"
    note.mkdir(parents=True)
    (folder / f"{name}.py").write_text(MODULE)
    (note / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.1\n")
    lines = [f"{trainer} = {name}:{trainer}" for trainer in trainers]
    (note / "entry_points.txt").write_text("\n".join(["[headrace.trainers]", *lines]) + "\n")
    return folder
