"""Snapshots that a version cannot read although their layout says so: state is rebuilt, or that is refused."""

from __future__ import annotations

import json

import pytest

from headrace.errors import ContractError
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.recovery import Recovery
from headrace.streaming.task.service import Service
from services.release.service import Releases

WHERE = "p.events[0]"


class Reader(Service):
    """Needs `total` in a snapshot."""

    inputs = ("events",)

    def __init__(self) -> None:
        self.total = -1

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        self.total = 0 if snapshot is None else int(json.loads(snapshot)["total"])


def test_a_snapshot_that_can_be_read_is_taken() -> None:
    """With its offset."""
    reader = Reader()
    assert Recovery("", Metrics()).taken_over(reader, WHERE, 0, b'{"total": 7}', 0)
    assert reader.total == 7


@pytest.mark.parametrize("snapshot", [b'{"sum": 7}', b'{"total": "x"}', b"[7]", b"\x00\x01", b'{"total": null}'])
def test_one_that_cannot_is_rebuilt_from_a_whole_log(snapshot: bytes) -> None:
    """The service begins with nothing, and reads the log from its beginning: no crash loop, and no state of zeros."""
    reader = Reader()
    assert not Recovery("", Metrics()).taken_over(reader, WHERE, 0, snapshot, 0)
    assert reader.total == 0


def test_where_the_log_is_not_whole_it_is_refused_with_the_remedy() -> None:
    """Unless an operator says so."""
    with pytest.raises(ContractError, match=r"KeyError: 'total'.*HEADRACE_RECOVER=rebuild_state"):
        Recovery("", Metrics()).taken_over(Reader(), WHERE, 0, b'{"sum": 7}', 5)
    assert not Recovery("rebuild_state", Metrics()).taken_over(Reader(), WHERE, 0, b'{"sum": 7}', 5)


def test_a_state_that_must_be_whole_is_never_built_from_a_part_of_its_log() -> None:
    """Whatever an operator allows: the ledger would begin anew beside its entries."""
    recovery = Recovery("rebuild_state", Metrics(), Releases.needs_whole_log)
    with pytest.raises(ContractError, match="does not help here: entries of the ledger"):
        recovery.taken_over(Reader(), WHERE, 0, b'{"sum": 7}', 5)
    assert not recovery.taken_over(Reader(), WHERE, 0, b'{"sum": 7}', 0)


def test_a_defect_without_a_snapshot_is_none_of_a_layout() -> None:
    """To begin with nothing must work: what fails there fails as it is."""

    class Broken(Reader):
        def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
            raise KeyError("column")

    with pytest.raises(KeyError):
        Recovery("", Metrics()).taken_over(Broken(), WHERE, 0, None, 0)
