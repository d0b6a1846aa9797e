"""One schedule: members, a publisher and a broker on one clock, and who goes next, decided by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib import import_module
from random import Random
from typing import NamedTuple

from confluent_kafka import KafkaError

from tests.simulated.broker import Broker
from tests.simulated.decision_scene import DecisionScene
from tests.simulated.groups import Group
from tests.simulated.incremental_groups import IncrementalGroup
from tests.simulated.meeting_scene import MeetingScene
from tests.simulated.member import Cast, Life, Member
from tests.simulated.operator import Operator
from tests.simulated.plan import AT_CALLS, AT_TURNS, Plan
from tests.simulated.process import ANSWERED, Process
from tests.simulated.publisher import Publisher
from tests.simulated.refusals import refused
from tests.simulated.scene import CHECKPOINTS, Scene
from tests.simulated.tally_scene import TallyScene

LATENCY_S = 0.0005
"""What a call takes."""
CALM_S = 600.0
"""After faults have ended, all is answered within this."""
CALM_TURNS = 3_000
LOSSY_TURNS = 60
MOST_FAULTS = 20
MOST_TURNS, FROZEN_TURNS = 6, 30
"""How many turns the others have in the middle of a call, however long it takes; and while its process is frozen."""
_DECIDING = ("produce", "send_offsets", "commit", "commit offsets", "abort", "committed", "poll")
CRITICAL = frozenset(what + end for what in _DECIDING for end in ("", ANSWERED))
"""Calls that most often decide something: at the others, faults are so much less likely:"""
SELDOM = 0.2
RESTING = 0.8
"""How likely a member that found nothing to do the last time is left alone while nothing changes."""
DEEPEST = 3
"""How many calls may be overtaken at a time."""
LAST_ROUNDS = 4
"""Rounds after the last answer, for what should not come any more."""


SCENES: Mapping[str, type[Scene]] = {"tally": TallyScene, "meeting": MeetingScene, "decision": DecisionScene}
PRODUCT: Mapping[str, str] = {
    "intake": "IntakeScene",
    "labels": "LabelsScene",
    "views": "ViewsScene",
    "score": "ScoreScene",
    "enrich": "EnrichScene",
    "revision": "RevisionScene",
    "handover": "HandoverScene",
    "shadow": "ShadowScene",
    "scorecards": "ScorecardsScene",
    "drift": "DriftScene",
    "release": "ReleaseScene",
    "notify": "NotifyScene",
    "breach": "BreachScene",
    "kpi": "KpiScene",
}
"""Scenes of the product's services, each in a module of its own below `product`."""


def scene_of(plan: Plan) -> Scene:
    """What a schedule is about."""
    if plan.scene in SCENES:
        return SCENES[plan.scene](plan)
    # Imported when asked for: what they bring takes longer than a hundred small schedules.
    module = import_module(f"tests.simulated.product.{plan.scene}_scene")
    made: Scene = getattr(module, PRODUCT[plan.scene])(plan)
    return made


class Fault(NamedTuple):
    """Something that went wrong: its number, what, to whom, when, and at which call."""

    number: int
    kind: str
    member: str
    at: float
    where: str


class World:
    """Runs one schedule.

    Attributes:
        fired: what went wrong.
        ends: how processes ended.
    """

    def __init__(self, plan: Plan, cast: Cast) -> None:
        self.plan = plan
        self.cast = cast
        self.now = 0.0
        self.chance = Random(f"order {plan.seed}")
        self._faults = Random(f"faults {plan.seed}")
        self._drawn = 0
        self.calm = False
        self.started = 0
        self.fired: list[Fault] = []
        self.ends: list[str] = []
        self.scene = scene_of(plan)
        self.broker = Broker(self.chance, self.scene.told, self.scene.note)
        self.scene.open(self.broker)
        self.members = [Member(self, name) for name in self.scene.names()]
        self.lives: list[Life] = []
        self.publisher = Publisher(plan, self.broker, self.scene)
        self.operator = Operator(self)
        self._busy: list[Life | None] = []
        self._empty: dict[int, float] = {}
        self._slow_until = 0.0
        self._call_rates = self._cumulated(AT_CALLS)
        self._turn_rates = self._cumulated(AT_TURNS)

    def run(self) -> None:
        """The whole schedule: faults for so many turns, then calm until all is done, then the verdict."""
        for _ in range(self.plan.turns):
            self._turn_fault()
            self._turn()
        self._calm_down()
        if not self._settle():
            self.scene.note(f"no progress for {CALM_S:g} s after faults had ended: {self._standing()}")
        for life in list(self.lives):
            life.stop()
        for _ in range(50):
            if not self.lives:
                break
            for life in list(self.lives):
                life.turn()
        self._finish_transactions()
        self.scene.judge()

    def digest(self) -> str:
        """What came of it: every record, offset and fault, and when it ended."""
        told = hashlib.sha256(repr((self.now, self.fired, sorted(self.broker.offsets.items()))).encode())
        for log in self.broker.logs():
            for entry in log.entries:
                told.update(repr(entry and (entry.key, entry.value, entry.headers, entry.timestamp)).encode())
        return told.hexdigest()

    # ---- who goes next -------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """One thing happens."""
        self._pass(LATENCY_S)
        changes = self.broker.changes()
        resting = self.chance.random() < RESTING
        lives = [life for life in self.lives if life not in self._busy and not (resting and life.seen == changes)]
        ready: list[Callable[[], None]] = [life.turn for life in lives]
        ready += self._others_due()
        if not self._busy and self.operator.due(self.now):
            ready.append(self.operator.turn)
        if ready:
            self.chance.choice(ready)()
        if not ready or self.chance.random() < 0.15:
            self._pass(self.chance.choice((0.01, 0.1, 0.5, 2.0)) if self.chance.random() < 0.9 else 10.0)

    def _others_due(self) -> list[Callable[[], None]]:
        """Members that are to be started, and whoever publishes."""
        ready: list[Callable[[], None]] = []
        if not self.operator.members_wait:
            ready += [member.start for member in self.members if member.due(self.now)]
        if not self.publisher.done and not self.operator.publishers_wait and not self.scene.resting():
            ready.append(self.publisher.turn)
        return ready

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.broker.pass_to(self.now)

    def elapse(self, process: Process, seconds: float) -> None:
        """See `Surroundings`."""
        # Who waits long, or for somebody else, waits in vain if nobody goes on.
        if seconds > 0.5 or not process.connected() or self.chance.random() < self.plan.overtaking:
            self._others(process, self.now + seconds)
        else:
            self._pass(seconds)

    def _others(self, process: Process, until: float, most: int = MOST_TURNS) -> None:
        """All others go on until a time."""
        if len(self._busy) >= DEEPEST:
            self._pass(until - self.now)
            return
        self._busy.append(next((life for life in self.lives if life.process is process), None))
        try:
            turns = 0
            while self.now < until and not process.dead:
                self._turn()
                turns += 1
                left = max(until - self.now, 0.0)
                self._pass(left if turns >= most else left * self.chance.random() ** 2)
        finally:
            self._busy.pop()

    # ---- what goes wrong -----------------------------------------------------------------------------------------

    def _cumulated(self, kinds: tuple[str, ...]) -> list[tuple[float, str]]:
        found, total = [], 0.0
        for kind in kinds:
            if kind in self.plan.rates:
                total += self.plan.rates[kind]
                found.append((total, kind))
        return found

    def _drawn_fault(self, rates: list[tuple[float, str]], member: str, where: str) -> str | None:
        """The fault that happens here, if any does."""
        if self.calm or not rates or len(self.fired) >= MOST_FAULTS:
            return None
        drawn, self._drawn = self._faults.random(), self._drawn + 1
        if where and where not in CRITICAL:
            drawn /= SELDOM
        if drawn >= rates[-1][0]:
            return None
        kind = next(kind for bound, kind in rates if drawn < bound)
        if self.plan.kept is not None and self._drawn not in self.plan.kept:
            return None
        self.fired.append(Fault(self._drawn, kind, member, self.now, where))
        return kind

    def _spell(self) -> float:
        """How long something lasts, in seconds: below a session, beyond it, beyond a transaction."""
        low, high = self.chance.choice(((0.01, 6.0), (6.5, 20.0), (6.5, 20.0), (61.0, 90.0)))
        return self.chance.uniform(low, high)

    def point(self, process: Process, what: str) -> None:
        """See `Surroundings`."""
        self.now += LATENCY_S
        if self.calm:
            return
        if self.plan.overtaking and self.chance.random() < self.plan.overtaking:
            self._others(process, self.now + self.chance.choice((0.001, 0.1, 1.0)))
        kind = self._drawn_fault(self._call_rates, process.name, what)
        if kind is None or process.dead:
            return
        if kind == "kill":
            process.dead = True
        elif kind in ("freeze", "twin"):
            if self._busy:
                return  # Others, whose calls it has overtaken, would stand still with it.
            if kind == "twin" and any(member.name == process.name for member in self.members):
                self.member(process.name).replace(process)
            process.frozen = True
            self._others(process, self.now + self._spell(), FROZEN_TURNS)
            process.frozen = False
        elif kind == "cut":
            process.cut_since, process.cut_until = self.now, self.now + self._spell()
        elif kind == "rebalance":
            self._rebalance()
        elif kind == "abort" and what == "commit":
            raise refused(KafkaError.TRANSACTION_ABORTABLE, abort=True)

    def _rebalance(self) -> None:
        names = self.scene.groups()
        group = self.broker.groups.get(names[0] if len(names) == 1 else self.chance.choice(names))
        if isinstance(group, IncrementalGroup):
            group.rebalance(self.chance.randrange)
        elif isinstance(group, Group):
            group.rebalance(self.now)

    def hangs(self, process: Process, what: str) -> bool:
        """See `Surroundings`."""
        rate = 0.0 if self.calm else self.plan.rates.get("hang", 0.0)
        return rate > 0 and self._drawn_fault([(rate, "hang")], process.name, what) is not None

    def _turn_fault(self) -> None:
        kind = self._drawn_fault(self._turn_rates, "", "")
        if kind == "stop" and self.lives:
            self.chance.choice(self.lives).stop()
        elif kind == "clock" and self.lives:
            self.chance.choice(self.lives).process.skew += self.chance.choice((-3600.0, -5.0, 5.0, 3600.0))
        elif kind == "empty":
            self._empty[self.chance.randrange(self.plan.partitions)] = self.now + self._spell()
        elif kind == "slow":
            self._slow_until = self.now + self._spell()
        elif kind == "compact":
            self.broker.log(CHECKPOINTS, 0).compact()
        elif kind == "expire":
            self.scene.retire()
        elif kind == "grow":
            self.scene.grow()
        elif kind == "lose":
            self.scene.lose(self.chance)

    def lacks(self, partition: int) -> bool:
        """See `Store`."""
        return not self.calm and self.now < self._empty.get(partition, 0.0)

    def slow(self) -> bool:
        """See `Store`."""
        return not self.calm and self.now < self._slow_until

    def member(self, name: str) -> Member:
        """The member of a name."""
        return next(member for member in self.members if member.name == name)

    # ---- the end -------------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self.calm = True
        for life in self.lives:
            life.process.cut_until = self.now
            if self.scene.waits_by_the_clock and life.process.skew:
                life.stop()  # It comes back with a clock that is right.
        while not self.publisher.done and not self.scene.growing and not self.scene.resting():
            self.publisher.turn()

    def _settle(self) -> bool:
        """Whether all that was published is answered and committed, some time after faults have ended."""
        end, rounds, turns = self.now + CALM_S, 0, 0
        while self.now < end and turns < CALM_TURNS:
            if self.scene.lossy and turns > LOSSY_TURNS:
                return True  # Some members have refused to go on, as they should.
            actors: list[Callable[[], None]] = [life.turn for life in self.lives]
            actors += self._others_due()
            if self.operator.due(self.now):
                actors.append(self.operator.turn)
            self.chance.shuffle(actors)
            before = self._standing()
            for act in actors:
                act()
                turns += 1
            self._pass(0.01)
            if self.scene.done() and self.publisher.done and not self.scene.growing:
                rounds += 1
                if rounds > LAST_ROUNDS:
                    return True
            elif not actors or before == self._standing():
                self._pass(self.chance.choice((0.05, 0.5, 3.0)))
        return False

    def _standing(self) -> str:
        """How far everything is."""
        return f"{self.scene.standing()}; {sorted(life.process.name for life in self.lives)} run"

    def _finish_transactions(self) -> None:
        self._pass(100.0)
        for transaction in list(self.broker.transactions.unsettled):
            while transaction.unmarked:
                self.broker.settle(transaction)
