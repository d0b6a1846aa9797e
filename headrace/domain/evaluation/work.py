"""Carries an order out: outcomes are read, both models score them, gates are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headrace.domain.evaluation.back_test import agreement_of, back_test, figures_of
from headrace.domain.evaluation.golden_rows import golden_rows, latency_of
from headrace.domain.evaluation.order import EvaluationOrder, EvaluationResult, FigurePair
from headrace.domain.models.model_loader import OpenArm, Opener
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import history, newest
from headrace.domain.plans.plans import Arm
from headrace.domain.release.gates import answer_gates, of_package
from headrace.domain.training.job.limits import memory_now
from headrace.domain.training.job.order import Stage, TrainingOrder
from headrace.domain.training.job.outcome_topic import fixed, read_outcomes
from headrace.domain.training.outcome_rows import events_of
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.kafka.connection import Connection

OF_EVENTS = ("entity",)


def evaluate_package(
    order: EvaluationOrder,
    connection: Connection,
    contracts: Contracts,
    store: ModelStore,
    told: Callable[[Stage], None] = lambda stage: None,
) -> EvaluationResult:
    """Judge a package by recent outcomes of the pipeline's champion.

    Args:
        order: what is asked for.
        connection, contracts: where the pipeline's topics are.
        store: where both packages lie.
        told: what is done now.

    Raises:
        ConfigurationError: there are no outcomes, or no champion.
        ContractError: records are gone, or the champion's package cannot be opened on these columns. A candidate that
            cannot be is judged: it fails.
        Transient: Kafka or the model store does not answer.
    """
    pipeline = contracts.pipeline
    rules = pipeline.release or Release()
    champion_arm = order.champion or _champion(order, connection, contracts)
    order = replace(order, champion=champion_arm)
    read_as = fixed(_outcomes_of(order), connection, contracts)
    order = replace(order, offsets=read_as.offsets, exchange_partitions=read_as.exchange_partitions)
    told("open")
    schema = contracts.channel("outcomes").codec.reader.arrow
    opener = Opener(store, SessionSettings(device="cpu", classes=pipeline.model.classes), schema)
    before = memory_now()
    try:
        candidate = opener.open(order.candidate)
    except ContractError as problem:
        return _not_opened(order, str(problem))
    memory = max(memory_now() - before, 0)  # before anything larger is read
    order = replace(order, start=_start(order, candidate))
    read_as = replace(read_as, start=order.start)
    champion = opener.open(champion_arm)
    told("read")
    carried = {field.name for field in contracts.channel("features").codec.reader.arrow}
    read = read_outcomes(read_as, connection, contracts, further=(*OF_EVENTS, *carried))
    as_of = read.known.moment if order.as_of is None else order.as_of
    events, labels = events_of(read.rows, pipeline.labels, as_of)
    told("score")
    tested = back_test(events, labels, champion, candidate, pipeline)
    latency = latency_of(candidate, golden_rows(tested.columns)) if len(tested) else None
    told("gates")
    figures = figures_of(rules, tested, pipeline)
    agreement = agreement_of(rules, champion, candidate.models[0].package)
    figures = replace(figures, latency=latency, memory=memory, agreement=agreement)
    times = tested.times
    return EvaluationResult(
        order=order,
        gates=answer_gates(rules, figures, order.look),
        outcomes=len(tested),
        known=tested.known,
        unanswered=tested.unanswered[0],
        start=int(times[0]) if len(times) else None,
        end=int(times[-1]) if len(times) else None,
        figures={
            name: FigurePair(champion=found.a, candidate=found.b, low=found.interval.low, high=found.interval.high)
            for name, found in figures.differences.items()
        },
        latency=latency,
        memory=memory,
        agreement=agreement,
        as_of=as_of,
    )


def _not_opened(order: EvaluationOrder, problem: str) -> EvaluationResult:
    """A package that cannot be opened has failed, and nothing else is known of it."""
    return EvaluationResult(
        order=order,
        gates=of_package(problem),
        outcomes=0,
        known=0,
        unanswered=0,
        start=None,
        end=None,
        figures={},
        latency=None,
        memory=0,
        agreement=None,
    )


def _start(order: EvaluationOrder, candidate: OpenArm) -> int | None:
    """From which event time on: what came after the newest row that the candidate was fitted on, where it says so."""
    if order.start is not None or len(candidate.models) != 1:
        return order.start
    training = candidate.models[0].package.manifest.training
    return training.end + 1 if training.known else None


def _outcomes_of(order: EvaluationOrder) -> TrainingOrder:
    """Which outcomes are read, as a training would."""
    return TrainingOrder(
        pipeline=order.pipeline,
        version=order.candidate.version,
        offsets=order.offsets,
        exchange_partitions=order.exchange_partitions,
        start=order.start,
        stop=order.stop,
        as_of=order.as_of,
        revision="-",
    )


def _champion(order: EvaluationOrder, connection: Connection, contracts: Contracts) -> Arm:
    held = newest(history(connection, contracts.channel("plans"), contracts.pipeline.name))
    if held is None or held.plan is None:
        raise ConfigurationError(
            f"{contracts.pipeline.name} has no plan, so no champion to hold {order.candidate.title} against: "
            "make a first one by `headrace plan set`"
        )
    return held.plan.champion
