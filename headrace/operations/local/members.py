"""Which processes a pipeline's services are made of."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError
from headrace.operations.services import SERVICES
from headrace.streaming.process.settings import Settings

SECRETS = tuple(
    f"HEADRACE_{name.upper()}" for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
)
"""Variables that may carry a password."""


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a service.

    Attributes:
        name: stable, unique in its group, so that a restart takes its partitions back at once.
        service: one of SERVICES.
        argv: the program and its arguments.
        env: variables of its own.
    """

    name: str
    service: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def members(
    pipeline: Pipeline, services: Sequence[str], scale: Mapping[str, int], prefix: str = ""
) -> tuple[Member, ...]:
    """The processes of some services: `scale` of each (one unless it says otherwise), of `views` for each view.

    Raises:
        ConfigurationError: there is no such service, or nothing would run.
    """
    for service in (*services, *scale):
        if service not in SERVICES:
            raise ConfigurationError(f"no service {service}: {closest(service, SERVICES)}")
    found: list[Member] = []
    for service in dict.fromkeys(services):
        for _, view, _ in SERVICES[service].groups(pipeline):
            for number in range(scale.get(service, 1)):
                found.append(_member(service, view, number, prefix))
    if not found:
        raise ConfigurationError(f"{pipeline.name} has no views keyed by another entity, so no {', '.join(services)}")
    return tuple(found)


def _member(service: str, view: str, number: int, prefix: str) -> Member:
    kind = SERVICES[service]
    name = "-".join(part for part in (prefix, service, view, str(number)) if part)
    env = {"HEADRACE_MEMBER": name, **({"HEADRACE_VIEW": view} if view else {})}
    return Member(name, service, (sys.executable, "-m", kind.module), env)


def scales(pairs: Sequence[str]) -> dict[str, int]:
    """`--scale` options as service to number of members.

    >>> scales(["enrich=3"])
    {'enrich': 3}

    Raises:
        ConfigurationError: one is not SERVICE=NUMBER.
    """
    found = {}
    for pair in pairs:
        service, _, number = pair.partition("=")
        if not number.isdecimal() or int(number) < 1:
            raise ConfigurationError(f"--scale {pair}: write SERVICE=NUMBER, such as --scale enrich=3")
        found[service] = int(number)
    return found


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """`--set` options as environment variables of services.

    >>> variables(["linger-ms=5"])
    {'HEADRACE_LINGER_MS': '5'}

    Raises:
        ConfigurationError: one is not KEY=VALUE.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {pair}: write KEY=VALUE, such as --set linger_ms=5")
        variable = f"HEADRACE_{key.upper().replace('-', '_').removeprefix('HEADRACE_')}"
        refuse_secret(f"--set {key}", variable, value)
        found[variable] = value
    return found


def refuse_secret(option: str, variable: str, value: str) -> None:
    """ConfigurationError for a password on a command line: whoever lists this machine's processes reads it there."""
    if variable == "HEADRACE_KAFKA" or (variable in SECRETS and ("@" in value or "password=" in value)):
        raise ConfigurationError(
            f"{option} on a command line shows passwords to all who list processes: export {variable} instead"
        )
