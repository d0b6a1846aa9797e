"""The door to Kafka: its errors have our names, and a real broker keeps the promises that we build on."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError

from headrace.errors import ConfigurationError, ContractError, Fenced, HeadraceError, Transient
from headrace.streaming.kafka import errors as door
from headrace.streaming.kafka.admin import Admin, committed
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import TransactionAborted, translate
from headrace.streaming.kafka.message import OFFSET_INVALID, TopicPartition
from headrace.streaming.kafka.poll_result import told_apart
from headrace.streaming.kafka.properties import DECIDED
from headrace.streaming.kafka.reader import ranges

CODES = {
    name: code
    for name in dir(KafkaError)
    if name.lstrip("_").isupper() and isinstance(code := getattr(KafkaError, name), int)
}
AGREED = re.findall(
    r"\w+",
    """
CLUSTER_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTH_DISABLED
DELEGATION_TOKEN_EXPIRED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DUPLICATE_RESOURCE DUPLICATE_SEQUENCE_NUMBER DUPLICATE_VOTER
ELECTION_NOT_NEEDED FEATURE_UPDATE_FAILED FENCED_STATE_EPOCH GROUP_AUTHORIZATION_FAILED GROUP_ID_NOT_FOUND
GROUP_MAX_SIZE_REACHED GROUP_SUBSCRIBED_TO_TOPIC ILLEGAL_SASL_STATE INCONSISTENT_GROUP_PROTOCOL
INCONSISTENT_VOTER_SET INVALID_COMMIT_OFFSET_SIZE INVALID_CONFIG INVALID_GROUP_ID INVALID_MSG INVALID_MSG_SIZE
INVALID_PARTITIONS INVALID_PRINCIPAL_TYPE INVALID_RECORD INVALID_RECORD_STATE INVALID_REGISTRATION
INVALID_REGULAR_EXPRESSION INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT INVALID_REQUEST
INVALID_REQUIRED_ACKS INVALID_SESSION_TIMEOUT INVALID_SHARE_SESSION_EPOCH INVALID_TIMESTAMP
INVALID_TRANSACTION_TIMEOUT INVALID_UPDATE_VERSION INVALID_VOTER_KEY LISTENER_NOT_FOUND LOG_DIR_NOT_FOUND
MEMBER_ID_REQUIRED MISMATCHED_ENDPOINT_TYPE MSG_SIZE_TOO_LARGE NON_EMPTY_GROUP NO_ERROR NO_REASSIGNMENT_IN_PROGRESS
OFFSET_METADATA_TOO_LARGE OFFSET_OUT_OF_RANGE OPERATION_NOT_ATTEMPTED POLICY_VIOLATION
PRINCIPAL_DESERIALIZATION_FAILURE RECORD_LIST_TOO_LARGE RESOURCE_NOT_FOUND SASL_AUTHENTICATION_FAILED
SECURITY_DISABLED SHARE_SESSION_LIMIT_REACHED SHARE_SESSION_NOT_FOUND STREAMS_INVALID_TOPOLOGY
STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED TELEMETRY_TOO_LARGE TOPIC_ALREADY_EXISTS
TOPIC_AUTHORIZATION_FAILED TOPIC_DELETION_DISABLED TOPIC_EXCEPTION TRANSACTIONAL_ID_AUTHORIZATION_FAILED
UNACCEPTABLE_CREDENTIAL UNKNOWN_CONTROLLER_ID UNKNOWN_SUBSCRIPTION_ID UNKNOWN_TOPIC_OR_PART UNSUPPORTED_ASSIGNOR
UNSUPPORTED_COMPRESSION_TYPE UNSUPPORTED_ENDPOINT_TYPE UNSUPPORTED_FOR_MESSAGE_FORMAT UNSUPPORTED_SASL_MECHANISM
UNSUPPORTED_VERSION VOTER_NOT_FOUND _APPLICATION _ASSIGN_PARTITIONS _AUTHENTICATION _AUTO_OFFSET_RESET
_BAD_COMPRESSION _BAD_MSG _CONFLICT _CRIT_SYS_RESOURCE _DESTROY _EXISTING_SUBSCRIPTION _FAIL _FS _INCONSISTENT
_INVALID_ARG _INVALID_DIFFERENT_RECORD _INVALID_TYPE _KEY_DESERIALIZATION _KEY_SERIALIZATION _LOG_TRUNCATION
_MAX_POLL_EXCEEDED _NOENT _NOOP _NOT_CONFIGURED _NOT_IMPLEMENTED _NO_OFFSET _OUTDATED _PARTIAL _PARTITION_EOF
_READ_ONLY _REVOKE_PARTITIONS _SSL _UNDERFLOW _UNKNOWN_GROUP _UNKNOWN_PARTITION
_UNKNOWN_PROTOCOL _UNKNOWN_TOPIC _UNSUPPORTED_FEATURE _VALUE_DESERIALIZATION _VALUE_SERIALIZATION
""",
)
"""Errors that no retry and no restart mends: something is not what was agreed. A new one of the library's must be put
here, or into one of the door's sets.
"""


def error(name: str, **flags: bool) -> KafkaError:
    """An error of the library's, with its flags."""
    return KafkaError(CODES[name], name, **flags)


class TestTranslate:
    """Each error is named by what to do."""

    def test_every_code_of_the_library_is_known(self) -> None:
        """A version of the library that grows a code fails here until somebody says what becomes of it."""
        sets = [door.FENCED, door.STALE_GROUP, door.PASSING, {CODES[name] for name in AGREED}]
        homes = {name: sum(code in codes for codes in sets) for name, code in CODES.items()}
        assert {name: count for name, count in homes.items() if count != 1} == {}

    @pytest.mark.parametrize("name", CODES)
    def test_a_code_without_flags_goes_where_its_set_says(self, name: str) -> None:
        """Every code becomes one of the four, and keeps the library's words."""
        fates = {Fenced: door.FENCED, TransactionAborted: door.STALE_GROUP, Transient: door.PASSING}
        wanted = next((fate for fate, codes in fates.items() if CODES[name] in codes), ContractError)
        if name == "_INCONSISTENT":
            wanted = TransactionAborted
        if name == "UNKNOWN_TOPIC_OR_PART":
            wanted = door.NoSuchTopic
        if name == "_UNKNOWN_PARTITION":
            wanted = door.NoSuchPartition
        found = translate(error(name))
        assert type(found) is wanted
        assert name in str(found)

    @pytest.mark.parametrize(
        ("flags", "wanted"),
        [
            ({"txn_requires_abort": True}, TransactionAborted),
            ({"txn_requires_abort": True, "retriable": True}, TransactionAborted),
            ({"fatal": True}, Fenced),
            ({"fatal": True, "retriable": True}, Fenced),
            ({"retriable": True}, Transient),
            ({}, ContractError),
        ],
    )
    def test_flags_say_more_than_codes(self, flags: dict[str, bool], wanted: type[HeadraceError]) -> None:
        """An abort comes before an end, an end before a retry."""
        assert type(translate(error("MSG_SIZE_TOO_LARGE", **flags))) is wanted

    def test_what_a_failed_transaction_says_to_produce(self) -> None:
        """produce() in a transaction that failed says only _STATE: the abort then tells why."""
        assert type(door.refused(error("_STATE"))) is TransactionAborted
        assert type(door.refused(error("MSG_SIZE_TOO_LARGE"))) is ContractError


def test_properties_are_not_shown() -> None:
    """A connection may carry a password; its repr does not."""
    assert "hunter2" not in repr(Connection("b:1", {"sasl.password": "hunter2"}))


@pytest.mark.parametrize("properties", [{"no.such.property": "1"}, {"security.protocol": "telepathy"}])
def test_refused_settings_are_a_persons_mistake(properties: dict[str, str]) -> None:
    """The library's refusal of a property becomes a configuration error."""
    for kind in (Producer, Consumer, Admin):
        with pytest.raises(ConfigurationError, match="Kafka refuses the settings"):
            kind(Connection("127.0.0.1:1", properties))


TUNABLE = {
    "compression.type",
    "batch.size",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "linger.ms",
    "log_level",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "reconnect.backoff.max.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.nagle.disable",
}
"""What the clients set and an operator may set otherwise: it makes them faster or slower, and nothing else."""


class Recorded(Connection):
    """A connection that keeps what clients are made with."""

    seen: ClassVar[set[str]] = set()

    def properties_of(self, **properties: Any) -> dict[str, Any]:
        made = super().properties_of(**properties)
        Recorded.seen |= {name for name, value in made.items() if not callable(value)}
        return made


def test_every_property_of_the_clients_is_decided_or_tunable() -> None:
    """What a client sets anew must be put into one of the two: an operator could undo a promise with it."""
    connection = Recorded("127.0.0.1:1")
    Consumer(connection, group="g", member="m").close()
    Consumer(connection, group="g", member="m", protocol="consumer").close()
    Producer(connection).close()
    Producer(connection, transactional_id="t").close()
    Admin(connection)
    assert Recorded.seen - TUNABLE - set(DECIDED) == set()
    assert TUNABLE & set(DECIDED) == set()


def test_a_broker_that_is_not_there_may_come() -> None:
    """Nobody answers: the same call may succeed later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: connections are refused.
        admin = Admin(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Transient):
            admin.topics(timeout=0.5)


@pytest.fixture
def topic(kafka: str, unique: Callable[[str], str]) -> str:
    """A topic with two partitions whose records have at most 100 kB."""
    name = unique("door")
    Admin(kafka).create(name, 2, 1, {"max.message.bytes": "100000"})
    return name


@pytest.fixture
def connection(kafka: str) -> Connection:
    """The real broker."""
    return Connection(kafka)


@pytest.fixture
def consumer(connection: Connection) -> Iterator[Consumer]:
    """A reader of committed records, without a group."""
    made = Consumer(connection)
    yield made
    made.close()


def test_a_topic_that_somebody_deletes_meanwhile_is_none(
    kafka: str, topic: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics come and go on a cluster that is shared: what is listed may be gone when it is asked about."""
    admin, other, gone = Admin(kafka), Admin(kafka), unique("gone")
    other.create(gone, 1, 1, {})

    class Listing:
        """The client, with somebody who deletes a topic between two of its calls."""

        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self.client, name)

        def list_topics(self, **options: Any) -> Any:
            listed = self.client.list_topics(**options)
            if gone in listed.topics:
                other.delete([gone])
            return listed

    monkeypatch.setattr(admin, "_client", Listing(admin._client))
    found = admin.topics()
    assert gone not in found
    assert topic in found


def everything(connection: Connection, consumer: Consumer, topic: str) -> list[bytes | None]:
    """The values of all committed records, by partition and offset."""
    open_ranges = {part.partition for part in ranges(connection, topic) if part.stop > part.start}
    consumer.assign([TopicPartition(topic, partition, 0) for partition in open_ranges])
    found = []
    while open_ranges:
        records, ends = told_apart(consumer.poll(100, 0.1), topic)
        found += [(message.partition(), message.offset(), message.value()) for message in records]
        open_ranges -= ends.keys()
    return [value for _, _, value in sorted(found)]


def transactional(connection: Connection, name: str) -> Producer:
    """A producer that has taken over a transactional id."""
    producer = Producer(connection, transactional_id=name)
    producer.init_transactions()
    return producer


def test_only_committed_records_are_read(connection: Connection, consumer: Consumer, topic: str) -> None:
    """What was aborted is never seen; what was committed is, in order."""
    producer = transactional(connection, topic)
    for value, end in ((b"1", producer.commit), (b"2", producer.abort), (b"3", producer.commit)):
        producer.begin()
        producer.send(topic, ["k"], [value])
        producer.flush()
        end()
    assert everything(connection, consumer, topic) == [b"1", b"3"]


def test_the_second_holder_of_an_id_fences_the_first(connection: Connection, consumer: Consumer, topic: str) -> None:
    """The first one's open transaction is aborted, and it is told to end."""
    first = transactional(connection, topic)
    first.begin()
    first.send(topic, ["k"], [b"zombie"])
    first.flush()
    second = transactional(connection, topic)
    with pytest.raises(Fenced):
        first.commit()
    second.begin()
    second.send(topic, ["k"], [b"heir"])
    second.commit()
    assert everything(connection, consumer, topic) == [b"heir"]


def test_a_record_that_the_broker_refuses_is_a_broken_contract(connection: Connection, topic: str) -> None:
    """With and without a transaction, a record above the topic's limit is told and nothing hangs."""
    large = bytes(range(256)) * 20_000  # 5 MB; lz4 makes little of it.
    producer = Producer(connection)
    producer.send(topic, ["k"], [large + b"".join(n.to_bytes(4, "big") for n in range(500_000))])
    with pytest.raises(ContractError, match="MSG_SIZE_TOO_LARGE"):
        producer.flush()
    with pytest.raises(ContractError, match="MSG_SIZE_TOO_LARGE"):
        producer.send(topic, ["k"], [bytes(8_100_000)])
    producer.send(topic, ["k"], [b"small"])
    producer.flush()


def test_a_failed_transaction_is_aborted_and_its_producer_goes_on(
    connection: Connection, consumer: Consumer, topic: str
) -> None:
    """After a refused record the commit asks for an abort; the same producer can commit what is sent after it."""
    producer = transactional(connection, topic)
    producer.begin()
    producer.send(topic, ["k", "k"], [b"lost", b"".join(n.to_bytes(4, "big") for n in range(1_000_000))])
    with pytest.raises((TransactionAborted, ContractError)):
        producer.commit()
    # The sequence numbers that the refused record took may cost one more transaction, which asks for an abort, too.
    for _ in range(3):
        producer.abort()
        producer.begin()
        producer.send(topic, ["k"], [b"kept"])
        with suppress(TransactionAborted):
            producer.commit()
            break
    assert everything(connection, consumer, topic) == [b"kept"]


def test_reports_tell_where_a_record_lies(connection: Connection, consumer: Consumer, topic: str) -> None:
    """`send_one` says partition and offset after a flush, in a transaction and with reports."""
    told: list[tuple[int, int]] = []
    producer = transactional(connection, topic)
    producer.begin()
    producer.send_one(topic, "k", b"1", partition=1, delivered=lambda *where: told.append(where))
    producer.flush()
    producer.commit()
    plain = Producer(connection, reports=True)
    plain.send_one(topic, "k", b"2", partition=1, delivered=lambda *where: told.append(where))
    plain.flush()
    assert told == [(1, 0), (1, 2)], "the commit took an offset of its own"


def test_a_topic_that_is_missing_names_the_remedy(consumer: Consumer, unique: Callable[[str], str]) -> None:
    """It is never created on the way."""
    with pytest.raises(ContractError, match="headrace topics apply"):
        consumer.partitions(unique("missing"))


def test_offsets_that_are_gone_are_told(connection: Connection, consumer: Consumer, topic: str) -> None:
    """A reader is never moved to the start or the end in silence: the position's loss is a broken contract."""
    consumer.assign([TopicPartition(topic, 0, 1_000)])
    messages = []
    for _ in range(100):
        messages += consumer.poll(10, 0.1)
        if messages:
            break
    found = messages[0].error()
    assert found is not None
    assert found.code() == KafkaError._AUTO_OFFSET_RESET
    assert type(translate(found)) is ContractError


def test_committed_offsets_carry_their_metadata(connection: Connection, topic: str) -> None:
    """Nothing committed is OFFSET_INVALID; what was committed comes back whole."""
    consumer = Consumer(connection, group=topic)
    try:
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert [place.offset for place in consumer.committed(places)] == [OFFSET_INVALID] * 2
        consumer.commit([TopicPartition(topic, 1, 7, metadata="{}")])
        found = consumer.committed(places)[1]
        assert (found.offset, found.metadata) == (7, "{}")
    finally:
        consumer.close()
    assert committed(connection, topic, [(topic, 0), (topic, 1)]) == {(topic, 1): 7}
    assert topic in Admin(connection).groups()
