"""Where the addresses of channels are read: from the environment and from files, never from the pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.domain.notification.apprise_channel import AppriseChannel
from headrace.domain.pipeline.notification.spec import NotificationChannel, Notify
from headrace.errors import ConfigurationError

LARGEST = 10_000
"""Bytes of a file with an address."""


def open_channels(section: Notify, environment: Mapping[str, str]) -> dict[str, AppriseChannel]:
    """All channels of a section, by name.

    Raises:
        ConfigurationError: addresses are missing, or are none that Apprise knows; names every such channel.
    """
    opened, mistakes = {}, []
    for channel in section.channels.values():
        try:
            opened[channel.name] = open_channel(channel, environment)
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(dict.fromkeys(mistakes)))
    return opened


def open_channel(channel: NotificationChannel, environment: Mapping[str, str]) -> AppriseChannel:
    """One of them. Raises as `open_channels` does."""
    where = f"the variable {channel.place}" if channel.source == "env" else f"the file {channel.place}"
    return AppriseChannel(channel.name, _address(channel, where, environment), where)


def _address(channel: NotificationChannel, where: str, environment: Mapping[str, str]) -> str:
    entry = f"notify.channels.{channel.name}"
    if channel.source == "env":
        address = environment.get(channel.place, "").strip()
        if not address:
            raise ConfigurationError(f"{entry}: {where} is not set: set it to the address of who is told")
    else:
        try:
            with Path(channel.place).open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise ConfigurationError(
                f"{entry}: {where} cannot be read: {error.strerror}; it should hold the address of who is told"
            ) from None
        address = content.decode("utf-8", "replace").strip()
        if not address or len(content) > LARGEST:
            raise ConfigurationError(f"{entry}: {where} should hold one address, and nothing else")
    if any(letter.isspace() for letter in address):
        raise ConfigurationError(f"{entry}: {where} should hold one address; name a channel for each receiver")
    return address
