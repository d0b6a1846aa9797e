"""A version of a registry as a package: fetched, understood, converted, checked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.domain.models.card import ModelCard
from headrace.domain.models.package import Dtype, Input, Manifest, ModelPackage, pack, save
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.spec import expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.registry.column_fit import ColumnFit, fit_columns
from headrace.domain.registry.conversion import ConvertedModel, convert_logged
from headrace.domain.registry.logged_model import LoggedModel, read_logged
from headrace.errors import ContractError
from headrace.operations.models.verification import PackageFolder, checks_of

UNKNOWN = (
    "it was made elsewhere: which events it was fitted on is not known, so comparisons leave none of them out",
    "what its inputs were like in training is not known: drift is measured against the first events that it scores",
)


@dataclass(frozen=True, slots=True)
class UnderstoodModel:
    """A model of MLflow as a package, and what was understood.

    Attributes:
        notes: what people should know, a sentence each.
    """

    package: ModelPackage
    notes: Sequence[str]


def understand(
    folder: Path, contracts: Contracts, rules: ModelRegistry, version: str, origin: dict[str, Any]
) -> UnderstoodModel:
    """The package that a directory of MLflow becomes for a pipeline; the same directory gives the same package.

    Args:
        folder: with its `MLmodel`.
        contracts: of the pipeline.
        rules: of its section `registry`.
        version: of the package.
        origin: where it came from, plain values; it stands among the package's parameters.

    Raises:
        ContractError: it does not fit, or fails a check; says all that is wrong, and what to do.
    """
    pipeline = contracts.pipeline
    if pipeline.model.classes:
        raise ContractError(
            "a pipeline of several classes takes models of MLflow as files alone: fetch the file of the model (mlflow "
            "artifacts download), and add it by headrace models add FILE --classes A,B,C"
        )
    logged = read_logged(folder)
    views = (column.path for view in pipeline.views.values() for column in view.columns)
    known = list(dict.fromkeys([*expand(pipeline), *views]))
    fit = fit_columns(logged.signature, known, rules)
    with tempfile.TemporaryDirectory() as own:
        made = convert_logged(folder, logged, fit.columns, fit.features, rules.positive, Path(own))
    package = _package(contracts, rules, version, origin, logged, fit, made)
    check_package(package, contracts)
    return UnderstoodModel(package, [*_notes(logged, fit, made, expand(pipeline)), *UNKNOWN])


def _package(
    contracts: Contracts,
    rules: ModelRegistry,
    version: str,
    origin: dict[str, Any],
    logged: LoggedModel,
    fit: ColumnFit,
    made: ConvertedModel,
) -> ModelPackage:
    model = contracts.pipeline.model
    said: dict[str, Any] = {
        "flavour": logged.flavour,
        "mlflow_version": logged.mlflow_version,
        "model_id": logged.model_id,
    }
    said |= {"columns": list(fit.columns)} if fit.columns else {}
    said |= {"saved_by": logged.library} if logged.library else {}
    dtype: Dtype = "float64" if made.dtype == "float64" else "float32"
    positive = rules.positive if logged.flavour == "onnx" and not isinstance(rules.positive, float) else None
    manifest = Manifest(
        name=model.name,
        version=version,
        inputs=tuple(Input(name=name, dtype=dtype) for name in fit.features),
        output=made.output,
        positive=positive,
        threshold=model.threshold,
        parameters={"mlflow": {**origin, **{key: value for key, value in said.items() if value}}},
        libraries=made.libraries,
    )
    return pack(manifest, made.graph, card=ModelCard(limits=UNKNOWN))


def check_package(package: ModelPackage, contracts: Contracts) -> None:
    """As `headrace models add` does: files, operators, a trial under limits, its answer, inputs.

    Raises ContractError with all that fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        save(package, Path(folder))
        failed = [
            f"{check.name}: {check.detail}"
            for check in checks_of(PackageFolder(package.title, Path(folder)), contracts)
            if check.state == "failed"
        ]
    if failed:
        raise ContractError(f"it fails its checks: {'; '.join(failed)}")


def _notes(logged: LoggedModel, fit: ColumnFit, made: ConvertedModel, inputs: Sequence[str]) -> list[str]:
    library = "" if not logged.library else f" {logged.library}"
    read = f"flavour {logged.flavour}{library}, {len(fit.features)} inputs"
    if made.parity is not None:
        read += f"; graph and library differ by {made.parity:.1g} at most on {made.rows:,} rows"
    unread = [name for name in inputs if name not in fit.features]
    left = [f"it does not read {', '.join(unread)}, which the pipeline's model names"] if unread else []
    return [read, *fit.notes, *left, *made.notes]
