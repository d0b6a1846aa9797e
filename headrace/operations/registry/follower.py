"""One look at a registry: the version behind an alias comes in, and what was decided goes out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import ModelRefused, ModelRegistered
from headrace.domain.ledger.entry import read_entry
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.registry.model_source import AliasSource, VersionSource
from headrace.domain.registry.registered_version import RegisteredVersion, origin_of
from headrace.domain.registry.version_history import RegistryStanding
from headrace.errors import ContractError, Transient
from headrace.operations.progress import ProgressView
from headrace.operations.registry.intake import understand
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.operations.registry.teller import RegistryTeller, RegistryTold
from headrace.operations.registry.topic_news import TopicNews, say_once
from headrace.streaming.process.settings import Settings

ACTOR = "follow"


@dataclass(frozen=True, slots=True)
class RegistryLook:
    """What came of a look.

    Attributes:
        source: that was looked at.
        version: behind it, such as models:/fraud/7; None: it names none.
        outcome: `registered` now, or `known` from before; `refused` now, or `refused before`; `waits` until its files
            are there; `none`; `away`: MLflow does not answer.
        model, digest: of its package.
        because: why it is refused, waits, or is not known.
        notes: what was understood, a sentence each.
        told: what MLflow was told.
        left_out: records of topics that cannot be read.
    """

    source: str
    version: str | None
    outcome: str
    model: str | None = None
    digest: str | None = None
    because: str | None = None
    notes: Sequence[str] = ()
    told: RegistryTold = field(default_factory=RegistryTold)
    left_out: Sequence[str] = ()


class RegistryFollower:
    """Follows an alias of a registry for a pipeline; all that it remembers it can read again.

    Args:
        settings, contracts: of the pipeline.
        store: that packages go to.
        registry: that is followed and told.
        source: what is followed.
        rules: of the pipeline file's section `registry`.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        store: ModelStore,
        registry: MlflowRegistry,
        source: AliasSource | VersionSource,
        rules: ModelRegistry,
    ) -> None:
        self._connection = settings.connection
        self._contracts = contracts
        self._store = store
        self._registry = registry
        self._source = source
        self._rules = rules
        self._control = TopicNews(self._connection, contracts.channel("control"))
        self._ledger = TopicNews(self._connection, contracts.channel("ledger"))
        self._said: dict[str, str] = {}
        self._standing = RegistryStanding()
        self._teller = RegistryTeller(registry, contracts.pipeline.name, rules.champion)
        self._refused: dict[str, str] = {}

    def look(self, now: int, progress: ProgressView) -> RegistryLook:
        """Bring in what is new, tell what was decided. A version that was brought in is not brought in again.

        Args:
            now: milliseconds since the epoch.
            progress: told what is done.

        Raises:
            ConfigurationError: there is no such model, or it may not be read.
            ContractError: a topic is not there.
            Transient: Kafka or the model store does not answer.
        """
        self._read_control()
        try:
            found = self._inward(now, progress)
        except _Away as away:
            found = RegistryLook(str(self._source), None, "away", because=str(away))
        self._read_ledger()
        told = self._teller.tell(self._standing)
        left_out = [*self._control.unreadable, *self._ledger.unreadable]
        return RegistryLook(
            found.source,
            found.version,
            found.outcome,
            found.model,
            found.digest,
            found.because,
            found.notes,
            told,
            left_out,
        )

    def _inward(self, now: int, progress: ProgressView) -> RegistryLook:
        try:
            behind = isinstance(self._source, AliasSource)
            version = (
                self._registry.version_behind(self._source)
                if isinstance(self._source, AliasSource)
                else self._registry.version(self._source)
            )
        except Transient as away:
            raise _Away(str(away)) from away
        source = str(self._source)
        if version is None:
            why = "the alias names no version yet" if behind else "there is no such version"
            return RegistryLook(source, None, "none", because=why)
        title = f"{self._contracts.pipeline.model.name}@{version.package_version}"
        if (digest := self._said.get(version.identity)) is not None:
            return RegistryLook(source, version.uri, "known", title, digest)
        if not version.ready:
            why = "its files are not all there yet"
            return RegistryLook(source, version.uri, "waits", title, because=why)
        if (why_not := self._refused.get(version.identity)) is not None:
            return RegistryLook(source, version.uri, "refused before", title, because=why_not)
        try:
            stored, notes = self._stored(version, progress)
        except ContractError as refusal:
            self._refused[version.identity] = str(refusal)
            self._say(version, ModelRefused(title, version.identity, str(refusal)), now)
            return RegistryLook(source, version.uri, "refused", title, because=str(refusal))
        self._say(version, ModelRegistered(stored.title, stored.digest, stored.uri, source=version.identity), now)
        return RegistryLook(source, version.uri, "registered", stored.title, stored.digest, notes=notes)

    def _stored(self, version: RegisteredVersion, progress: ProgressView) -> tuple[Stored, Sequence[str]]:
        """The package of a version; one that was stored before a kill is taken as it is."""
        name = self._contracts.pipeline.model.name
        title = f"{name}@{version.package_version}"
        there = [one for one in self._store.packages() if one.title == title]
        if there:
            return there[0], ["its package was stored before"]
        with tempfile.TemporaryDirectory() as folder:
            with progress.stage(f"fetching {version.uri}"):
                try:
                    files = self._registry.download(version.source_of, Path(folder))
                except Transient as away:
                    raise _Away(str(away)) from away
            with progress.stage(f"reading and converting {version.uri}"):
                made = understand(files, self._contracts, self._rules, version.package_version, origin_of(version))
        uri = self._store.put(made.package)
        return Stored(name, version.package_version, made.package.digest, uri, (), 0), made.notes

    def _say(self, version: RegisteredVersion, finding: ControlFinding, now: int) -> None:
        """Tell it on the control topic, once."""
        about = "registered"
        if isinstance(finding, ModelRefused):
            about = f"refused/{sha256(finding.because.encode()).hexdigest()[:12]}"
        identity = f"{version.identity}/{about}"
        name = self._contracts.pipeline.name
        # Whoever registered it there asks for it: where two have to approve, that person is none of them.
        actor = ACTOR if isinstance(finding, ModelRefused) else version.user or ACTOR
        event = ControlEvent(identity, name, now, actor, finding)

        def lacking() -> list[ControlEvent]:
            self._read_control()
            return [] if identity in self._said else [event]

        say_once(self._connection, self._contracts.channel("control"), f"{name}.{ACTOR}", lacking)
        self._read_control()

    def _read_control(self) -> None:
        rows, anew = self._control.rows()
        if anew:
            self._said.clear()
        for row in rows:
            if row["event_id"].startswith("mlflow/"):
                self._said[row["event_id"]] = row["type"]
            source = row["evidence"].get("source", "")
            if row["type"] == ModelRegistered.type and source.startswith("mlflow/"):
                self._said[source] = row["evidence"].get("digest", "")

    def _read_ledger(self) -> None:
        rows, anew = self._ledger.rows()
        if anew:
            self._standing = RegistryStanding()
        for row in rows:
            self._standing.take(read_entry(row))


class _Away(Transient):
    """MLflow does not answer: what was decided waits, and the rest goes on."""
