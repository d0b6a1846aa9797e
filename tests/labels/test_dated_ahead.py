"""Labels and predictions that are dated ahead of all others move no clock alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.streaming.records.batch import slot
from services.labels.service import Labelling
from tests.labels.cases import EXCHANGE, MATURES, Case, pipeline
from tests.labels.test_routing import HOUR, labels, rows_of

DAY = 24 * HOUR
NOW = 20_000 * DAY


def progress(service: Labelling, batch: Any) -> list[int]:
    """How far the source is after this batch, as the exchange is told."""
    (emit,) = service.process(replace(batch, timestamp=np.full(len(batch), NOW)), NOW / 1000).emits
    return sorted(set(emit.columns["progress"].cast("int64").to_pylist()))


@pytest.mark.parametrize("at", [0, 100, 199])
@pytest.mark.parametrize("ahead", [3 * DAY, 1_000 * DAY])
def test_a_label_known_now_in_a_backfill(at: int, ahead: int) -> None:
    """A label of today among those of years ago makes no event mature: all later ones would be presumed first."""
    times = NOW - 2_000 * DAY + np.arange(200) * HOUR
    dated = np.insert(times, at, times[at] + ahead).tolist()
    (told,) = progress(Case(pipeline()).service(), labels([(f"e{n}", 1.0, time) for n, time in enumerate(dated)]))
    assert told == times[-1]
    (told,) = progress(
        Case(pipeline()).service(), labels([(f"e{n}", 1.0, time) for n, time in enumerate(times.tolist())])
    )
    assert told == times[-1]


def test_a_label_dated_tomorrow() -> None:
    """A label that its source dates later than the broker took it counts as known now."""
    (told,) = progress(Case(pipeline()).service(), labels([("a", 1.0, NOW - 5), ("b", 1.0, NOW + 20 * HOUR)]))
    assert told == NOW


def test_a_prediction_of_an_event_dated_ahead() -> None:
    """Nor does an event dated ahead, by its prediction."""
    case = Case(pipeline())
    times = NOW - 2_000 * DAY + np.arange(100) * HOUR
    dated = np.insert(times, 50, NOW).tolist()
    sent = [case.prediction(f"e{n}", time) for n, time in enumerate(dated)]
    (told,) = progress(case.service(), rows_of("predictions", 0, sent, case.predictions))
    assert told == times[-1]


def test_the_first_record_after_a_restart() -> None:
    """A member that has just begun takes one record far ahead for no progress while its joins know of less."""
    case = Case(pipeline())
    first, second = case.service(), case.service()
    old = NOW - 2_000 * DAY
    known = [case.record("predictions", part, old, NOW) for part in range(2)]
    first.process(case.batch(known), NOW / 1000)
    second.restore(slot(EXCHANGE, 0), first.snapshot(slot(EXCHANGE, 0)))
    for service, wanted in ((first, old), (second, old), (case.service(), NOW - 9)):
        sent = rows_of("predictions", 0, [case.prediction("e", NOW - 9)], case.predictions)
        assert progress(service, sent) == [wanted]
        again = [case.prediction(f"e{n}", NOW - n) for n in (5, 3)]
        assert progress(service, rows_of("predictions", 0, again, case.predictions, first=1)) == [NOW - 3]


def test_a_first_label_known_now_is_taken_back() -> None:
    """Where the first label of all is one of today, and all stood still before those of last year came, events
    that come then wait for their labels.
    """
    case = Case(pipeline())
    old = NOW - 2_000 * DAY
    sources = [("labels", 0), ("labels", 1), ("predictions", 0), ("predictions", 1)]
    idle = [
        case.record(name, part, NOW if (name, part) == ("labels", 0) else 0, NOW, idle=True) for name, part in sources
    ]
    came = [case.record(name, part, old, NOW) for name, part in sources]
    made = case.record("predictions", 0, old, NOW, [case.prediction("a", old)])
    service = case.service()
    output = service.process(case.batch([case.record("labels", 0, NOW, NOW), *idle, *came, made]), NOW / 1000)
    assert not [emit for emit in output.emits if emit.topic == "outcomes"]
    later = [case.record(name, part, old + MATURES, NOW) for name, part in sources]
    (found,) = [emit for emit in service.process(case.batch(later, 20), NOW / 1000).emits if emit.topic == "outcomes"]
    (row,) = found.columns.select(["state", "as_of"]).to_pylist()
    assert row["state"] == "presumed"
    assert row["as_of"].timestamp() * 1000 <= old + MATURES


def test_few_labels_agree() -> None:
    """The first labels of a source tell how far it is; one far beyond most of them does not."""
    service = Case(pipeline()).service()
    assert progress(service, labels([("a", 1.0, NOW - 90 * DAY)])) == [NOW - 90 * DAY]
    assert progress(service, labels([("b", 1.0, NOW - 89 * DAY)], first=1)) == [NOW - 89 * DAY]
    assert progress(service, labels([("c", 1.0, NOW - 2)], first=2)) == [NOW - 89 * DAY]
