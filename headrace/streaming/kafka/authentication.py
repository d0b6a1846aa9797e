"""Getting into a cluster: what brokers say of credentials is heard, where librdkafka would try again for ever.

A client whose password is wrong and one whose brokers are away look the same from its calls: they time out. What tells
them apart are errors that the library reports beside them, to a callback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.errors import ConfigurationError, Transient

REFUSED = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL", "UNSUPPORTED_SASL_MECHANISM"})
"""Names of errors by which a broker, or our check of its certificate, refuses the connection itself."""
ALL_DOWN = "_ALL_BROKERS_DOWN"
TRY_S = 0.5
ALONE_S = 5.0
"""A refusal counts after this time even when some brokers have said nothing at all."""
LATER_S = 15.0
"""A client that was in once is given longer: a broker that starts may not know everybody yet."""


class Entrance:
    """Whether one client got in. `heard` is its error callback.

    Args:
        bootstrap: the addresses, for what is said.
        failure: what the library raises.
        clock: seconds, monotonic.
    """

    def __init__(self, bootstrap: str, failure: type[Exception], clock: Callable[[], float]) -> None:
        self.bootstrap = bootstrap
        self.failure = failure
        self._clock = clock
        self.inside = False
        self._refusal = ""
        self._refused_at = 0.0
        self._asked_at = 0.0
        self._all_down = False
        self._last = ""

    def heard(self, error: Any) -> None:
        """Take note of an error of the library's."""
        if error.name() in REFUSED:
            if not self._refusal:
                self._refused_at = self._clock()
            self._refusal = error.str()
        elif error.name() == ALL_DOWN:
            self._all_down = bool(self._refusal)
        else:
            self._last = error.str()

    def enter(self, client: Any, timeout: float) -> None:
        """Return when the cluster answers; once it did, at once.

        Raises:
            ConfigurationError: it refuses the credentials, or its certificate is not trusted.
            Transient: it says nothing within `timeout` seconds.
        """
        if self.inside:
            return
        started = self._clock()
        while not self._answers(client, min(TRY_S, timeout)):
            now = self._clock()
            if self._refusal and (self._all_down or now - self._refused_at > ALONE_S or now - started > timeout):
                raise self._refused()
            if now - started > timeout:
                raise Transient(
                    f"Kafka does not answer at {self.bootstrap}{f' ({self._last})' if self._last else ''}: is it "
                    "there (HEADRACE_BOOTSTRAP), and does its listener speak the security.protocol of HEADRACE_KAFKA?"
                )

    def stay(self, client: Any) -> None:
        """For a client at work, after each poll: credentials that are refused from now on are told.

        Raises:
            ConfigurationError: no broker answers, and one has refused us for a while.
        """
        now = self._clock()
        if not self._refusal or now - self._asked_at < ALONE_S:
            return
        self._asked_at = now
        if not self._answers(client, TRY_S, serve=False) and now - self._refused_at > LATER_S:
            raise self._refused()

    def _answers(self, client: Any, within: float, serve: bool = True) -> bool:
        try:
            client.list_topics(timeout=within)
        except self.failure:
            if serve:
                client.poll(0)
            return False
        self.inside, self._refusal, self._all_down = True, "", False
        return True

    def _refused(self) -> ConfigurationError:
        return ConfigurationError(
            f"Kafka at {self.bootstrap} does not let us in: {self._refusal}; mend security.protocol, sasl.* or ssl.* "
            "in HEADRACE_KAFKA"
        )
