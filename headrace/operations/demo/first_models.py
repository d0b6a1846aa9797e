"""The first models of a demo, from the features and labels on the topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plans import Arm
from headrace.domain.training.bootstrap import build_offline
from headrace.domain.training.dataset import assemble
from headrace.domain.training.model_build import Tuning
from headrace.domain.training.trainer import MANY
from headrace.operations.demo.scene import DAY_MS, Setting
from headrace.operations.models.training import between, revision, used
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import read_topic

TREES = 100


@dataclass(frozen=True, slots=True)
class FirstModel:
    """A package in the store, and its arm in the first plan; None where it has none."""

    title: str
    arm: Arm | None


def train_first(
    setting: Setting, connection: Connection, contracts: Contracts, store: ModelStore, grown: Callable[[int], None]
) -> list[FirstModel]:
    """Train the contenders of a setting and store them. `grown` is told each tree.

    Raises what `build_offline` does, and Transient when Kafka or the store does not answer.
    """
    pipeline = contracts.pipeline
    since = setting.begin + setting.unlearnt_days * DAY_MS
    until = setting.begin + setting.learnt_days * DAY_MS
    every, _ = read_topic(connection, contracts.channel("features"))
    labels, _ = read_topic(connection, contracts.channel("labels"))
    features = between(every, since, until)
    offsets = {f"{pipeline.name}.{name}": used(t) for name, t in (("features", features), ("labels", labels))}
    known = until + (pipeline.labels.matures_after if pipeline.labels else 0)
    tuning = None
    if setting.unlearnt_days and pipeline.value is not None:
        # The first days of a history, whose windows are not full yet, serve for something and count as no change.
        early = between(every, setting.begin, since)
        tuning = Tuning(assemble(early, labels, expand(pipeline), pipeline.labels, known), pipeline.value)
    found = []
    for each in setting.contenders:
        package = build_offline(
            pipeline,
            features,
            labels,
            each.version,
            trainer=each.trainer,
            parameters=each.parameters,
            trees=TREES if each.trainer in MANY else None,
            as_of=known,
            revision=revision(),
            offsets=offsets,
            tuning=tuning,
            progress=grown,
        )
        admit(package)
        uri, manifest = store.put(package), package.manifest
        arm = None if each.arm is None else Arm(each.arm, manifest.name, manifest.version, package.digest, uri)
        found.append(FirstModel(package.title, arm))
    return found
