"""What a damaged state of the join would reach, in a process with bounds checks."""

from __future__ import annotations

import pytest

from tests.labels.checked import checked

BROKEN = """
from headrace.streaming.records.batch import slot
from services.labels.join.layout import EVENT, PREDICTION, START
from tests.labels.cases import EXCHANGE, Case, pipeline

case = Case(pipeline())
place = slot(EXCHANGE, 0)


def broken(change):
    service = case.service()
    service.process(case.batch([case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)])]), 0.0)
    join = service._joins[place]
    part = join._parts[0]
    event = part[START : START + EVENT.itemsize].view(EVENT)
    first = int(event["first"][0]) << 1
    prediction = part[first : first + PREDICTION.itemsize].view(PREDICTION)
    change(join, event, prediction)
    told = [case.record("labels", 0, 1_010, 1, labels=[("a", 1.0, 1_010, "bank")])]
    try:
        service.process(case.batch(told, 1), 0.0)
        print("nothing")
    except IndexError as error:
        print(error)


def unfit(join, event, prediction):
    event["first"] = START >> 1


def outside(join, event, prediction):
    prediction["next"] = len(join._parts[0]) >> 1


def long(join, event, prediction):
    prediction["head"] = 1 << 30 | prediction["head"]


def short(join, event, prediction):
    join._memory["sources"]["length"] = 0


def narrow(join, event, prediction):
    join._memory["table"]["width"] = 4


for change in (unfit, outside, long, short, narrow, lambda *parts: None):
    broken(change)
"""


@pytest.mark.kernels
def test_what_lies_beyond_is_not_reached() -> None:
    """A link to a record of another kind, out of its block or too long, and spans too short or of other items, are
    told and not followed.
    """
    ran = checked("-c", BROKEN)
    assert ran.stdout.splitlines() == [
        "a record of another kind",
        "a record outside its block",
        "a record that ends outside its block",
        "an item that its span does not have",
        "an item that its span does not have",
        "nothing",
    ], ran.stderr
