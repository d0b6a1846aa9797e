"""Arms of a plan, opened: their packages fetched and checked, their models loaded, ready to score batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from headrace.domain.models import ensembles
from headrace.domain.models.checks.row_independence import ENOUGH, check_rows
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import ModelPackage, load
from headrace.domain.models.sessions import Matrix, OnnxSession, Scores, Session, SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm, EnsembleMember
from headrace.errors import ContractError

WORTH_S = 0.002
"""A model whose batch takes less is not handed to a thread: that costs about 50 microseconds (ADR 29)."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model package, loaded.

    Attributes:
        package: what was loaded.
        session: runs it.
        matrix: where its inputs stand in the features' columns; None for a stacking model, which is fed scores.
    """

    package: ModelPackage
    session: Session
    matrix: FeatureMatrix | None


class Pass:
    """One batch of features on its way through any number of arms.

    Each distinct list of inputs is made into a matrix once, and a model that several arms share scores once.

    Args:
        columns: of the features topic.
        clock: seconds, that of whoever measures what scoring costs.

    Attributes:
        beside: seconds that models took side by side, beyond those that went by meanwhile.
    """

    def __init__(self, columns: pa.RecordBatch, clock: Callable[[], float]) -> None:
        self.beside = 0.0
        self._columns = columns
        self._clock = clock
        self._matrices: dict[FeatureMatrix, Matrix] = {}
        self._scores: dict[str, Scores] = {}

    def score_together(self, models: Iterable[LoadedModel], workers: Executor) -> None:
        """Have models score side by side: those whose batch takes so long that handing it over counts for nothing.

        None of them runs any more when this returns. Raises as `scores` does.
        """
        rows = self._columns.num_rows
        long = {
            model.package.digest: model
            for model in models
            if model.package.digest not in self._scores and model.session.batch.seconds_per_row * rows >= WORTH_S
        }
        if len(long) < 2:
            return
        matrices = {digest: self._matrix(model) for digest, model in long.items()}
        began = self._clock()
        asked = {digest: workers.submit(self._timed, model.session, matrices[digest]) for digest, model in long.items()}
        wait(asked.values())
        took = self._clock() - began
        results = {digest: each.result() for digest, each in asked.items()}
        self._scores |= {digest: scores for digest, (scores, _) in results.items()}
        self.beside += max(sum(seconds for _, seconds in results.values()) - took, 0.0)

    def scores(self, model: LoadedModel) -> Scores:
        """The model's scores, float64 [n] or [n, classes], in the rows' order."""
        digest = model.package.digest
        if digest not in self._scores:
            self._scores[digest] = model.session.run(self._matrix(model))
        return self._scores[digest]

    def _matrix(self, model: LoadedModel) -> Matrix:
        assert model.matrix is not None
        if model.matrix not in self._matrices:
            self._matrices[model.matrix] = model.matrix.of(self._columns)
        return self._matrices[model.matrix]

    def _timed(self, session: Session, matrix: Matrix) -> tuple[Scores, float]:
        """Scores, and the seconds that they took."""
        began = self._clock()
        return session.run(matrix), self._clock() - began


@dataclass(frozen=True, slots=True)
class OpenArm:
    """An arm that can score.

    Attributes:
        arm: as the plan has it; its name, version and digest are those of the predictions.
        threshold: a score at or above it is a positive decision.
        models: the package of a single model, or the members' in order.
        stacking: the model that makes one score of the members'.
        workers: threads that the members of an ensemble run in, side by side; None: they run one after the other.
    """

    arm: Arm
    threshold: float
    models: tuple[LoadedModel, ...]
    stacking: LoadedModel | None = None
    workers: Executor | None = None

    @property
    def half_width(self) -> float | None:
        """How far a quantity may be from the answer, as the package says; None where none does, and of ensembles."""
        interval = self.models[0].package.manifest.interval if len(self.models) == 1 and not self.arm.members else None
        return None if interval is None else interval.half_width

    @property
    def seconds_per_row(self) -> float:
        """What a row costs, measured when the models were loaded."""
        every = (*self.models, self.stacking) if self.stacking else self.models
        return sum(model.session.batch.seconds_per_row for model in every)

    def score(self, through: Pass) -> Scores:
        """The arm's scores for a batch, float64 [n] or [n, classes], in the rows' order; not all need be finite.

        Raises:
            ContractError: a model does not run on these rows.
        """
        if self.workers is not None:
            through.score_together(self.models, self.workers)
        scores = [through.scores(model) for model in self.models]
        if self.stacking is None:
            return ensembles.combine(self.arm, scores)
        wide = any(given.dtype == "float64" for given in self.stacking.package.manifest.inputs)
        matrix = np.column_stack(scores)
        return self.stacking.session.run(matrix if wide else matrix.astype(np.float32))


class Opener:
    """Opens arms; a model that is open already is not loaded again, whichever arm of whichever plan names it.

    Where models have several threads, those of an ensemble have one each, and run side by side on so many: a model that
    is cut into pieces for two threads costs more than two models that are not.

    Args:
        store: where plans' packages lie.
        settings: how models are run.
        features: schema of the features topic's columns.
    """

    def __init__(self, store: ModelStore, settings: SessionSettings, features: pa.Schema) -> None:
        self._store = store
        self._settings = settings
        self._features = features
        self._workers = ThreadPoolExecutor(settings.threads, "models") if settings.threads > 1 else None
        self._open: dict[tuple[str, bool], LoadedModel] = {}

    def open(self, arm: Arm) -> OpenArm:
        """Fetch, check and load all that an arm needs.

        Raises:
            ContractError: a package is not what the plan says, wants features that are not there, does not load, or
                gives a row a score that depends on the rows beside it; or the arm's members make no ensemble.
            Transient: the model store does not answer.
            ConfigurationError: models cannot be run the way the settings say.
        """
        ensembles.check(arm)
        own = EnsembleMember(arm.model, arm.version, arm.digest, arm.uri)
        if arm.combination == ensembles.STACKING:
            ensembles.check_one_score(arm, self._settings.classes)
            models = tuple(self._model(member, beside=True) for member in arm.members)
            package = self._package(own)
            ensembles.check_stacking(arm, package)
            stacking = self._open.get((package.digest, False))
            stacking = stacking or LoadedModel(package, self._session(package, self._settings), None)
            self._open[package.digest, False] = stacking
            return OpenArm(arm, _threshold(arm, package), models, stacking, self._workers)
        if arm.members:
            assert arm.threshold is not None
            models = tuple(self._model(member, beside=True) for member in arm.members)
            return OpenArm(arm, arm.threshold, models, workers=self._workers)
        model = self._model(own)
        return OpenArm(arm, _threshold(arm, model.package), (model,))

    def keep(self, arms: Iterable[OpenArm]) -> None:
        """Forget the models that none of these arms uses."""
        used = {id(model) for arm in arms for model in (*arm.models, arm.stacking)}
        self._open = {key: model for key, model in self._open.items() if id(model) in used}

    def _model(self, named: EnsembleMember, beside: bool = False) -> LoadedModel:
        """`beside`: others run beside it, so it has one thread."""
        package = self._package(named)
        key = package.digest, beside and self._workers is not None
        found = self._open.get(key)
        if found is None or found.matrix is None:
            matrix = FeatureMatrix.resolve(package.manifest.inputs, self._features, package.title)
            settings = replace(self._settings, threads=1) if beside else self._settings
            found = self._open[key] = LoadedModel(package, self._session(package, settings), matrix)
        return found

    def _session(self, package: ModelPackage, settings: SessionSettings) -> Session:
        """A session whose rows are scored apart. Whoever writes a plan by other ways than ours has tried no model."""
        session = open_session(package, settings)
        if isinstance(session, OnnxSession):  # a forest walks each row by itself
            # Accelerators may round sums of few rows and of many otherwise; the graph is the same.
            judged = session if session.on_cpu else OnnxSession(package, replace(settings, device="cpu"))
            check_rows(judged.run, package.sample(ENOUGH), package.title)
        return session

    def _package(self, named: EnsembleMember) -> ModelPackage:
        known = self._open.get((named.digest, False)) or self._open.get((named.digest, True))
        package = known.package if known else load(self._store.fetch(named.uri, named.digest), named.digest)
        if package.title != named.title:
            raise ContractError(f"the plan names {named.title}, the package is {package.title}")
        return package


def _threshold(arm: Arm, package: ModelPackage) -> float:
    return package.manifest.threshold if arm.threshold is None else arm.threshold
