"""Where a cluster is and how to get in; the library that the clients are made of, and its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import confluent_kafka
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headrace.errors import ConfigurationError, Transient
from headrace.streaming.kafka.authentication import Entrance
from headrace.streaming.kafka.client_log import LibraryLog, tell
from headrace.streaming.kafka.errors import Stuck, call
from headrace.streaming.kafka.properties import refusals

T = TypeVar("T")
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class Library(Protocol):
    """What this door opens on: clients by their librdkafka properties, and the time that goes by in their calls."""

    def consumer(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.Consumer."""

    def producer(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.Producer."""

    def admin(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.admin.AdminClient."""

    def wall(self) -> float:
        """Seconds since the epoch, as the machine's clock has them: somebody may set it."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Let so much time go by."""

    def call_until(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """The function's answer; Stuck when it does not come back within `seconds`."""


class Librdkafka:
    """The library itself, on the machine's own clock."""

    def consumer(self, config: dict[str, Any]) -> Any:
        return confluent_kafka.Consumer(config)

    def producer(self, config: dict[str, Any]) -> Any:
        return confluent_kafka.Producer(config)

    def admin(self, config: dict[str, Any]) -> Any:
        return AdminClient(config)

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def call_until(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """Called on a thread of its own.

        Some calls of librdkafka outlast their time-outs for ever when a coordinator dies (send_offsets_to_transaction:
        librdkafka issues 5456 and 5511). The thread stays behind, as does whatever it was called on.
        """
        came_back = threading.Event()
        answers: list[T] = []
        errors: list[BaseException] = []

        def calling() -> None:
            try:
                answers.append(function(*arguments))
            except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread, whatever it is
                errors.append(error)
            came_back.set()

        threading.Thread(target=calling, name="kafka-call", daemon=True).start()
        if not came_back.wait(seconds):
            raise Stuck(f"{getattr(function, '__name__', 'a call')} did not come back within {seconds:g} s")
        if errors:
            raise errors[0]
        return answers[0]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the cluster is, and how to get in.

    Attributes:
        bootstrap: host:port, comma separated.
        properties: further librdkafka properties for every client (security.protocol, sasl.*, ssl.*, client.rack).
        library: makes the clients.
        said: takes what the library logs of all clients of this connection.
    """

    bootstrap: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    library: Library = field(default_factory=Librdkafka, repr=False, compare=False)
    said: LibraryLog = field(
        default_factory=lambda: LibraryLog(time.monotonic, tell), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """ConfigurationError for a property that would undo what headrace promises."""
        if found := refusals(self.properties):
            raise ConfigurationError("HEADRACE_KAFKA: " + "; ".join(found))

    def entrance(self) -> Entrance:
        """A new way in, for one client."""
        return Entrance(self.bootstrap, KafkaException, self.library.monotonic)

    def properties_of(self, **properties: Any) -> dict[str, Any]:
        """A client's librdkafka properties, from names with underscores; those that are None are left to librdkafka."""
        spoken = {
            name if name in ("on_delivery", "error_cb") else name.replace("_", "."): value
            for name, value in properties.items()
            if value is not None
        }
        # A broker that comes back is found within a second: librdkafka's own ten are most of a short outage.
        ours = {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 1_000}
        return {**ours, "log_level": 3, "logger": self.said, **spoken, **self.properties}


def ask(library: Library, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """A question that changes nothing, asked again while brokers are on the move; Transient after the last try."""
    for pause in PAUSES_S:
        try:
            return call(function, *arguments, **options)
        except Transient:
            library.sleep(pause)
    return call(function, *arguments, **options)
