"""Who writes the input: records of its own, of transactions, and of transactions that it takes back."""

from __future__ import annotations

from random import Random

from tests.simulated.broker import Broker
from tests.simulated.plan import Plan
from tests.simulated.scene import Scene

LONGEST = 4


class Publisher:
    """Publishes the events of a plan, a few at a time."""

    def __init__(self, plan: Plan, broker: Broker, scene: Scene) -> None:
        self.broker = broker
        self.scene = scene
        self._chance = Random(f"events {plan.seed}")
        self._left = plan.events
        self._number = 0

    @property
    def done(self) -> bool:
        """Whether all was published."""
        return self._left == 0

    def turn(self) -> None:
        """Publish a few events."""
        draw = self._chance
        count = min(draw.randint(1, LONGEST), self._left)
        how = draw.choice(("plain", "plain", "committed", "taken back")) if self.scene.in_transactions else "plain"
        holder = None
        if how != "plain":
            holder = self.broker.transactions.take_over("publisher", 60.0, self.broker.now)
            if holder is None:
                return  # Its transaction before is being ended still.
        written = []
        for _ in range(count):
            for part, event in self.scene.publish(draw, self._number):
                offset = self.broker.append(part, event.key.encode(), self.scene.encoded(event), (), 0, holder)
                written.append(((*part, offset), event))
            self._number += 1
        if holder is not None and written:  # A client ends no transaction that it began nowhere.
            self.broker.transactions.end(holder, how == "committed")
        if how == "taken back":
            return
        self._left -= count
        self.scene.events.update(written)
