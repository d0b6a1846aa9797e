"""Trainings and changes of plans as OpenLineage run events: topics with offsets in, models and plans out.

| what happened | events | inputs | outputs |
|---|---|---|---|
| a training that `retrain` started | START, then COMPLETE or FAIL | outcomes, by offsets | the model |
| a package that a person trained | START, COMPLETE | topics of its manifest, by offsets | the model |
| a version of a registry that was brought in | START, COMPLETE | the version | the model |
| a plan | START, COMPLETE | the models that it names | the topic of plans, by its version |

Identities of runs follow from those of what they tell, so a repeat says the same.

References:
    OpenLineage 2-0-2, object model and facets: https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import ModelRegistered, RetrainFailed, RetrainFinished, RetrainStarted
from headrace.domain.models.package import Manifest
from headrace.domain.models.store import Stored
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import Plan
from headrace.domain.registry.registered_version import version_named
from headrace.operations.time_spans import iso

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs"
FACETS = "https://openlineage.io/spec/facets"
Json = dict[str, Any]
OffsetRanges = Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LineagePlaces:
    """What datasets and jobs are called by.

    Attributes:
        pipeline: name of it: first part of names of jobs.
        broker: first of the bootstrap addresses, host:port: in the namespaces of topics and jobs, and in identities of
            runs: pipelines of two clusters may have one name.
        models: url of the model store: namespace of models.
        producer: a URI that says which code tells this.
    """

    pipeline: str
    broker: str
    models: str
    producer: str


def run_events(
    places: LineagePlaces,
    control: Sequence[ControlEvent],
    plans: Sequence[PlanFact],
    packages: Sequence[tuple[Stored, Manifest]],
) -> list[Json]:
    """All that the records tell, by time.

    Args:
        control: events of the control topic, in its order.
        plans: facts of the plans topic.
        packages: what the model store has, with what each says of itself.
    """
    teller = _Teller(places, {stored.digest: (stored, manifest) for stored, manifest in packages})
    found = [event for said in control for event in teller.of_control(said)]
    retrained = {said.finding.digest for said in control if isinstance(said.finding, RetrainFinished)}
    topics = f"{places.pipeline}."
    for stored, manifest in packages:
        own = any(topic.startswith(topics) for topic in manifest.training.offsets)
        if own and stored.digest not in retrained:
            found += teller.of_package(stored, manifest)
    for fact in plans:
        if fact.plan is not None:
            found += teller.of_plan(fact.plan, fact)
    return sorted(found, key=lambda event: str(event["eventTime"]))


class _Teller:
    def __init__(self, places: LineagePlaces, packages: Mapping[str, tuple[Stored, Manifest]]) -> None:
        self._places = places
        self._packages = packages
        self._orders: dict[str, Mapping[int, tuple[int, int]]] = {}

    def of_control(self, said: ControlEvent) -> Iterator[Json]:
        """A training's begin, or its end."""
        finding = said.finding
        if isinstance(finding, RetrainStarted):
            self._orders[finding.run] = _ordered(finding.order)
            inputs = [self._topic("outcomes", self._orders[finding.run])]
            yield self._event("START", said.time, "training", finding.run, inputs, [], actor=said.actor)
        elif isinstance(finding, RetrainFinished):
            known = self._packages.get(finding.digest)
            read = self._read_by(known[1]) if known else []
            inputs = read or [self._topic("outcomes", self._orders.get(finding.run, {}))]
            outputs = [self._model(finding.model, finding.digest)]
            yield self._event("COMPLETE", said.time, "training", finding.run, inputs, outputs, actor=said.actor)
        elif isinstance(finding, ModelRegistered) and (named := version_named(finding.source)) is not None:
            version = [self._dataset("mlflow", named[0], str(named[1]))]
            outputs = [self._model(finding.model, finding.digest)]
            for type_ in ("START", "COMPLETE"):
                made = outputs if type_ == "COMPLETE" else []
                yield self._event(type_, said.time, "follow", finding.source, version, made, actor=said.actor)
        elif isinstance(finding, RetrainFailed):
            inputs = [self._topic("outcomes", self._orders.get(finding.run, {}))]
            failed = self._event("FAIL", said.time, "training", finding.run, inputs, [], actor=said.actor)
            failed["run"]["facets"]["errorMessage"] = self._facet(
                f"{FACETS}/1-0-0/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
                message=finding.problem or "no reason was told",
                programmingLanguage="Python",
            )
            yield failed

    def of_package(self, stored: Stored, manifest: Manifest) -> Iterator[Json]:
        """A training that a person did: when its package was stored."""
        inputs, outputs = self._read_by(manifest), [self._model(stored.title, stored.digest)]
        for type_ in ("START", "COMPLETE"):
            made = outputs if type_ == "COMPLETE" else []
            yield self._event(type_, stored.stored, "training", stored.digest, inputs, made)

    def of_plan(self, plan: Plan, fact: PlanFact) -> Iterator[Json]:
        """A plan, by who decided it."""
        named = {arm.digest: arm.title for arm in plan.arms if arm.uri}
        named |= {member.digest: member.title for arm in plan.arms for member in arm.members}
        inputs = [self._model(title, digest) for digest, title in named.items()]
        written = self._dataset(f"kafka://{self._places.broker}", f"{plan.pipeline}.plans", str(plan.version))
        for type_ in ("START", "COMPLETE"):
            made = [written] if type_ == "COMPLETE" else []
            yield self._event(
                type_, fact.time, "plan", f"plan/{plan.version}", inputs, made, actor=fact.actor, reason=fact.reason
            )

    def _event(
        self, type_: str, time: int, job: str, run: str, inputs: list[Json], outputs: list[Json], **told: str
    ) -> Json:
        namespace, name = f"headrace://{self._places.broker}", f"{self._places.pipeline}.{job}"
        said = {}
        if told:
            said["headrace_run"] = self._facet(f"{SPEC}/RunFacet", run=run, **told)
        kind = self._facet(
            f"{FACETS}/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
            processingType="BATCH",
            integration="HEADRACE",
            jobType=job.upper(),
        )
        return {
            "eventType": type_,
            "eventTime": iso(time),
            "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}/{run}")), "facets": said},
            "job": {"namespace": namespace, "name": name, "facets": {"jobType": kind}},
            "inputs": inputs,
            "outputs": outputs,
            "producer": self._places.producer,
            "schemaURL": f"{SPEC}/RunEvent",
        }

    def _read_by(self, manifest: Manifest) -> list[Json]:
        return [self._read(topic, ranges) for topic, ranges in manifest.training.offsets.items()]

    def _topic(self, logical: str, ranges: OffsetRanges) -> Json:
        return self._read(f"{self._places.pipeline}.{logical}", ranges)

    def _read(self, topic: str, ranges: OffsetRanges) -> Json:
        dataset = self._dataset(f"kafka://{self._places.broker}", topic)
        if ranges:
            told = [{"partition": at, "from": start, "to": stop} for at, (start, stop) in sorted(ranges.items())]
            dataset["inputFacets"] = {"headrace_offsets": self._facet(f"{SPEC}/InputDatasetFacet", offsets=told)}
        return dataset

    def _model(self, title: str, digest: str) -> Json:
        return self._dataset(self._places.models, title.partition("@")[0], digest, title)

    def _dataset(self, namespace: str, name: str, version: str | None = None, title: str | None = None) -> Json:
        facets = {}
        if version is not None:
            url = f"{FACETS}/1-0-0/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
            facets["version"] = self._facet(url, datasetVersion=version)
        if title is not None:
            facets["headrace_model"] = self._facet(f"{SPEC}/DatasetFacet", title=title)
        return {"namespace": namespace, "name": name, "facets": facets}

    def _facet(self, url: str, **fields: object) -> Json:
        return {"_producer": self._places.producer, "_schemaURL": url, **fields}


def _ordered(order: str) -> dict[int, tuple[int, int]]:
    """The offsets that a training's order names; nothing where it names none yet."""
    try:
        said = json.loads(order or "{}").get("offsets") or {}
        return {int(partition): (int(start), int(stop)) for partition, (start, stop) in said.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
