"""The join with all that it reaches held against bounds: spans by length, records by block and kind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.members import ROOT

SOME = (
    "test_joining.py::test_oracle",
    "test_joining.py::test_old_blocks_are_given_up_when_labels_have_passed",
    "test_joining.py::test_many_predictions_and_reports_of_one_event",
    "test_moving.py::test_state_that_moved_answers_as_if_it_had_always_lain_there",
    "test_moving.py::test_records_that_nobody_folded_are_told_anew",
    "test_moving.py::test_a_state_of_many_blocks_moves",
    "test_checkpoint.py",
)
"""Tests in which all kernels of the join have something to do."""

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


def checked(*words: str) -> subprocess.CompletedProcess[str]:
    """A Python process with bounds checks."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_join_stays_within_its_bounds() -> None:
    """Its own tests pass in a process in which no kernel may reach beyond what it was given."""
    ran = checked("-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/labels/{each}" for each in SOME))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


@pytest.mark.slow
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
