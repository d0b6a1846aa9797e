"""A partition's life: which states follow which, what each allows, and that nobody but the task writes to it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.commitment import CheckpointPlace, Commitment
from headrace.streaming.task.task import LEGAL, IllegalTransition, Pending, State, Task
from tests.sources import ROOT, sources

HOME = ROOT / "headrace" / "streaming" / "task" / "task.py"


def waiting(*offsets: int) -> Pending:
    """Rows at these offsets."""
    count, rows = len(offsets), np.array(offsets, np.int64)
    columns = pa.RecordBatch.from_pydict({"offset": rows})
    nobody = np.zeros(count, np.int32)
    return Pending(Batch("events", columns, pa.nulls(count, pa.binary()), nobody, rows, rows), [])


def task_in(state: State) -> Task:
    """A task that has come to a state, from offset 5 on, all committed but in `HELD`, where 9 waits."""
    read = 3 if state is State.RESTORING else 5
    follows = state is State.FOLLOWING
    task = Task(0, "events[0]", True, read=read, admitted=5, replay_until=5, readmit_until=5, follows=follows)
    task.post_commit(task.prepare_commit())
    if state is State.HELD:
        task.advance(5, 9, 0, 1.0)
        task.hold(waiting(9))
        task.admit()
    elif state is State.SUSPENDED:
        task.suspend()
    elif state is State.ENDED:
        task.end("next")
        task.post_commit(task.prepare_commit())
    elif state is State.CLOSED:
        task.close_clean()
    assert task.state is state
    return task


ACTIONS: dict[str, tuple[Callable[[Task], object], dict[State, State]]] = {
    "read on": (lambda task: task.advance(20, 20, 0, 2.0), {
        State.FOLLOWING: State.FOLLOWING,
        State.RESTORING: State.RUNNING, State.RUNNING: State.RUNNING, State.HELD: State.HELD}),
    "read on in the past": (lambda task: task.advance(task.read, task.read, 0, 2.0), {
        State.FOLLOWING: State.FOLLOWING,
        State.RESTORING: State.RESTORING, State.RUNNING: State.RUNNING, State.HELD: State.HELD}),
    "meet the end": (lambda task: task.meet_end(20, 2.0), {
        State.FOLLOWING: State.FOLLOWING,
        State.RESTORING: State.RUNNING, State.RUNNING: State.RUNNING, State.HELD: State.HELD}),
    "admit": (Task.admit, {
        state: state for state in (State.FOLLOWING, State.RESTORING, State.RUNNING, State.HELD)}),
    "follow": (lambda task: task.follow(25, 30), {State.FOLLOWING: State.FOLLOWING}),
    "answer on": (Task.answer_on, {State.FOLLOWING: State.RUNNING}),
    "answer on further on": (lambda task: (task.follow(25, 30), task.answer_on()), {State.FOLLOWING: State.RESTORING}),
    "end": (lambda task: task.end("next"), dict.fromkeys((State.RESTORING, State.RUNNING, State.HELD), State.ENDED)),
    "hold": (lambda task: task.hold(waiting(20)), {State.RUNNING: State.HELD, State.HELD: State.HELD}),
    "release": (Task.release, {State.HELD: State.RUNNING}),
    "commit": (lambda task: task.post_commit(task.prepare_commit()), {
        state: state for state in set(State) - {State.SUSPENDED, State.CLOSED}}),
    "suspend": (Task.suspend, {State.RUNNING: State.SUSPENDED}),
    "resume": (Task.resume, {State.SUSPENDED: State.RUNNING}),
    "close clean": (Task.close_clean, dict.fromkeys(set(State) - {State.HELD, State.CLOSED}, State.CLOSED)),
    "close dirty": (Task.close_dirty, dict.fromkeys(set(State) - {State.CLOSED}, State.CLOSED)),
}  # fmt: skip  # what is done: where it is allowed, and where to it leads


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", ACTIONS)
def test_each_state_allows_what_it_should_and_nothing_else(action: str, state: State) -> None:
    """What is done leads where the table says; elsewhere it is refused, and nothing of the task has changed."""
    act, allowed = ACTIONS[action]
    task = task_in(state)
    before = {part.name: getattr(task, part.name) for part in fields(task)}
    if state in allowed:
        act(task)
        assert task.state is allowed[state]
        return
    with pytest.raises(IllegalTransition, match=r"events\[0\]"):
        act(task)
    assert {part.name: getattr(task, part.name) for part in fields(task)} == before


def test_every_transition_is_taken_by_some_action() -> None:
    """The legal transitions are those that something leads to: none stands in the table for nothing."""
    led = {(state, after) for _, allowed in ACTIONS.values() for state, after in allowed.items()}
    assert {(state, after) for state, after in led if state is not after} == {
        (state, after) for state, following in LEGAL.items() for after in following
    }


def test_a_partition_restores_until_it_meets_its_past() -> None:
    """Below the committed offset records are folded again, and no commit says anything; from there on one does."""
    task = Task(3, "events[3]", True, read=5, admitted=8, replay_until=9, readmit_until=12)
    task.advance(5, 7, 0, 1.0)
    assert task.restoring
    assert task.prepare_commit() is None
    task.meet_end(9, 2.0)
    assert not task.restoring
    assert task.prepare_commit() == Commitment(9, 9)


def test_one_that_takes_over_says_what_it_has_told() -> None:
    """What the group before answered is committed in silence as it is folded, then what of its rows was told anew."""
    task = Task(0, "events[0]", True, read=0, admitted=0, replay_until=0, readmit_until=0, follows=True)
    task.follow(5, 9)
    task.advance(0, 2, 0, 1.0)
    task.admit()
    task.answer_on()
    assert task.restoring
    said = task.prepare_commit()
    assert said == Commitment(3, 3, silent=True)
    task.post_commit(said)
    task.advance(3, 5, 0, 2.0)
    task.admit()
    said = task.prepare_commit()
    assert said == Commitment(6, 9, told=6)
    assert Commitment.read(6, said.metadata()) == said
    task.post_commit(said)
    task.advance(6, 8, 0, 3.0)
    task.admit()
    assert task.prepare_commit() == Commitment(9, 9)


def test_a_step_back_is_refused() -> None:
    """A record that was read before is not read again: it would be folded twice."""
    with pytest.raises(ContractError, match=r"events\[0\] went back from 5 to 4"):
        task_in(State.RUNNING).advance(4, 6, 0, 1.0)


def test_what_is_not_committed_cannot_be_closed_clean() -> None:
    """Work that no commit tells of is either committed first, or given up in so many words."""
    task = task_in(State.RUNNING)
    task.advance(5, 5, 0, 1.0)
    task.admit()
    for way in (task.suspend, task.close_clean):
        with pytest.raises(IllegalTransition, match="not committed"):
            way()
    task.close_dirty()
    assert task.state is State.CLOSED


def test_a_suspended_partition_comes_back_only_to_where_it_was() -> None:
    """Where another member committed meanwhile, its state is of no use."""
    task = task_in(State.SUSPENDED)
    assert task.resumes(Commitment(5, 5))
    assert not task.resumes(Commitment(6, 6))
    assert not task.resumes(Commitment(5, 5, CheckpointPlace(5, ((0, 1),))))


steps = st.lists(st.sampled_from(["read", "end", "hold", "release", "commit", "checkpoint"]), max_size=30)


@given(steps, st.integers(0, 9), st.integers(0, 9))
def test_offsets_never_go_back_and_stay_in_order(story: list[str], replay: int, ahead: int) -> None:
    """However a life goes, what is committed never goes back, and answered <= admitted; a checkpoint is not ahead."""
    until = replay + ahead
    task = Task(0, "events[0]", True, read=0, admitted=until, replay_until=replay, readmit_until=until)
    last = Commitment(replay, until)
    for now, step in enumerate(story):
        if step == "read":
            task.advance(task.read, task.read + 1, 0, now)
            if task.held:  # what was polled before the pause waits behind what waits
                task.hold(waiting(task.read - 2, task.read - 1))
            task.admit()
        elif step == "end":
            task.meet_end(task.read + 1, now)
            assert (task.end_told_at is None) == bool(task.held)
        elif step == "hold" and task.state is State.RUNNING:
            task.advance(task.read, task.read, 0, now)
            task.hold(waiting(task.read - 1))
            task.admit()
        elif step == "release" and task.held:
            assert task.release()[0].batch.offset[0] >= last.offset
        elif step in ("commit", "checkpoint"):
            fresh = (
                CheckpointPlace(task.processed, ((0, now),))
                if step == "checkpoint" and task.outran_checkpoint
                else None
            )
            said = task.prepare_commit(fresh)
            if said is not None:
                assert said.offset >= last.offset
                assert said.admitted >= said.offset
                assert said.place is None or said.place.at <= said.offset
                last = said
            task.post_commit(said)
            if fresh is not None:
                task.note_checkpoint(task.rows_since_checkpoint, now)
            assert not task.dirty


def writes(source: str, names: set[str]) -> Iterator[int]:
    """Lines that write to an attribute of one of these names of anything but `self`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=attr, ctx=ast.Store() | ast.Del(), value=value) if attr in names:
                if not isinstance(value, ast.Name) or value.id != "self":
                    yield node.lineno
            case ast.Call(func=func, args=args) if "setattr" in ast.unparse(func):
                if any(isinstance(part, ast.Constant) and part.value in names for part in args):
                    yield node.lineno


NAMES = {part.name for part in fields(Task)}


def test_nobody_but_the_task_writes_to_it() -> None:
    """No source of the streaming library sets an offset, a state or anything else of a task from outside."""
    others = [path for path in (ROOT / "headrace" / "streaming").rglob("*.py") if path != HOME]
    assert [f"{path.name}:{line}" for path in others for line in writes(path.read_text(), NAMES)] == []


def test_nobody_elsewhere_knows_tasks() -> None:
    """What is outside of `streaming/task` has no task that it could write to."""
    elsewhere = [path for path in sources() if path.parent != HOME.parent]
    assert [path for path in elsewhere if "streaming.task.task" in path.read_text()] == []


@pytest.mark.parametrize(
    "line",
    [
        "task.admitted = 7",
        "task.read += 1",
        "self.owned[3].held = ()",
        "del task.place",
        "setattr(task, 'read', 7)",
        "a, task.worked = 1, True",
        "for task.read in range(3): pass",
    ],
)
def test_the_sweep_finds_a_write(line: str) -> None:
    """Each way to write to a task is noticed."""
    assert list(writes(line, NAMES)) == [1]
