"""The one door to Apprise: a channel that takes messages, and never tells its address.

What Apprise logs may hold an address, so none of it goes on to our logs: warnings of the thread that sends are the
reason that a failure is told with, and all else is dropped.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from headrace.domain.notification.message import Message
from headrace.errors import ConfigurationError

NOT_INSTALLED = "notifications need apprise: install the extra that brings it (pip install 'headrace[notify]')"
LONGEST_PROBLEM = 300
_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseChannel:
    """A channel at an address that Apprise knows.

    Args:
        name: what it is called where anything is told of it.
        address: of one receiver, such as `json://host/path`; a secret.
        origin: where the address came from, for a message.

    Raises:
        ConfigurationError: Apprise is not installed, or knows no such address.
    """

    def __init__(self, name: str, address: str, origin: str) -> None:
        self.name = name
        try:
            import apprise
        except ModuleNotFoundError as missing:
            if missing.name != "apprise":
                raise
            raise ConfigurationError(NOT_INSTALLED) from None
        _problems.attach(logging.getLogger("apprise"))
        self._apprise: Any = apprise
        self._receiver: Any = apprise.Apprise.instantiate(address, asset=apprise.AppriseAsset(app_id="headrace"))
        if self._receiver is None:
            raise ConfigurationError(
                f"notify.channels.{name}: what {origin} holds is no address that apprise knows; write one such as "
                "json://host/path or slack://... (https://appriseit.com/services lists them)"
            )

    def send(self, message: Message, event_id: str) -> str | None:
        """Give a message to the receiver: None once it was taken, else why it was not. Blocks; may be called again.

        A receiver that answers too late may have taken it: then it gets the message again, with the same last line.
        """
        return self.give(message.severity, message.title, message.body(event_id))

    def give(self, severity: str, title: str, body: str) -> str | None:
        """As `send`, of what is written already."""
        _problems.clear()
        try:
            taken = self._receiver.notify(
                body=body,
                title=title,
                notify_type=self._apprise.NotifyType(_TYPES[severity]),
                body_format=self._apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - a plugin's own; its text may hold the address
            return f"its plugin failed ({type(error).__name__})"
        return None if taken else _problems.last() or "it was not taken; its plugin gives no reason"


class _Problems(logging.Handler):
    """The last warning of each thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._of = threading.local()

    def attach(self, owner: logging.Logger) -> None:
        """Take all that a logger is told."""
        owner.setLevel(logging.WARNING)
        owner.handlers, owner.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        self._of.text = record.getMessage()[:LONGEST_PROBLEM]

    def clear(self) -> None:
        """Forget the warning of this thread."""
        self._of.text = ""

    def last(self) -> str:
        """Since `clear`; empty for none."""
        return str(getattr(self._of, "text", ""))


_problems = _Problems()
