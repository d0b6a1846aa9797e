"""Who writes the input: records of its own, of transactions, and of transactions that it takes back."""

from __future__ import annotations

from random import Random

from tests.simulated.broker import Broker
from tests.simulated.oracles import Witness
from tests.simulated.plan import Plan
from tests.simulated.service import TOPICS, encoded

KEYS = 4
LONGEST = 4


class Publisher:
    """Publishes the events of a plan, a few at a time.

    Attributes:
        ends: by partition, the offset after the last readable event.
    """

    def __init__(self, plan: Plan, broker: Broker, witness: Witness) -> None:
        self.plan = plan
        self.broker = broker
        self.witness = witness
        self.ends = [0] * plan.partitions
        self._chance = Random(f"events {plan.seed}")
        self._left = plan.events
        self._number = 0

    @property
    def done(self) -> bool:
        """Whether all was published."""
        return self._left == 0

    def turn(self) -> None:
        """Publish a few events."""
        draw, topic = self._chance, TOPICS["events"]
        count = min(draw.randint(1, LONGEST), self._left)
        how = draw.choice(("plain", "plain", "committed", "taken back"))
        holder = None
        if how != "plain":
            holder = self.broker.transactions.take_over("publisher", 60.0, self.broker.now)
            if holder is None:
                return  # Its transaction before is being ended still.
        written = []
        for _ in range(count):
            key = f"k{draw.randrange(KEYS)}"
            partition = int(key[1:]) % self.plan.partitions
            amount = -1 if draw.random() < 0.08 else draw.randint(1, 9)
            name = f"e{self._number}"
            self._number += 1
            value = encoded(name, key, amount)
            offset = self.broker.append((topic, partition), key.encode(), value, (), 0, holder)
            written.append(((partition, offset), (name, key, amount)))
        if holder is not None:
            self.broker.transactions.end(holder, how == "committed")
        if how == "taken back":
            return
        self._left -= count
        for place, event in written:
            self.witness.events[place] = event
            self.ends[place[0]] = max(self.ends[place[0]], place[1] + 1)
