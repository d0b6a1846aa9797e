"""What members are told by their environment, checked before any of them starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.domain.pipeline.document import closest
from headrace.errors import ConfigurationError
from headrace.operations.services import SERVICES
from headrace.streaming.process.settings import Settings, read_settings


def environment(
    pipeline: str, bootstrap: str | None, redis: str | None, mode: str | None, more: Mapping[str, str]
) -> dict[str, str]:
    """Variables for all members; what is None is left to this process's environment."""
    given = {"PIPELINE": pipeline, "BOOTSTRAP": bootstrap, "REDIS": redis, "MODE": mode}
    return {**{f"HEADRACE_{name}": value for name, value in given.items() if value is not None}, **more}


def check_settings(env: Mapping[str, str]) -> Settings:
    """The settings that members will have, read here first: a mistake is said once, before anything starts.

    Raises:
        ConfigurationError: there is no such setting, or it cannot have this value.
    """
    kinds = [kind.settings for kind in SERVICES.values()]
    known = {name for kind in kinds for name in kind.model_fields}
    options: dict[str, Any] = {name.removeprefix("HEADRACE_").lower(): value for name, value in env.items()}
    for name in options:
        if name not in known:
            raise ConfigurationError(f"no setting {name}: {closest(name, sorted(known))}")
    # Read from the environment and options alike, as the members will: JSON in `kafka` is theirs to take apart.
    options.pop("kafka", None)
    first, *_ = [read_settings(kind, **options) for kind in kinds]
    return first
