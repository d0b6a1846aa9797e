"""Which features feed the columns of a model in a file: by name, or as a person maps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headrace.domain.pipeline.document import closest
from headrace.errors import ContractError

FeatureKind = Literal["number", "integer", "boolean", "text", "other"]
ColumnKind = Literal["float32", "float64", "integer", "boolean", "text"]
ALL = "*"
"""In place of features: those of the pipeline's model, in their order."""


@dataclass(frozen=True, slots=True)
class FileColumns:
    """An input of a model: one column, or a tensor of several.

    Attributes:
        name: of the input.
        kind: of its values.
        width: how many columns it has; None where the file leaves it open.
        names: of its columns, where they have any.
        texts: places of columns with names that are categories, whatever `kind` says of the tensor.
    """

    name: str
    kind: ColumnKind
    width: int | None = 1
    names: tuple[str, ...] = ()
    texts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a person says feeds the model.

    Attributes:
        names: an input or a column of the model -> the feature that feeds it, or several with commas between.
        order: features of a model whose columns have no names, in their order; empty where nobody says.
        inputs: of the pipeline's model, in its order: what `ALL` stands for.
        known: every feature that may be named -> its kind.
        usual: as `names`, where they say nothing; of columns that this model may not have.
    """

    names: Mapping[str, str]
    order: tuple[str, ...]
    inputs: tuple[str, ...]
    known: Mapping[str, FeatureKind]
    usual: Mapping[str, str] = field(default_factory=dict)

    def feature(self, column: str) -> str | None:
        """What is said to feed a column; None: nothing is."""
        return self.names.get(column, self.usual.get(column))


@dataclass(frozen=True, slots=True)
class MatchedColumn:
    """A column and what feeds it; `column`: the model's own name for it, empty where it has none."""

    column: str
    feature: str
    kind: ColumnKind
    how: Literal["name", "map", "order"]


def match(inputs: Sequence[FileColumns], mapped: Mapped) -> list[list[MatchedColumn]]:
    """What feeds each input, column by column.

    Raises:
        ContractError: a column has no feature, one that it cannot take, or one that feeds another column too; says all
            of it, with what to write.
    """
    faults: list[str] = []
    found = [_input(each, inputs, mapped, faults) for each in inputs]
    columns = [column for several in found for column in several]
    named = {each.name for each in inputs} | {name for each in inputs for name in each.names}
    for name in sorted(set(mapped.names) - named):
        faults.append(f"{name} is mapped and no input of the model, {closest(name, sorted(named))}")
    features = [column.feature for column in columns]
    faults += [f"{name} feeds several columns" for name in dict.fromkeys(features) if features.count(name) > 1]
    for column in columns:
        if fault := _kind_fault(column, mapped.known):
            faults.append(fault)
    if faults:
        raise ContractError(
            f"its inputs do not fit: {'; '.join(faults)}. Where names differ, say --map COLUMN=FEATURE, once for each; "
            "features that the pipeline's model lacks belong into model.inputs"
        )
    return found


def _input(given: FileColumns, inputs: Sequence[FileColumns], mapped: Mapped, faults: list[str]) -> list[MatchedColumn]:
    if given.names:
        own = [(name, mapped.feature(name)) for name in given.names]
        kinds: list[ColumnKind] = ["text" if at in given.texts else given.kind for at in range(len(own))]
        return _known(
            [
                MatchedColumn(name, said or name, kind, "name" if said is None else "map")
                for (name, said), kind in zip(own, kinds, strict=True)
            ],
            mapped,
            faults,
        )
    told = mapped.feature(given.name)
    if told is None and given.width == 1 and (given.name in mapped.known or len(inputs) > 1):
        return _known([MatchedColumn(given.name, given.name, given.kind, "name")], mapped, faults)
    how: Literal["map", "order"] = "map"
    features: Sequence[str] = () if told is None else [name.strip() for name in told.split(",")]
    if told is not None and told.strip() == ALL:
        features = mapped.inputs
    elif told is None and mapped.order and len(inputs) == 1:
        features, how = mapped.order, "order"
    if not features:
        size = "columns" if given.width is None else f"{given.width} columns"
        faults.append(
            f"{given.name} has {size} without names: list the features in their order, --map {given.name}="
            f"{','.join(mapped.inputs)}, or --map '{given.name}={ALL}' where they are these"
        )
        return []
    if given.width not in (None, len(features)):
        faults.append(f"{given.name} has {given.width} columns, and {len(features)} features are listed for it")
        return []
    single = given.width == 1
    return _known(
        [MatchedColumn(given.name if single else "", name, given.kind, how) for name in features], mapped, faults
    )


def _known(columns: list[MatchedColumn], mapped: Mapped, faults: list[str]) -> list[MatchedColumn]:
    for each in columns:
        if each.feature in mapped.known:
            continue
        like = each.feature.replace("__", ".") if each.how == "name" else each.feature
        known = closest(like, list(mapped.known))
        what = each.feature if each.how != "name" else each.column
        faults.append(f"{what} is no input of the pipeline's model, {known}")
    return [each for each in columns if each.feature in mapped.known]


def _kind_fault(column: MatchedColumn, known: Mapping[str, FeatureKind]) -> str | None:
    """Why a feature cannot feed a column; None where it can."""
    feature = known[column.feature]
    name = column.column or column.feature
    if column.kind == "text":
        if feature in ("text", "integer"):
            return None
        return (
            f"{name} takes texts, and {column.feature} is a {feature}: map a text, or convert the model with a number"
        )
    if feature in ("text", "other"):
        return (
            f"{name} takes numbers, and {column.feature} is {'a text' if feature == 'text' else 'no number'}: put its "
            "encoder into the model that is converted (OneHotEncoder, OrdinalEncoder)"
        )
    if column.kind in ("integer", "boolean") and feature == "number":
        what = "integers" if column.kind == "integer" else "true and false"
        return f"{name} takes {what}, and {column.feature} may have a fraction: convert the model with FloatTensorType"
    return None
