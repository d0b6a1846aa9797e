"""What an operator may set: frozen, checked before anything opens, read from HEADRACE_* variables."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from headrace.errors import ConfigurationError
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.properties import refusals

NO_PASSWORD = (
    "a model store's url holds no password: plans and logs name it; give it to the store's library by its own "
    "variables (AWS_SECRET_ACCESS_KEY) or fsspec's configuration file"
)
_ADDRESS = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::([0-9]{1,6}))?")


class Settings(BaseSettings):
    """Settings that every service shares; a service adds its own in its `settings.py`.

    Every field is set by `HEADRACE_<FIELD>`, a command-line option, or left at its default. Times say their unit.
    """

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", frozen=True, extra="ignore")

    pipeline: str = Field(description="the pipeline file, or the name of a built-in one")
    bootstrap: str = Field("127.0.0.1:9092", description="Kafka, host:port, comma separated")
    kafka: dict[str, SecretStr] = Field(
        default_factory=dict, description="further librdkafka properties as JSON (security.protocol, sasl.*, ssl.*)"
    )
    redis: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="the online store")
    registry: SecretStr | None = Field(None, description="Confluent-compatible schema registry; unset: pinned ids")
    schema_ids: Path | None = Field(None, description="the file of pinned schema ids; unset: the project's own")
    models: str = Field("models", description="the model store: a directory or an fsspec url (s3://, gs://)")

    mode: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="one transaction for outputs and offsets, or offsets after flushed outputs; "
        "labels then tells no repeats, and release keeps to transactions",
    )
    group_protocol: Literal["classic", "consumer"] = Field("classic", description="Kafka's group.protocol")
    member: str = Field(
        default_factory=socket.gethostname,
        description="stable name of this member, unique in its group; a restart under the same name resumes at once",
    )
    session_timeout_ms: int = Field(15_000, ge=6_000, description="a silent member's partitions move after this")

    batch_rows: int = Field(4_096, ge=1, le=100_000, description="most records in one batch")
    linger_ms: float = Field(3.0, ge=0, le=1_000, description="when it is quiet, wait this long for a fuller batch")
    commit_ms: float = Field(100.0, ge=1, le=10_000, description="longest time between two commits under load")
    commit_rows: int = Field(100_000, ge=1, description="commit at the latest after this many outputs")

    checkpoint_s: float = Field(30.0, gt=0, description="checkpoint a partition's state at least this often")
    checkpoint_rows: int = Field(200_000, ge=1, description="... or after this many records")

    dead_letter_limit: float = Field(
        0.5, gt=0, le=1, description="stop when more than this share of the last 10,000 records was refused"
    )
    patience_s: float = Field(300.0, gt=0, description="stop when a store stays out of reach for longer than this")
    silence_s: float = Field(
        45.0, ge=5, description="a loop that hangs for longer is not live: the process ends, to be started again"
    )
    recover: Literal["", "answer_again", "rebuild_state", "skip_deleted"] = Field(
        "", description="go on where the past is not all there (What happens when): for one start"
    )
    drain_s: float = Field(20.0, gt=0, le=25, description="SIGTERM: finish and commit within this time")
    until_idle_s: float | None = Field(None, gt=0, description="end once all input was read for this long")

    host: str = Field("127.0.0.1", description="where /livez, /readyz and /metrics listen")
    port: int = Field(0, ge=0, le=65_535, description="their port; 0 takes a free one and says so in the log")
    log: Literal["json", "console"] = Field("json", description="log format")
    code_version: str = Field("", description="revision that dead letters and checkpoints name; unset: the package's")

    @field_validator("member")
    @classmethod
    def _member_is_a_name(cls, member: str) -> str:
        if not member or not all(letter.isalnum() or letter in "._-" for letter in member):
            raise ValueError("use letters, digits, '.', '_' and '-'")
        return member

    @field_validator("bootstrap")
    @classmethod
    def _bootstrap_is_addresses(cls, bootstrap: str) -> str:
        for address in bootstrap.split(","):
            found = _ADDRESS.fullmatch(address.strip())
            if found is None or not 0 < int(found[1] or 9092) < 65_536:
                # Somebody's password may stand in it; it belongs into HEADRACE_KAFKA (sasl.password).
                named = repr(address[:60]) if "@" not in bootstrap else "what holds an @"
                raise ValueError(f"{named} is no address: write host:port, with commas between several")
        return bootstrap

    @field_validator("models")
    @classmethod
    def _models_hold_no_password(cls, models: str) -> str:
        if holds_password(models):
            raise ValueError(NO_PASSWORD)
        return models

    @field_validator("kafka")
    @classmethod
    def _kafka_leaves_promises_alone(cls, kafka: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if found := refusals(kafka):
            raise ValueError("; ".join(found))
        return kafka

    @property
    def connection(self) -> Connection:
        return Connection(self.bootstrap, {name: value.get_secret_value() for name, value in self.kafka.items()})


Kind = TypeVar("Kind", bound=Settings)


def read_settings(kind: type[Kind], **options: Any) -> Kind:
    """Settings from options (None: not given) and the environment; ConfigurationError names each mistake."""
    try:
        return kind(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as raised:
        mistakes = [
            f"HEADRACE_{'.'.join(str(part) for part in error['loc']).upper()}: {error['msg']}"
            for error in raised.errors(include_input=False)
        ]
        raise ConfigurationError("settings: " + "; ".join(mistakes)) from None
    except RecursionError:
        raise ConfigurationError(
            "settings: HEADRACE_KAFKA: nested too deeply; write one JSON object of texts"
        ) from None
    except SettingsError as raised:  # A variable that should hold JSON holds none.
        field = next((name for name in kind.model_fields if f'"{name}"' in str(raised)), "")
        raise ConfigurationError(f"settings: HEADRACE_{field.upper()}: write it as JSON") from None


def holds_password(url: str) -> bool:
    """Whether a url has a password before its host, whatever characters that is of.

    >>> holds_password("s3://key:secret@bucket/models"), holds_password("ftp://me@host/models"), holds_password("a:b@c")
    (True, False, False)
    """
    return ":" in url.partition("://")[2].rpartition("@")[0]
