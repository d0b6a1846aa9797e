"""Which features feed a model of others: its signature beside the inputs of a pipeline's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.registry.logged_model import NUMBERS, ModelSignature
from headrace.errors import ContractError

SIGN = "log it with one: signature=infer_signature(X, model.predict_proba(X)[:, 1])"


@dataclass(frozen=True, slots=True)
class ColumnFit:
    """What feeds a model.

    Attributes:
        features: in the order of the model's columns.
        columns: the model's own names of them, in the same order; empty where it has none.
        unused: inputs of the pipeline's model that this one does not read.
        notes: what was taken for granted, a sentence each.
    """

    features: tuple[str, ...]
    columns: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def fit_columns(signature: ModelSignature | None, inputs: Sequence[str], rules: ModelRegistry) -> ColumnFit:
    """The features of a model's columns; by name, unless the pipeline file says otherwise.

    Args:
        signature: of the model.
        inputs: of the pipeline's model, in its order.
        rules: of the pipeline file.

    Raises:
        ContractError: a column has no feature, or is none that a number feeds; says all that does not fit, and what to
            write.
    """
    if rules.order:
        return _by_order(signature, inputs, rules)
    if signature is None:
        raise ContractError(
            f"it was logged without a signature, so nothing says what its columns are: {SIGN}; or list the features in "
            "the order of its columns: registry: {inputs: [...]}"
        )
    if not signature.columns:
        width = "columns" if signature.width is None else f"{signature.width} columns"
        raise ContractError(
            f"its signature has {width} without names: log it with a DataFrame, or list the features in their order: "
            "registry: {inputs: [...]}"
        )
    faults, found = [], []
    for column in signature.columns:
        feature = rules.names.get(column.name, column.name)
        if feature not in inputs:
            like = feature if feature != column.name else column.name.replace("__", ".")
            faults.append(f"{column.name} is no input of the pipeline's model, {closest(like, inputs)}")
        elif column.type not in NUMBERS:
            faults.append(f"{column.name} is a {column.type}, and inputs are numbers: encode it in a calendar feature")
        found.append(feature)
    strange = sorted(set(rules.names) - {column.name for column in signature.columns})
    faults += [f"registry.inputs names {name}, no column of the model" for name in strange]
    twice = sorted({feature for feature in found if found.count(feature) > 1})
    faults += [f"{feature} feeds several columns" for feature in twice]
    if faults:
        raise ContractError(
            f"its signature does not fit: {'; '.join(faults)}. Where names differ, say so in the pipeline file: "
            "registry: {inputs: {COLUMN: FEATURE}}; features that it lacks belong into model.inputs"
        )
    columns = tuple(column.name for column in signature.columns)
    return ColumnFit(tuple(found), columns, tuple(name for name in inputs if name not in found))


def _by_order(signature: ModelSignature | None, inputs: Sequence[str], rules: ModelRegistry) -> ColumnFit:
    if signature is not None and signature.columns:
        names = ", ".join(column.name for column in signature.columns[:3])
        raise ContractError(
            f"its columns have names ({names}, ...), and registry.inputs is a list: write a mapping of those that "
            "differ, registry: {inputs: {COLUMN: FEATURE}}, or leave it out"
        )
    width = None if signature is None else signature.width
    if width is not None and width != len(rules.order):
        raise ContractError(f"it takes {width} columns, and registry.inputs lists {len(rules.order)} features")
    note = f"its columns have no names; fed as registry.inputs lists them: {', '.join(rules.order)}"
    return ColumnFit(rules.order, (), tuple(name for name in inputs if name not in rules.order), (note,))
