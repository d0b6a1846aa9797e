"""What is said of trainings: who asks for one, what is answered, and what becomes of it.

| type | said when |
|---|---|
| `retrain_asked` | a person, the schedule, the volume or an incident whose training came to nothing asks for one |
| `retrain_started` | a trigger is answered by a training |
| `retrain_ignored` | it is answered by a rule that keeps it from starting one |
| `retrain_progress` | the training comes to its next stage |
| `retrain_finished` | it made a package |
| `retrain_failed` | it made none |
| `model_registered` | a package is there that may be judged |
| `model_refused` | a version of a registry of others was to be one, and does not fit |
| `model_evaluated` | it was judged on recent outcomes |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headrace.domain.control.base import ControlFinding


@dataclass(frozen=True, slots=True)
class RetrainAsked(ControlFinding):
    """A training is asked for.

    Attributes:
        source: `person`, `schedule` or `volume`; `harm` where an incident asks again, whose training came to nothing.
        reason: why, in a sentence.
        at: event time at which it was due or asked, milliseconds; None: rules go by the wall clock, or it is not known.
        incident, model, stream, since: of an incident, as `drift` found its harm; empty, and None, of all else.
    """

    type: ClassVar[str] = "retrain_asked"

    source: str = ""
    reason: str = ""
    at: int | None = None
    incident: str = ""
    model: str = ""
    stream: str = ""
    since: int | None = None


@dataclass(frozen=True, slots=True)
class RetrainStarted(ControlFinding):
    """The answer to a trigger: a training.

    Attributes:
        trigger: the event that it answers; that event's identity.
        source: what kind of trigger that is: `drift`, `harm`, `schedule`, `volume` or `person`.
        run: identity of the training.
        order: JSON, what the job is told; a job that is started again is told the same.
        chain: how many trainings in a row began with a finding about the model that the one before had made.
        used: trainings of this calendar month (UTC), this one among them.
        per_month: as many as there may be; None: no bound.
        at: event time by which the rules went, milliseconds; None: they went by the wall clock.
    """

    type: ClassVar[str] = "retrain_started"

    trigger: str = ""
    source: str = ""
    run: str = ""
    order: str = ""
    chain: int = 0
    used: int = 0
    per_month: int | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class RetrainIgnored(ControlFinding):
    """The answer to a trigger: none, by a rule.

    Attributes:
        trigger, source, at: as of `RetrainStarted`.
        rule: its name, as `domain.retrain.policy` has them.
        because: the same in a sentence.
        until: milliseconds until when the rule holds, by the clock of `at`; None: no time ends it.
    """

    type: ClassVar[str] = "retrain_ignored"

    trigger: str = ""
    source: str = ""
    rule: str = ""
    because: str = ""
    until: int | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class RetrainProgress(ControlFinding):
    """A training is at a stage, told once for each; `said`: JSON, what the job said of it."""

    type: ClassVar[str] = "retrain_progress"

    run: str = ""
    stage: str = ""
    said: str = "{}"


@dataclass(frozen=True, slots=True)
class RetrainFinished(ControlFinding):
    """A training made a package.

    Attributes:
        run: identity of the training.
        model: `name@version`.
        digest: the identity of the package.
        seconds: from the answer to the end of the job, by the clock.
        cpu_s: seconds of processors that the job took.
        log: where the job's log is, on the machine of the service.
        result: JSON, what the job said at its end, but for its order.
        at: event time of the end, as of `RetrainStarted`.
    """

    type: ClassVar[str] = "retrain_finished"

    run: str = ""
    model: str = ""
    digest: str = ""
    seconds: float = 0.0
    cpu_s: float = 0.0
    log: str = ""
    result: str = "{}"
    at: int | None = None


@dataclass(frozen=True, slots=True)
class RetrainFailed(ControlFinding):
    """A training made none; `problem` says why, `log` where the job's log is, `at` as of `RetrainFinished`."""

    type: ClassVar[str] = "retrain_failed"

    run: str = ""
    problem: str = ""
    seconds: float = 0.0
    log: str = ""
    at: int | None = None


@dataclass(frozen=True, slots=True)
class ModelRegistered(ControlFinding):
    """A package is there that may be judged.

    Attributes:
        model: `name@version`.
        digest: the identity of the package.
        uri: where it is.
        run: the training that made it; empty where a person did.
        asked_by: the person who asked for that training; empty: none did.
        figures: JSON, what it did on rows that were held out, by the name of the figure.
        at: event time as of `RetrainFinished`; None where a person registered it.
        source: identity of the version of a registry of others that it was made of; empty: it was made here.
    """

    type: ClassVar[str] = "model_registered"

    model: str = ""
    digest: str = ""
    uri: str = ""
    run: str = ""
    asked_by: str = ""
    figures: str = "{}"
    at: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class ModelRefused(ControlFinding):
    """A version of a registry of others does not become a package.

    Attributes:
        model: `name@version`, as it would be called.
        source: identity of the version.
        because: all that does not fit, and what to do about it.
    """

    type: ClassVar[str] = "model_refused"

    model: str = ""
    source: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class ModelEvaluated(ControlFinding):
    """It was judged on recent outcomes, beside the champion.

    Attributes:
        model, digest, run: as of `ModelRegistered`.
        verdict: `passed`, `failed`, or `unknown` where a gate cannot be told, or the evaluation itself failed.
        because: the gates that it did not pass, or what went wrong.
        figures: JSON, those of both models on the same events, by name.
        gates: JSON, an answer to each gate: `release.inputs.GateAnswer`.
        champion: whom it was held against, `name@version`.
        outcomes: events that both scored.
        offsets: JSON, of the outcomes that were read, by partition: [from, to).
        log: the job's.
        look: how often outcomes were looked at for this registration, with this time; 0: there were none to look at.
        again: at how many outcomes it is looked at again; None: it is not.
        until: event time, milliseconds, after which it is not, and a person has to decide; None: it is not looked at
            again anyway.
    """

    type: ClassVar[str] = "model_evaluated"

    model: str = ""
    digest: str = ""
    run: str = ""
    verdict: str = ""
    because: str = ""
    figures: str = "{}"
    gates: str = "[]"
    champion: str = ""
    outcomes: int = 0
    offsets: str = "{}"
    log: str = ""
    look: int = 1
    again: int | None = None
    until: int | None = None


RETRAIN_KINDS = (
    RetrainAsked,
    RetrainStarted,
    RetrainIgnored,
    RetrainProgress,
    RetrainFinished,
    RetrainFailed,
    ModelRegistered,
    ModelRefused,
    ModelEvaluated,
)
