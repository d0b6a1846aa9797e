"""Schema ids from a Confluent-compatible registry, over plain HTTP."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.streaming.contracts.schemas import REMEDY, Schema, load_writer

_TYPE = "application/vnd.schemaregistry.v1+json"
_MISSING = 404
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_FORBIDDEN = {401, 403}
# A schema is a page of text; what is larger is not one.
_MOST_BYTES = 8_000_000


class RegistryIds:
    """Ids as the registry gives them; a version registered later is found when it is asked for.

    Versions are remembered for the life of the process: a registry never changes what an id stands for.

    Args:
        url: root of the API, `http://user:password@host:8081`; the credentials never show in a message.
        timeout: seconds for one request.

    Raises:
        ConfigurationError: the URL is not one, or the credentials are refused.
        ContractError: the registry refuses a schema or does not know it.
        Transient: the registry is not reached or is busy; the same call may succeed later.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            fit = fit and not parts.query and "@" not in parts.path + parts.fragment
        except ValueError:  # Its message may carry a part of a password.
            fit = False
        if not fit or not url.isprintable() or " " in url:
            raise ConfigurationError(
                "HEADRACE_REGISTRY: a registry's URL looks like http://host:8081 or https://user:password@host; in a "
                "password write / as %2F, : as %3A, @ as %40"
            )
        self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self.timeout = timeout
        self._headers = {"Accept": _TYPE, "Content-Type": _TYPE}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._ids: dict[tuple[str, str], int] = {}
        self._versions: dict[str, dict[int, tuple[int, Schema | str]]] = {}

    def id_of(self, subject: str, schema: Schema) -> int:
        """As `SchemaIds.id_of`; asks the registry once."""
        known = (subject, schema.fingerprint)
        if known not in self._ids:
            found = self._call("POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema.canonical})
            if found is None:
                raise ContractError(f"{schema.name} is not registered for {subject} at {self.url}; {REMEDY} --registry")
            self._ids[known] = int(found["id"])
        return self._ids[known]

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        """As `SchemaIds.writers`; asks for the versions each time, and fetches those that are new."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        known = self._versions.setdefault(subject, {})
        for version in self._call("GET", path) or []:
            if version not in known:
                found = self._call("GET", f"{path}/{version}")
                if found is not None:
                    known[version] = int(found["id"]), _safe(found)
        return dict(known.values())

    def register(self, subject: str, schema: Schema) -> int:
        """Add a version unless it is there; ContractError when the subject's compatibility forbids it."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._call("POST", path, {"schema": schema.canonical})
        if answer is None:
            raise ContractError(f"{self.url} is not a schema registry: it has no {path}")
        return int(answer["id"])

    def compatible(self, subject: str, schema: Schema) -> bool:
        """Whether the registry would take the schema as the subject's next version; true for a new subject."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest"
        answer = self._call("POST", path, {"schema": schema.canonical})
        return answer is None or bool(answer["is_compatible"])

    def _call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer; None when what was asked for is not there."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_MOST_BYTES).decode(errors="replace")
            if error.code == _MISSING:
                return None
            if error.code in _BUSY:
                raise Transient(f"registry {self.url} answers {error.code} to {method} {path}") from None
            if error.code in _FORBIDDEN:
                raise ConfigurationError(
                    f"registry {self.url} refuses the credentials ({error.code}); mend HEADRACE_REGISTRY"
                ) from None
            raise ContractError(f"registry {self.url} refuses {method} {path}: {_message(said)}") from None
        except OSError as error:
            raise Transient(f"registry {self.url} is not reached: {error}") from None
        except ValueError:
            raise ContractError(f"{self.url} is not a schema registry: {path} is not answered in JSON") from None


def _safe(version: dict[str, Any]) -> Schema | str:
    """The schema of a version, or why its records cannot be read."""
    kind = version.get("schemaType", "AVRO")
    if kind != "AVRO":
        return f"it is {str(kind)[:40]}, and only Avro is read"
    try:
        definition = json.loads(version["schema"])
    except (ValueError, RecursionError):
        return "it is not JSON that can be read"
    if not isinstance(definition, dict):
        return "the outermost type must be a record"
    if version.get("references"):
        return "it refers to other subjects, and is not read without them"
    try:
        return load_writer(definition)
    except ContractError as error:
        return str(error)


def _message(said: str) -> str:
    try:
        document = json.loads(said)
    except ValueError:
        return said[:500]
    return str(document.get("message", said))[:500] if isinstance(document, dict) else said[:500]
