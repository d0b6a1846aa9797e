"""The one door to MLflow: versions and files in, tags and aliases out; its errors become ours.

MLflow is asked for little, with its own client, so whatever its address can be (a server, a database, Databricks) is an
address here, and who may is said by its own variables (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN, ...).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.domain.registry.model_source import AliasSource, RunSource, VersionSource
from headrace.domain.registry.registered_version import LONGEST_USER, RegisteredVersion
from headrace.errors import ConfigurationError, ContractError, Transient

NOT_INSTALLED = "this needs MLflow's client: install the extra that brings it (pip install 'headrace[mlflow]')"
LARGEST_MODEL, MOST_FILES = 512 << 20, 1_000
"""Bytes and files of a model."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven, with pauses between, would take minutes: we come again ourselves
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""What MLflow's client reads from the environment, where that does not say otherwise."""

ABSENT = frozenset(
    """
    NOT_FOUND RESOURCE_DOES_NOT_EXIST
    """.split()  # noqa: SIM905  # as a list it would take a line a word
)
LATER = frozenset(
    """
    ABORTED CANCELLED COULD_NOT_ACQUIRE_LOCK DATA_LOSS DEADLINE_EXCEEDED DEPLOYMENT_TIMEOUT INTERNAL_ERROR
    IO_ERROR MALFORMED_PARTNER_RESPONSE PERMISSION_NOT_PROPAGATED PROJECTS_OPERATION_TIMEOUT QUOTA_EXCEEDED
    REQUEST_LIMIT_EXCEEDED RESOURCE_CONFLICT RESOURCE_EXHAUSTED RESOURCE_LIMIT_EXCEEDED
    SERVICE_UNDER_MAINTENANCE TEMPORARILY_UNAVAILABLE UNPARSEABLE_HTTP_ERROR WORKSPACE_TEMPORARILY_UNAVAILABLE
    """.split()  # noqa: SIM905  # as a list it would take a line a word
)
"""Codes of errors after which the same call may succeed."""
REFUSED = frozenset(
    """
    ALREADY_EXISTS BAD_REQUEST CATALOG_ALREADY_EXISTS CATALOG_DOES_NOT_EXIST CATALOG_NOT_EMPTY
    CUSTOMER_UNAUTHORIZED DAC_ALREADY_EXISTS DAC_DOES_NOT_EXIST DIRECTORY_NOT_EMPTY DIRECTORY_PROTECTED
    DRY_RUN_FAILED ENDPOINT_NOT_FOUND EXTERNAL_LOCATION_ALREADY_EXISTS EXTERNAL_LOCATION_DOES_NOT_EXIST
    FEATURE_DISABLED GIT_CONFLICT GIT_REMOTE_ERROR GIT_SENSITIVE_TOKEN_DETECTED GIT_UNKNOWN_REF
    GIT_URL_NOT_ON_ALLOW_LIST INSECURE_PARTNER_RESPONSE INVALID_PARAMETER_VALUE INVALID_STATE
    INVALID_STATE_TRANSITION IPYNB_FILE_IN_REPO MALFORMED_REQUEST MANAGED_RESOURCE_GROUP_DOES_NOT_EXIST
    MAX_BLOCK_SIZE_EXCEEDED MAX_CHILD_NODE_SIZE_EXCEEDED MAX_LIST_SIZE_EXCEEDED MAX_NOTEBOOK_SIZE_EXCEEDED
    MAX_READ_SIZE_EXCEEDED METASTORE_ALREADY_EXISTS METASTORE_DOES_NOT_EXIST METASTORE_NOT_EMPTY NOT_IMPLEMENTED
    PARTIAL_DELETE PERMISSION_DENIED PRINCIPAL_DOES_NOT_EXIST PROVIDER_ALREADY_EXISTS PROVIDER_DOES_NOT_EXIST
    PROVIDER_SHARE_NOT_ACCESSIBLE RECIPIENT_ALREADY_EXISTS RECIPIENT_DOES_NOT_EXIST RESOURCE_ALREADY_EXISTS
    SCHEMA_ALREADY_EXISTS SCHEMA_DOES_NOT_EXIST SCHEMA_NOT_EMPTY SEARCH_QUERY_TOO_LONG SEARCH_QUERY_TOO_SHORT
    SHARE_ALREADY_EXISTS SHARE_DOES_NOT_EXIST STORAGE_CREDENTIAL_ALREADY_EXISTS
    STORAGE_CREDENTIAL_DOES_NOT_EXIST TABLE_ALREADY_EXISTS TABLE_DOES_NOT_EXIST UNAUTHENTICATED
    """.split()  # noqa: SIM905  # as a list it would take a line a word
)
"""Codes of errors that stay until somebody mends their cause. A code that is in none of the three counts as one."""


class MlflowRegistry:
    """A registry of models.

    Args:
        address: as MLFLOW_REGISTRY_URI; it may hold no password.

    Raises:
        ConfigurationError: MLflow is not installed, or knows no such address.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
            import mlflow.artifacts
            import requests
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "mlflow":
                raise
            raise ConfigurationError(NOT_INSTALLED) from None
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._mlflow: Any = mlflow
        self._unreachable: tuple[type[Exception], ...] = (requests.exceptions.RequestException, OSError)
        with self._asked():
            # Files of a version may lie behind the tracking server, whichever way it was found.
            mlflow.set_tracking_uri(address)
            mlflow.set_registry_uri(address)
            self._client: Any = mlflow.MlflowClient()

    def version_behind(self, source: AliasSource) -> RegisteredVersion | None:
        """The version that an alias names now; None where it names none.

        Raises:
            ConfigurationError: there is no such model, or it may not be read.
            Transient: MLflow does not answer.
        """
        number = self.aliases(source.model).get(source.alias)
        return None if number is None else self.version(VersionSource(source.model, number))

    def aliases(self, model: str) -> dict[str, int]:
        """Alias -> version of a registered model; raises what `version_behind` does."""
        found = self._registered(model)
        return {str(alias): int(version) for alias, version in dict(found.aliases).items()}

    def version(self, source: VersionSource) -> RegisteredVersion | None:
        """A version by its number; None where there is none. Raises what `version_behind` does."""
        try:
            with self._asked():
                found = self._client.get_model_version(source.model, str(source.version))
        except _Absent:
            return None
        return RegisteredVersion(
            str(found.name),
            int(found.version),
            str(found.run_id or ""),
            str(found.source or ""),
            int(found.creation_timestamp or 0),
            str(found.user_id or "")[:LONGEST_USER],
            str(found.status) == "READY",
            {str(key): str(value) for key, value in dict(found.tags).items()},
        )

    def download(self, source: VersionSource | RunSource, into: Path) -> Path:
        """The files of a version, or of a model that a run logged, in a directory below `into`.

        Raises:
            ContractError: there are none, or more, or larger ones, than a model may have.
            ConfigurationError, Transient: as `version_behind`.
        """
        uri = str(source)
        try:
            with self._asked():
                files = list(self._listed(source))
                if not files:
                    raise ContractError(f"{uri} has no files at {self.address}: log the model by log_model")
                size = sum(int(each.file_size or 0) for each in files)
                if size > LARGEST_MODEL or len(files) > MOST_FILES:
                    raise ContractError(
                        f"{uri} has {len(files):,} files of {size:,} bytes; {MOST_FILES:,} of {LARGEST_MODEL:,} bytes "
                        "are allowed"
                    )
                return Path(self._mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
        except _Absent as absent:
            raise ContractError(f"{uri} has no files: {absent}") from None

    def _listed(self, source: VersionSource | RunSource) -> Iterator[Any]:
        # Of a run paths are told from its root on, of a version from the model's.
        run = source.run if isinstance(source, RunSource) else None
        pending = [source.path if isinstance(source, RunSource) else ""]
        count = 0
        while pending:
            inner = pending.pop()
            if run is not None:
                found = self._mlflow.artifacts.list_artifacts(run_id=run, artifact_path=inner)
            else:
                found = self._mlflow.artifacts.list_artifacts(
                    artifact_uri=f"{source}/{inner}" if inner else str(source)
                )
            for each in found:
                count += 1
                if count > MOST_FILES * 2:
                    return
                if each.is_dir:
                    pending.append(each.path)
                else:
                    yield each

    def tag(self, model: str, version: int, key: str, value: str) -> None:
        """Write a tag of a version; raises what `version_behind` does."""
        with self._asked():
            self._client.set_model_version_tag(model, str(version), key, value)

    def model_tags(self, model: str) -> Mapping[str, str]:
        """Of a registered model; raises what `version_behind` does."""
        return dict(self._registered(model).tags)

    def tag_model(self, model: str, key: str, value: str) -> None:
        """Write a tag of a registered model; raises what `version_behind` does."""
        with self._asked():
            self._client.set_registered_model_tag(model, key, value)

    def point(self, model: str, alias: str, version: int | None) -> None:
        """Have an alias name a version, or nothing; raises what `version_behind` does."""
        with self._asked():
            if version is None:
                self._client.delete_registered_model_alias(model, alias)
            else:
                self._client.set_registered_model_alias(model, alias, str(version))

    def _registered(self, model: str) -> Any:
        try:
            with self._asked():
                return self._client.get_registered_model(model)
        except _Absent:
            raise ConfigurationError(
                f"{self.address} has no registered model {model}: register one by "
                f"mlflow.<library>.log_model(..., registered_model_name={model!r}), or name another in registry.model"
            ) from None

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """What MLflow raises inside becomes one of ours."""
        try:
            yield
        except self._mlflow.exceptions.MlflowException as error:
            code, text = str(error.error_code), " ".join(str(error).split())[:400]
            if code in ABSENT:
                raise _Absent(f"{self.address}: {text}") from None
            kind = Transient if code in LATER else ConfigurationError
            raise kind(f"MLflow at {self.address}: {text}") from None
        except self._unreachable as error:
            raise Transient(f"MLflow at {self.address} does not answer: {str(error)[:300]}") from None


class _Absent(ConfigurationError):
    """There is no such thing."""
