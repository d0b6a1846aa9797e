"""What a training is ordered: its candidates follow from what was found, and from who answers."""

from __future__ import annotations

from dataclasses import replace

from headrace.domain.control.drift import DriftClosed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import RetrainAsked
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.plans.plans import CHAMPION, Arm
from headrace.domain.retrain.history import TrainingHistory
from headrace.domain.retrain.trigger import trigger_of
from headrace.domain.training.job.order import TrainingOrder, parse_order
from services.retrain.order import order_of

DIGEST = "sha256:" + "a" * 64
ARM = Arm(CHAMPION, "m", "7", DIGEST, "file:///models/m/7")


def ordered(since: int | None, champion: Arm | None) -> TrainingOrder:
    """An order, as a service reads it back."""
    made = order_of("p", Retrain(), since, champion, "r-1", 0, {0: (0, 9)}, 1)
    assert parse_order(made.dump()) == made
    return made


def test_candidates() -> None:
    """The last window, all rows with old ones fading, those since a change, and the champion learning on since then."""
    assert [each.kind for each in ordered(None, None).windows] == ["sliding", "growing"]
    assert [each.kind for each in ordered(None, ARM).windows] == ["sliding", "growing", "continued"]
    *_, since, on = ordered(55, ARM).windows
    assert (since.kind, since.start) == ("since", 55)
    assert (on.kind, on.start) == ("continued", 55)
    assert (on.base_name, on.base_version, on.base_digest) == ("m", "7", DIGEST), "the parent belongs to the order"
    mean = replace(ARM, combination="mean", uri="")
    assert [each.kind for each in ordered(None, mean).windows] == ["sliding", "growing"], "a mean is no package"


def test_since_when() -> None:
    """As the trigger says; else as the open incident does that was told last, which no dark model's is."""
    history = TrainingHistory()
    person = event("a", RetrainAsked("person", "why not"))
    trigger = trigger_of(person)
    assert trigger is not None
    assert history.since(trigger) is None
    for name, stream, began in (("1", "predictions", 10), ("2", "outcomes", 20), ("3", "shadow-predictions", 30)):
        opened = event(f"drift/{name}", DriftOpened(name, stream, reached=began + 5, began=began, model="m@7"))
        history.fold(opened)
        told = trigger_of(opened)
        assert told is not None
        assert history.since(told) == began
    assert history.since(trigger) == 20
    history.fold(event("closed/2", DriftClosed("2", "outcomes", reached=99)))
    assert history.since(trigger) == 10
    history.fold(event("closed/1", DriftClosed("1", "predictions", reached=99)))
    assert history.since(trigger) is None


def event(name: str, finding: RetrainAsked | DriftOpened | DriftClosed) -> ControlEvent:
    """Something on the control topic."""
    return ControlEvent(name, "p", 1, "a test", finding)
