"""What facts cannot rest on is refused in words; in memory."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.errors import ContractError
from headrace.streaming.task.transactions import AtLeastOnce, Delivery, ExactlyOnce, Parcel, Retry, Stake
from tests.simulated.memory import InMemory

FACT = Parcel("facts", [b"k"], [b"v"], np.zeros(1, np.int32), [0])


@pytest.fixture
def memory() -> InMemory:
    """A broker with fact topics."""
    made = InMemory("classic", 0)
    for name, partitions in (("facts", 1), ("others", 1), ("wide", 2)):
        made.broker.create(name, partitions)
    return made


def delivery(memory: InMemory, mode: type[ExactlyOnce | AtLeastOnce] = ExactlyOnce) -> Delivery:
    """A member's."""
    connection, retry = memory.connection("m"), Retry(5.0, lambda: None, memory.moment, memory.wait)
    return mode(connection, "m", retry)


def test_facts_need_a_transaction(memory: InMemory) -> None:
    """Without one nothing would hold them back where another was written meanwhile."""
    with pytest.raises(ContractError, match="HEADRACE_MODE=exactly_once"):
        delivery(memory, AtLeastOnce).send(FACT, Stake("facts", "facts.writer", -1))


def test_facts_need_one_order(memory: InMemory) -> None:
    """In a topic of two partitions none is the newest."""
    with pytest.raises(ContractError, match="wide has 2 partitions"):
        delivery(memory).send(FACT, Stake("wide", "wide.writer", -1))


def test_facts_of_two_topics_need_two_transactions(memory: InMemory) -> None:
    """A transaction is written under the name of one topic's writers."""
    member = delivery(memory)
    member.send(FACT, Stake("facts", "facts.writer", -1))
    with pytest.raises(ContractError, match="facts of facts and of others cannot be in one transaction"):
        member.send(FACT, Stake("others", "others.writer", -1))
