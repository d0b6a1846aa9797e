"""What of a run has to be the same in another: all but clocks, the names that people's requests get, and costs.

Left out, and why:
- the time of a record and what is made of it (`time`, `until`, hashes of the ledger): the clock of whoever wrote it;
- `seconds`, `cpu_s`, `wall_s`, `latency`, `memory`: what a job took;
- paths and addresses (`log`, `uri`, `order`'s paths), which lie in the run's own folder;
- the random end of a person's request, and what the evaluation of a model that a person registered is called after it;
- `ingest_time`: when an event came;
- the order of predictions, outcomes and messages among those of other entities: partitions are written side by side,
  so where a record lies among others follows from who was quicker. What is said of an event is compared by event.
- offsets: where records of a partition lie side by side with control records of transactions, of which a member that
  was killed leaves more or fewer, and one that is slow makes more of them. An offset is compared as the number of
  records before it, also that which a package names: so a digest is that of the same package with such numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headrace.domain.control.events import ControlEvent, evidence_of
from headrace.domain.control.retrain import ModelRegistered
from headrace.domain.ledger.verification import broken_links
from headrace.domain.models.package import CARD, MANIFEST, ModelPackage, digest_of, files_of, load
from headrace.domain.models.store import ModelStore
from headrace.domain.records.notifications import DUE, SENT, UNDELIVERED
from headrace.domain.training.job.code_revision import code_revision
from headrace.operations.ledger.ledger_check import check_ledger
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings
from loadtests.loop_faults.loop import Loop, dumped

CLOCKS = frozenset(
    {
        "seconds",
        "cpu_s",
        "wall_s",
        "latency",
        "memory",
        "peak_memory",
        "log",
        "uri",
        "until",
        "time",
        "written",
        "pid",
        "package_bytes",
    }
)
"""Fields that tell of this run alone, at whatever depth."""
REVISION = "revision of the code"
UNORDERED = ("ledger", "features", "predictions", "shadow-predictions", "outcomes", "notifications")
_REQUEST = re.compile(r"(person/[^/]+/[a-z_]+/)[0-9a-f]{12}")


@dataclass
class NormalForm:
    """A run, as it has to be in every other.

    Attributes:
        parts: by name, in the order in which a difference is worth telling.
    """

    parts: dict[str, Any] = field(default_factory=dict)

    def differences(self, other: NormalForm) -> list[str]:
        """What is not the same in another run, in words; nothing where all is.

        A package names the revision of the code that trained it, so digests are the same where that is; elsewhere those
        of models that were trained are compared as the models' names.
        """
        found = []
        revisions = self.parts.get(REVISION), other.parts.get(REVISION)
        alike = revisions[0] is not None and revisions[0] == revisions[1]
        first, second = (each.parts if alike else each.named() for each in (self, other))
        for name in (first.keys() | second.keys()) - {REVISION}:
            ours, theirs = first.get(name), second.get(name)
            if ours != theirs:
                found += [f"{name}: {each}" for each in _apart(ours, theirs)]
        return sorted(found)

    def named(self) -> dict[str, Any]:
        """With the names of trained models instead of the digests of their packages; lists in order anew."""
        text = json.dumps(self.parts)
        for event in self.parts.get("control by retrain", ()):
            if event["type"] == "model_registered":
                digest, name = event["digest"], f"package of {event['model']}"
                text = text.replace(digest, name).replace(digest[:12], name)
        return _in_order(text)


def normal_form(loop: Loop) -> NormalForm:
    """Read a run from its topics, once all is calm."""
    places = {name: _Places(loop, name) for name in ("outcomes",)}
    events = loop.events()
    by_actor: dict[str, list[Any]] = {}
    for event in events:
        by_actor.setdefault(event.actor, []).append(said(event, places))
    settings = Settings(pipeline=str(loop.path), bootstrap=loop.bootstrap)
    entries = [entry for _, entry in ledger_records(settings, loop.contracts).entries]
    check = check_ledger(settings, loop.contracts)
    assert not list(broken_links(loop.name, enumerate(entries)))
    ledger = Counter((entry.source, entry.type, dumped(_entry(entry.said()))) for entry in entries)
    form = NormalForm({REVISION: code_revision()})
    form.parts["kinds"] = [event.finding.type for event in events]
    form.parts["events handled twice"] = sorted(
        name for name, count in Counter(event.event_id for event in events).items() if count > 1
    )
    for actor, told in sorted(by_actor.items()):
        form.parts[f"control by {actor}"] = told
    form.parts["plans"] = [_plan(row) for row in loop.read("plans").sort_by("_offset").to_pylist()]
    form.parts["ledger"] = sorted([*key, count] for key, count in ledger.items())
    form.parts["ledger check"] = [str(fault) for fault in check.faults] + [f"behind: {each}" for each in check.behind]
    for logical, columns in EVENT_TOPICS.items():
        form.parts[logical] = _by_event(loop.read(logical), columns)
    form.parts["dead letters"] = loop.count("dead-letters")
    form.parts["notifications"] = _notifications(loop)
    text = _renamed(json.dumps(form.parts), events)
    return NormalForm(_in_order(_contents_named(text, loop, events, places["outcomes"])))


def _contents_named(text: str, loop: Loop, events: Sequence[ControlEvent], outcomes: _Places) -> str:
    """A package that was trained names offsets, so its digest is that of one which names numbers of records."""
    store = ModelStore(str(loop.directory / "models"), loop.directory / "put")
    for event in events:
        found = event.finding
        if isinstance(found, ModelRegistered) and found.run:
            content = counted_digest(load(store.fetch(found.uri, found.digest)), outcomes.counted)
            text = text.replace(found.digest, content).replace(found.digest[:12], content[:12])
    return text


def counted_digest(package: ModelPackage, counted: Callable[[Mapping[str, Any]], dict[str, Any]]) -> str:
    """The digest of a package with `counted` of the offsets by partition that its manifest and its card name."""
    said = package.manifest.model_dump(mode="json")
    offsets = said["training"]["offsets"]
    said["training"]["offsets"] = {topic: counted(spans) for topic, spans in offsets.items()}
    files = files_of(package) | {MANIFEST: dumped(said).encode()}
    if (card := package.model_card) is not None:
        files[CARD] = dumped(_order(card.model_dump(mode="json"), counted)).encode()
    return digest_of(files)


def _renamed(text: str, events: Sequence[ControlEvent]) -> str:
    """Evaluations are called after the event that asks for them: those of people's, whose ends are random, in order."""
    asked = [event.event_id for event in events if _REQUEST.search(event.event_id)]
    for number, identity in enumerate(asked):
        name = hashlib.sha256(identity.encode()).hexdigest()[:12]
        text = text.replace(f"evaluation-{name}", f"evaluation-of-request-{number}")
    return text


def _in_order(text: str) -> dict[str, Any]:
    """Lists whose order says nothing, by what is in them."""
    found: dict[str, Any] = json.loads(text)
    return {name: sorted(part, key=dumped) if name in UNORDERED else part for name, part in found.items()}


EVENT_TOPICS: Mapping[str, tuple[str, ...]] = {
    "features": (),
    "predictions": ("model", "arm", "score", "decision"),
    "shadow-predictions": ("model", "arm", "score", "decision"),
    "outcomes": ("model", "arm", "score", "label", "revision"),
}
"""What is compared of each record; nothing named: all features."""
UNLIKE = ("event", "ingest_time", "scored_at", "time", "offset", "partition", "traceparent")


def said(event: ControlEvent, places: Mapping[str, _Places]) -> dict[str, Any]:
    """An event without what is this run's alone."""
    found: dict[str, Any] = {
        "type": event.finding.type,
        "id": _named(event.event_id),
        "cause": _named(event.cause or ""),
    }
    for name, value in evidence_of(event.finding).items():
        if name in CLOCKS:
            continue
        if name == "offsets":
            found[name] = places["outcomes"].counted(json.loads(value))
        elif name in ("order", "result", "said"):
            found[name] = _order(json.loads(value), places["outcomes"].counted)
        elif name == "because" and event.finding.type == "retrain_ignored":
            continue
        else:
            found[name] = _within(_parsed(value))
    return found


def _named(identity: str) -> str:
    return _REQUEST.sub(r"\1N", identity)


def _parsed(value: str) -> Any:
    if value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


def _within(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _within(inner) for name, inner in value.items() if name not in CLOCKS}
    if isinstance(value, list):
        return [_within(inner) for inner in value]
    return value


def _order(value: Any, counted: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return {
            name: counted(inner) if name == "offsets" and inner else _order(inner, counted)
            for name, inner in value.items()
            if name not in CLOCKS
        }
    return value


class _Places:
    """Offsets of a topic as numbers of records before them."""

    def __init__(self, loop: Loop, logical: str) -> None:
        channel = loop.contracts.channel(logical)
        self._offsets: dict[int, list[int]] = {}
        for intake in read(loop.connection, channel, ranges(loop.connection, channel.name)):
            batch = intake.batch
            for partition, offset in zip(batch.partition.tolist(), batch.offset.tolist(), strict=True):
                self._offsets.setdefault(partition, []).append(offset)

    def before(self, partition: str, offset: int) -> int:
        return sum(each < offset for each in self._offsets.get(int(partition), ()))

    def counted(self, offsets: Mapping[str, Any]) -> dict[str, Any]:
        """Of partitions: an offset, or where a span begins and ends."""
        return {
            partition: [self.before(partition, each) for each in place]
            if isinstance(place, list | tuple)
            else self.before(partition, place)
            for partition, place in offsets.items()
        }


def _plan(row: Mapping[str, Any]) -> dict[str, Any]:
    arms = [{name: value for name, value in arm.items() if name != "uri"} for arm in row["arms"]]
    return {"version": row["plan_version"], "actor": row["actor"], "arms": arms}


def _entry(content: Mapping[str, Any]) -> Any:
    """Of an entry who it is of and what it is; its record is compared where it lies."""
    kept = {name: content[name] for name in ("actor", "type", "plan_version") if name in content}
    return kept | {"event_id": _named(str(content.get("event_id", "")))}


def _by_event(table: pa.Table, columns: tuple[str, ...]) -> list[str]:
    names = columns or tuple(name for name in table.column_names if name not in UNLIKE and not name.startswith("_"))
    ours = table.select(["event_id", *(name for name in names if name != "event_id")])
    return sorted(dumped({name: _plain(value) for name, value in row.items()}) for row in ours.to_pylist())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _notifications(loop: Loop) -> list[str]:
    """Who was to be told of what, how many events were told, and that each message reached somebody.

    How many events come in one message follows from the clock, and a message may come twice after a kill.
    """
    rows = loop.read("notifications").to_pylist()
    due = sorted(f"{row['channel']} {_named(row['event_id'])}" for row in rows if row["step"] == DUE)
    sent = sum(row["count"] for row in rows if row["step"] == SENT)
    lost = [row["event_id"] for row in rows if row["step"] == UNDELIVERED]
    heard = dumped(loop.webhook.received)
    unheard = [
        row["event_id"] for row in rows if row["step"] == DUE and row["count"] == 1 and row["title"] not in heard
    ]
    return [*due, f"told: {sent}", f"undelivered: {lost}", f"unheard: {len(unheard) if sent == len(due) else ''}"]


def _apart(ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) == len(theirs):
            pairs = [(at, a, b) for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
            return [f"[{at}] {_shown(a, b)}" for at, a, b in pairs[:3]] + [f"{len(pairs)} differ of {len(ours)}"]
        keys = Counter(map(dumped, ours)), Counter(map(dumped, theirs))
        lone = [f"only first: {each[:300]}" for each in (keys[0] - keys[1])][:3]
        lone += [f"only second: {each[:300]}" for each in (keys[1] - keys[0])][:3]
        return [f"{len(ours)} and {len(theirs)}", *lone]
    return [_shown(ours, theirs)]


def _shown(a: Any, b: Any) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        names = [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
        return "; ".join(f"{name}: {str(a.get(name))[:300]} | {str(b.get(name))[:300]}" for name in sorted(names))
    return f"{str(a)[:300]} | {str(b)[:300]}"
