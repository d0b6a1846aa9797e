"""Features in, predictions out: the champion of the latest plan scores every event once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from services.inference.matrix import FeatureMatrix
from services.inference.package import ModelPackage, load
from services.inference.sessions import Session, SessionSettings, open_session
from services.inference.store import ModelStore
from services.kit.batch import Batch, Emit, Output, Reject
from services.kit.errors import ConfigurationError, ContractError, Transient
from services.kit.service import Service
from services.score.figures import Figures
from services.score.plans import Arm, Plan, latest

arrays: Any = pa  # their stubs know too few of the overloads
kernels: Any = pc
_log = structlog.get_logger()  # a proxy: configured by the time it is first used

RETRY_AFTER = 5.0  # seconds between two tries to take up a plan whose model cannot be had
COMPUTED = ("prediction_id", "predicted_time", "model", "arm", "plan_version", "score", "decision")


class Score(Service):
    """The score service.

    Its state is the plan alone, which it reads whole at every start, so members need no checkpoints. A plan whose model
    cannot be loaded changes nothing: the one before it goes on, the failure is logged and counted, and tried again.

    Args:
        pipeline: name of the pipeline whose plans it follows.
        features: schema of the features topic's columns; a model that wants others is refused when it is loaded.
        predictions: schema of the predictions topic's columns; those not in `COMPUTED` are passed through.
        store: where plans' packages lie.
        settings: how models are run.
        figures: metrics.

    Raises:
        ContractError: predictions have columns that neither score nor features provide.
    """

    inputs = ("features",)
    facts = ("plans",)

    def __init__(
        self,
        pipeline: str,
        features: pa.Schema,
        predictions: pa.Schema,
        store: ModelStore,
        settings: SessionSettings,
        figures: Figures,
    ) -> None:
        _check_passage(features, predictions)
        self._pipeline = pipeline
        self._features = features
        self._predictions = predictions
        self._store = store
        self._settings = settings
        self._figures = figures
        self._live: _Champion | None = None
        self._wanted: Plan | None = None
        self._retry_at = 0.0
        self.problem: str | None = None
        """Why the newest plan is not played; None when it is."""

    def learn(self, facts: Batch, now: float) -> None:
        """Take up the newest plan, when there is a newer one; the next batch is scored by it, whole."""
        newest = self._wanted or (self._live.plan if self._live else None)
        plan, faults = latest(facts.columns, self._pipeline, newest.version if newest else 0)
        for fault in faults:
            _log.warning("plan refused", reason=fault.reason, detail=fault.detail)
            self._figures.plan_failures.labels(fault.reason).inc()
        if plan is not None:
            self._wanted = plan
            self._take_up(now)

    def tick(self, now: float, at_end: Mapping[int, float]) -> Output:
        """Try again a plan whose model could not be had."""
        if self._wanted is not None and now >= self._retry_at:
            self._take_up(now)
        return Output()

    def ready(self) -> str | None:
        """None while any plan is played: an older model that answers is better than none."""
        if self._live is not None:
            return None
        return self.problem or f"no plan for {self._pipeline}"

    def process(self, batch: Batch, now: float) -> Output:
        """One prediction a row, or a reject where the model gives no finite number."""
        if self._live is None:
            raise Transient(f"no plan for {self._pipeline}")
        champion = self._live
        scores = champion.session.run(champion.matrix.of(batch.columns))
        finite = np.isfinite(scores)
        if finite.all():
            return Output((self._emit(champion, batch, scores, now),))
        rejects = tuple(
            Reject(int(p), int(o), "non_finite_score", f"{champion.package.title} gave {score} for these features")
            for p, o, score in zip(batch.partition[~finite], batch.offset[~finite], scores[~finite], strict=True)
        )
        return Output((self._emit(champion, batch.take(finite), scores[finite], now),), rejects)

    def _take_up(self, now: float) -> None:
        assert self._wanted is not None
        plan = self._wanted
        try:
            live = _open(plan, self._store, self._settings, self._features)
        except (ContractError, Transient, ConfigurationError) as error:
            self.problem = f"plan {plan.version} of {self._pipeline}: {error}"
            self._retry_at = now + RETRY_AFTER
            self._figures.plan_failures.labels(type(error).__name__).inc()
            _log.warning("plan not taken up", plan=plan.version, problem=str(error))
            return
        self._live, self._wanted, self.problem = live, None, None
        self._figures.plan.set(plan.version)
        self._figures.inner_batch.set(live.session.batch.rows)
        self._figures.row_seconds.set(live.session.batch.seconds_per_row)
        _log.info("plan taken up", plan=plan.version, model=live.package.title, digest=live.package.digest)

    def _emit(self, champion: _Champion, batch: Batch, scores: npt.NDArray[np.float64], now: float) -> Emit:
        rows = len(batch)
        package, arm = champion.package, champion.arm
        kind = self._predictions.field
        computed: dict[str, Any] = {
            "prediction_id": prediction_ids(batch.columns["event_id"], package, arm),
            "predicted_time": _repeat(int(now * 1000), rows, pa.int64()).cast(kind("predicted_time").type),
            "model": _model_column(package, rows, kind("model").type),
            "arm": _repeat(arm.arm, rows, kind("arm").type),
            "plan_version": _repeat(champion.plan.version, rows, kind("plan_version").type),
            "score": pa.array(scores, kind("score").type),
            "decision": pa.array(scores >= package.manifest.threshold).cast(kind("decision").type),
        }
        columns = [computed[n] if n in computed else batch.columns[n] for n in self._predictions.names]
        table = pa.RecordBatch.from_arrays(columns, schema=self._predictions)
        return Emit("predictions", table, batch.keys, batch.partition)


def prediction_ids(event_ids: pa.Array[Any], package: ModelPackage, arm: Arm) -> Any:
    """`event/name@version/arm`: derived from these alone, so a repeat carries the same id."""
    return kernels.binary_join_element_wise(event_ids, f"{package.title}/{arm.arm}", "/")


@dataclass(frozen=True, slots=True)
class _Champion:
    """All that a batch is scored with; replaced whole, so that no batch sees half of a switch."""

    plan: Plan
    arm: Arm
    package: ModelPackage
    session: Session
    matrix: FeatureMatrix


def _open(plan: Plan, store: ModelStore, settings: SessionSettings, features: pa.Schema) -> _Champion:
    arm = plan.champion
    package = load(store.fetch(arm.uri, arm.digest), arm.digest)
    named = (package.manifest.name, package.manifest.version)
    if named != (arm.model, arm.version):
        raise ContractError(f"the plan names {arm.model}@{arm.version}, the package is {package.title}")
    matrix = FeatureMatrix.resolve(package.manifest.inputs, features, package.title)
    return _Champion(plan, arm, package, open_session(package, settings), matrix)


def _check_passage(features: pa.Schema, predictions: pa.Schema) -> None:
    for field in predictions:
        if field.name in COMPUTED:
            continue
        if field.name not in features.names:
            raise ContractError(f"predictions have {field.name}, which neither score makes nor features have")
        given = features.field(field.name).type
        if given != field.type:
            raise ContractError(f"{field.name} is {given} in features, but {field.type} in predictions")
    missing = [name for name in COMPUTED if name not in predictions.names]
    if missing:
        raise ContractError(f"predictions lack what score makes: {', '.join(missing)}")


def _repeat(value: str | int, rows: int, kind: pa.DataType) -> Any:
    return arrays.repeat(pa.scalar(value, kind), rows)


def _model_column(package: ModelPackage, rows: int, kind: pa.StructType) -> Any:
    named = {"name": package.manifest.name, "version": package.manifest.version, "digest": package.digest}
    fields = list(kind)
    return pa.StructArray.from_arrays([_repeat(named[f.name], rows, f.type) for f in fields], fields=fields)
