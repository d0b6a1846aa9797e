"""Errors of librdkafka, named by what to do.

librdkafka's errors carry flags; `translate` turns each into one of ours:

    fatal, fenced                    -> Fenced             end the process, commit nothing
    the transaction must be aborted  -> TransactionAborted abort, then send the same outputs again
    retriable, timed out, transport  -> Transient          the same call again
    anything else                    -> ContractError      a topic, a message or a setting is not what was agreed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from headrace.errors import ConfigurationError, ContractError, Fenced, HeadraceError, Transient

__all__ = [
    "KafkaError",
    "NoSuchPartition",
    "Stuck",
    "TransactionAborted",
    "Undelivered",
    "call",
    "construct",
    "log_was_cut",
    "missing",
    "refused",
    "translate",
]

T = TypeVar("T")

FENCED = {
    KafkaError._FENCED,
    KafkaError._FATAL,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.UNRELEASED_INSTANCE_ID,
    # The producer is in a state that only a new one gets out of.
    KafkaError._STATE,
    KafkaError._GAPLESS_GUARANTEE,
    KafkaError.INVALID_TXN_STATE,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
}
# A stale view of the group (its partitions are about to move), or a broker that asks for the abort itself.
STALE_GROUP = {
    KafkaError._ASSIGNMENT_LOST,
    KafkaError.TRANSACTION_ABORTABLE,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.CONCURRENT_TRANSACTIONS,
}
PASSING = {
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    # Of records that wait while a transaction is given up, as after a broker that stood still for minutes: sent again.
    KafkaError._PURGE_INFLIGHT,
    KafkaError._PURGE_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._QUEUE_FULL,
    KafkaError._RETRY,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    # A broker in trouble, or metadata that has not come round: librdkafka flags these only where it retries itself.
    KafkaError._INTR,
    KafkaError._DESTROY_BROKER,
    KafkaError._IN_PROGRESS,
    KafkaError._PREV_IN_PROGRESS,
    KafkaError._ISR_INSUFF,
    KafkaError._WAIT_CACHE,
    KafkaError._UNKNOWN_BROKER,
    KafkaError._NODE_UPDATE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError.INVALID_FETCH_SESSION_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.REASSIGNMENT_IN_PROGRESS,
    KafkaError.REBOOTSTRAP_REQUIRED,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.STALE_BROKER_EPOCH,
    KafkaError.STALE_CTRL_EPOCH,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError.UNKNOWN,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_ID,
}


class TransactionAborted(HeadraceError):
    """The open transaction cannot commit: abort it and send its outputs again."""


class Undelivered(HeadraceError):
    """Records were given up after some time: to wait longer brings none of them to the topic."""


class Stuck(HeadraceError):
    """A call of the library's did not come back. What it was called on is good for nothing more: use a new one."""


class NoSuchPartition(ContractError):
    """librdkafka knows of no such partition, or of no leader of it: that it calls the same."""


class NoSuchTopic(ContractError):
    """There is no topic of this name, or no such partition of it."""


def of_abort(reason: HeadraceError) -> HeadraceError:
    """What it means that a transaction could not be aborted: Stuck where a new producer of the same name aborts it.

    Given up while its first partition was on its way, right after another one, it is none that the broker knows of, and
    librdkafka takes that answer for its producer's end. Whoever is fenced is told of its epoch, by other codes.
    """
    raised = reason.__cause__
    early = isinstance(raised, KafkaException) and raised.args[0].code() == KafkaError.INVALID_TXN_STATE
    return Stuck(f"the outcome of an abort is unknown: {reason}") if early or isinstance(reason, Transient) else reason


def translate(error: KafkaError) -> HeadraceError:
    """Our name for a librdkafka error; total: every error has one."""
    if error.txn_requires_abort() or error.code() == KafkaError._INCONSISTENT:
        return TransactionAborted(str(error))
    if error.fatal() or error.code() in FENCED:
        return Fenced(str(error))
    if error.code() in STALE_GROUP:
        return TransactionAborted(str(error))
    if error.retriable() or error.code() in PASSING:
        return Transient(str(error))
    if error.code() == KafkaError._UNKNOWN_PARTITION:
        return NoSuchPartition(str(error))
    return (NoSuchTopic if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else ContractError)(str(error))


def log_was_cut(error: KafkaError) -> bool:
    """Whether a consumer was told that nothing is at its offset: retention took it, or the topic is another."""
    return error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


def call(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """The function's answer; what it raises is ours."""
    try:
        return function(*arguments, **options)
    except KafkaException as raised:
        raise translate(raised.args[0]) from raised
    except TimeoutError:
        raise Transient("Kafka does not answer") from None  # A future of the admin client's, waited for in vain.


def construct(kind: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """A client of these properties; ConfigurationError when the library refuses them."""
    try:
        return kind(config)
    except KafkaException as raised:
        raise ConfigurationError(f"Kafka refuses the settings: {raised.args[0]}") from raised


def missing(topic: str, error: KafkaError) -> HeadraceError:
    """Our name for what a broker says of a topic in its list."""
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return ContractError(
            f"the topic {topic} does not exist; create it with: headrace topics apply PIPELINE (a producer's own topic "
            "is its producer's to create)"
        )
    named = translate(error)
    return type(named)(f"{topic}: {error.str()} ({error.name()})")


def refused(error: KafkaError) -> HeadraceError:
    """produce() in a transaction that already failed says _STATE, without a flag; the abort then tells why."""
    return TransactionAborted(str(error)) if error.code() == KafkaError._STATE else translate(error)
