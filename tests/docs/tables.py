"""Tables of the documentation that are made from the code. `python -m tests.docs.tables` writes them anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client.registry import CollectorRegistry
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.workspace import Workspace, builtin
from headrace.operations.remarks import WORDS
from headrace.operations.services import SERVICES
from headrace.streaming.contracts.topics import Topic, load_topics
from headrace.streaming.process.member import ServiceMember
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "pipelines/card_fraud.yaml"
FED = ROOT / "tests/formats/web/pipelines/web.yaml"
"""A pipeline with work for services that few pipelines have work for."""
MEMBER = "the host's name"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings() -> str:
    """Every setting: variable, default, who reads it, what it is."""
    rows = []
    for name, field in Settings.model_fields.items():
        rows.append(_setting(name, field, "all"))
    readers: dict[tuple[str, str, str], list[str]] = {}
    for service, kind in ((service, kind.settings) for service, kind in SERVICES.items()):
        for name in [name for name in kind.model_fields if name not in Settings.model_fields]:
            variable, default, _, what = _setting(name, kind.model_fields[name], service)
            readers.setdefault((variable, default, what), []).append(service)
    rows += [(variable, default, ", ".join(by), what) for (variable, default, what), by in readers.items()]
    return table(("variable", "default", "read by", "what it is"), rows)


def _setting(name: str, field: FieldInfo, service: str) -> tuple[str, str, str, str]:
    return f"`HEADRACE_{name.upper()}`", _default(name, field), service, str(field.description)


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if name == "member":
        return MEMBER
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "unset" if value in (None, "", ()) else f"`{value}`"


def metrics() -> str:
    """Every metric: name, type, labels, what it is."""
    shared = Metrics().registry
    known = {row[0] for row in _metrics(shared)}
    rows = [(*row, "all") for row in _metrics(shared)]
    owners: dict[tuple[str, str, str, str], list[str]] = {}
    for service, member in members().items():
        for row in _metrics(member.metrics.registry):
            if row[0] not in known:
                owners.setdefault(row, []).append(service)
    rows += [(*row, ", ".join(services)) for row, services in owners.items()]
    return table(("metric", "type", "labels", "what it is", "of"), rows)


def _metrics(registry: CollectorRegistry) -> list[tuple[str, str, str, str]]:
    found = []
    for collector in registry._collector_to_names:
        labels = ", ".join(f"`{name}`" for name in getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.append((f"`{name}`", family.type, labels, family.documentation))
    return found


def members() -> dict[str, ServiceMember]:
    """One member of each service, as it is before it opens anything."""
    ids = ROOT / "schemas/ids.json"
    return {
        name: kind.build(kind.settings(pipeline=str(FED if kind.profile else PIPELINE), schema_ids=ids))
        for name, kind in SERVICES.items()
    }


def services() -> str:
    """Every service: what it reads, what it writes, whether it keeps state; from its wiring."""
    rows = []
    for name, member in members().items():
        wiring = member.wiring
        reads = dict.fromkeys([*(channel.logical for channel in wiring.inputs), *wiring.facts, *wiring.aside])
        remembered = SERVICES[name].state
        assert bool(remembered) == (wiring.checkpoints.logical in member.written), name
        state = f"{remembered}, in memory and in checkpoints" if remembered else "none"
        rows.append((f"`{name}`", _codes(reads), _codes(member.written), state))
    return table(("service", "reads", "writes", "state"), rows)


def topics() -> str:
    """Every topic: key, who writes it, who reads it, how long it is kept."""
    rows = []
    for name, topic in sorted(load_topics([builtin() / "topics"]).items()):
        full = f"`<pipeline>.{name}{'.<name>' if topic.for_each else ''}`"
        rows.append((full, topic.key or "none", _names(topic.producers), _names(topic.consumers), _kept(topic)))
    return table(("topic", "key", "written by", "read by", "kept"), rows)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _names(names: Iterable[str]) -> str:
    ours = {"producers": "your producers", "consumers": "your consumers", "cli": "`headrace`"}
    return ", ".join(ours.get(name, f"`{name}`") for name in names)


def _kept(topic: Topic) -> str:
    if topic.config["cleanup.policy"] == "compact":
        return "the newest of each key"
    retention = int(topic.config["retention.ms"])
    return "for ever" if retention < 0 else f"{retention // 86_400_000} days"


def left_out() -> str:
    """What is left out or counted otherwise: the metric, and what commands call it."""
    rows = []
    for metric, words in WORDS.items():
        told = [text.format("...") if label == "" else f"{text} (`{label}`)" for label, text in words.items()]
        rows.append((f"`{metric}`", "; ".join(told)))
    return table(("metric", "what it counts"), rows)


def containers() -> str:
    """The services of compose.yaml, as the registry has them, for card_fraud."""
    blocks = []
    for entry in SERVICES.values():
        views = [view for _, view, _ in entry.groups(load(PIPELINE, Workspace.of(PIPELINE))) if view]
        assert len(views) < 2, "a container for each view: give them names"
        own = {"HEADRACE_VIEW": views[0]} if views else {}
        own |= {"HEADRACE_MODELS": "/models", "HEADRACE_MODEL_CACHE": "/tmp/models"} if entry.models else {}
        lines = [f"{entry.name}:"]
        if entry.dark:
            lines.insert(0, "# The dark: it may be slow, or away, and nobody who waits for a prediction notices.")
        own |= {"HEADRACE_TRAININGS": "/tmp/trainings"} if entry.trains else {}
        described = "[*trainer, *service]" if entry.trains else "*service"
        lines += [f"  <<: {described}", f"  command: [python, -m, {entry.module}]"]
        if own:
            lines += ["  environment:", "    <<: *settings", *(f"    {name}: {value}" for name, value in own.items())]
        else:
            lines += ["  environment: *settings"]
        lines += ["  cpu_shares: 256"] if entry.dark else []
        lines += [f"  profiles: [{entry.profile}]"] if entry.profile else []
        lines += ["  volumes:", "    - kernels:/var/cache/numba"]
        lines += [f"    - models:/models{'' if entry.trains else ':ro'}"] if entry.models else []
        lines += [f"  depends_on: *{'stored' if entry.store else 'fed'}"]
        blocks.append("\n".join(f"  {line}" for line in lines))
    return "\n\n".join(blocks)


def scrapes() -> str:
    """The scrape jobs of prometheus.yml."""
    return "\n".join(
        f"  - job_name: {entry.name}\n    dns_sd_configs: "
        f"[{{names: [{entry.name}], type: A, port: {entry.port}, refresh_interval: 10s}}]"
        for entry in SERVICES.values()
    )


Place = tuple[str, Path]
TABLES: dict[Place, Callable[[], str]] = {
    ("services", ROOT / "README.md"): services,
    ("services", ROOT / "docs/architecture.md"): services,
    ("services", ROOT / "compose/compose.yaml"): containers,
    ("services", ROOT / "compose/prometheus.yml"): scrapes,
    ("topics", ROOT / "docs/operations.md"): topics,
    ("settings", ROOT / "docs/operations.md"): settings,
    ("metrics", ROOT / "docs/operations.md"): metrics,
    ("noted", ROOT / "docs/operations.md"): left_out,
}
"""By (name, page that holds it between its marks) how it is made. Marks are comments: `table: NAME` and `end`."""


def place(name: str, page: Path) -> re.Match[str]:
    """Where a table stands in a page."""
    begin, end = (f"<!-- {mark} -->" if page.suffix == ".md" else f" *# {mark}" for mark in (f"table: {name}", "end"))
    found = re.search(rf"^{begin}\n(.*?)^{end}$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{page} has no place for the table {name}"
    return found


def write() -> None:
    """Write all tables anew."""
    for (name, page), made in TABLES.items():
        where, text = place(name, page), page.read_text()
        page.write_text(text[: where.start(1)] + made() + "\n" + text[where.end(1) :])
        sys.stderr.write(f"{page.name}: {name}\n")


if __name__ == "__main__":
    write()
