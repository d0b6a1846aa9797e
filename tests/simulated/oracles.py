"""What must be true of a schedule, whatever happened in it. Each breach is a sentence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from tests.simulated.broker import Broker, Offset
from tests.simulated.groups import Part
from tests.simulated.log import Entry, Log, Transaction
from tests.simulated.plan import Plan
from tests.simulated.service import CHECKPOINTS, DEAD_LETTERS, GROUP, TOPICS, decoded

Event = tuple[str, str, int]
"""(id, key, amount); an amount below 0 is refused."""
State = dict[str, list[int]]


class Witness:
    """Sees what is committed, and judges at the end.

    Attributes:
        events: what was published and is readable, by place.
        breaches: what was wrong.
        lossy: whether input was lost that was not answered: then members may refuse to go on, and not all is answered.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.broker: Broker | None = None
        self.events: dict[tuple[int, int], Event] = {}
        self.breaches: list[str] = []
        self.lossy = False
        self._snapshots: dict[tuple[int, int], Mapping[str, object]] = {}

    def note(self, breach: str) -> None:
        """Something was wrong."""
        if breach not in self.breaches:
            self.breaches.append(breach)

    # ---- what is committed -----------------------------------------------------------------------------------------

    def told(self, group: str, part: Part, offset: Offset, transaction: Transaction | None) -> None:
        """An offset was committed: its checkpoint is there, and is the fold of what lies below it."""
        if group != GROUP:
            return
        at, metadata = offset
        spoken = json.loads(metadata or "{}")
        if "checkpoint" not in spoken:
            return
        if spoken["checkpoint"] > at:
            self.note(f"a checkpoint at {spoken['checkpoint']} was committed with offset {at} of {part}")
        chunks = [(where, first + step) for where, first, count in spoken["chunks"] for step in range(count)]
        payload = b""
        for chunk in chunks:
            row = self._chunk(chunk, transaction)
            if row is None or row["partition"] != part[1]:
                self.note(f"the checkpoint that is committed for {part} is not there")
                return
            content = row["payload"]
            assert isinstance(content, bytes)
            payload += content
        found = json.loads(payload.partition(b"\n")[0])
        wanted = self.fold(part[1], spoken["checkpoint"])
        if found != wanted:
            self.note(f"the checkpoint of {part} at {spoken['checkpoint']} is {found}, and the fold is {wanted}")

    def _chunk(self, place: tuple[int, int], transaction: Transaction | None) -> Mapping[str, object] | None:
        if place not in self._snapshots:
            assert self.broker is not None
            log = self.broker.log(CHECKPOINTS, place[0])
            entry = log.entries[place[1]] if place[1] < log.end else None
            if entry is None or entry.control or entry.value is None:
                return None
            if entry.transaction is not None and entry.transaction.outcome is not True:
                return None
            self._snapshots[place] = decoded("checkpoints", [entry.value])[0]
        return self._snapshots[place]

    # ---- at the end ------------------------------------------------------------------------------------------------

    @staticmethod
    def needed(offset: Offset) -> int:
        """The first record that a group needs still: answered ones lie below its checkpoint too."""
        return int(json.loads(offset[1] or "{}").get("checkpoint", 0))

    def fold(self, partition: int, below: int) -> State:
        """The state of a partition after all its events below an offset."""
        state: State = {}
        for (where, offset), (_, key, amount) in sorted(self.events.items()):
            if where == partition and offset < below and amount >= 0:
                tally = state.setdefault(key, [0, 0])
                tally[0] += 1
                tally[1] += amount
        return state

    def wanted(self) -> tuple[dict[str, tuple[str, int, int]], set[str]]:
        """(answers, refusals) that the events deserve: key, count and total by id; ids."""
        states: dict[int, State] = {}
        answers, refusals = {}, set()
        for (partition, _), (name, key, amount) in sorted(self.events.items()):
            if amount < 0:
                refusals.add(name)
                continue
            tally = states.setdefault(partition, {}).setdefault(key, [0, 0])
            tally[0] += 1
            tally[1] += amount
            answers[name] = (key, *tally)
        return answers, refusals

    def judge(self) -> None:
        """Hold all that was written against all that was published."""
        assert self.broker is not None
        once = self.plan.mode == "exactly_once"
        answers, refusals = self.wanted()
        seen: list[str] = []
        for log in self.broker.topics[TOPICS["tallies"]]:
            last: dict[object, int] = {}
            for row in self._rows(log, "tallies"):
                name, key, count = str(row["id"]), row["key"], row["count"]
                assert isinstance(count, int)
                seen.append(name)
                if (key, count, row["total"]) != answers.get(name):
                    self.note(f"{name} was answered {key, count, row['total']}, and deserves {answers.get(name)}")
                if once and count != last.get(key, 0) + 1:
                    self.note(f"the answers of {key} go from {last.get(key, 0)} to {count}")
                last[key] = count
        self._once("answered", seen, set(answers), once)
        by_place = {place: event[0] for place, event in self.events.items()}
        refused = [
            by_place.get((int(str(row["partition"])), int(str(row["offset"]))), "what was no event")
            for log in self.broker.topics[DEAD_LETTERS]
            for row in self._rows(log, "dead-letters")
        ]
        self._once("refused", refused, refusals, once)
        if once:
            self._admitted_once()

    def _once(self, what: str, seen: list[str], wanted: set[str], once: bool) -> None:
        counts = Counter(seen)
        if not self.lossy and (lost := sorted(wanted - set(counts))):
            self.note(f"never {what}: {lost}")
        if strange := sorted(set(counts) - wanted):
            self.note(f"{what} and not to be: {strange}")
        if once and (doubled := sorted(name for name, times in counts.items() if times > 1)):
            self.note(f"{what} more than once: {doubled}")

    def _admitted_once(self) -> None:
        """What is written at admission names each event once."""
        assert self.broker is not None
        for log in self.broker.topics[TOPICS["notes"]]:
            spans = sorted((int(str(row["first"])), int(str(row["last"]))) for row in self._rows(log, "notes"))
            for before, after in pairwise(spans):
                if after[0] <= before[1]:
                    self.note(f"admitted twice: {before} and {after} of partition {log.partition}")
            for (partition, offset), event in self.events.items():
                if (
                    partition == log.partition
                    and not self.lossy
                    and not any(first <= offset <= last for first, last in spans)
                ):
                    self.note(f"{event[0]} was never admitted")

    @staticmethod
    def _rows(log: Log, logical: str) -> list[Mapping[str, object]]:
        entries: list[Entry] = [entry for _, entry in log.visible()]
        return decoded(logical, [entry.value or b"" for entry in entries]) if entries else []
