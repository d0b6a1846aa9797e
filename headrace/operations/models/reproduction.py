"""A stored model trained again from the topics: is it the same, to the bit, and where not, why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, Literal

import yaml

from headrace.domain.models.card import ModelCard
from headrace.domain.models.package import CARD, MANIFEST, PROFILE, ModelPackage, files_of, load
from headrace.domain.models.sessions import RUNTIME_VERSION
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.training.bootstrap import build_offline
from headrace.domain.training.card_figures import rule_of
from headrace.domain.training.job.code_revision import code_revision
from headrace.domain.training.job.order import Offsets, TrainingOrder, TrainingProgress, parse_order
from headrace.domain.training.job.outcome_topic import check_kept, read_outcomes, within
from headrace.domain.training.job.work import build
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.lookup import choose
from headrace.operations.progress import ProgressView
from headrace.streaming.kafka.reader import Range, ranges, read_table
from headrace.streaming.process.settings import Settings

State = Literal["identical", "different", "gone"]
FROM_OUTCOMES, FROM_LABELS = ("outcomes",), ("features", "labels")
"""Topics that packages are made from: by training jobs, and by `headrace train`."""
MOST = 20
"""Differences within a file that are told one by one."""


@dataclass(frozen=True, slots=True)
class PackageDifference:
    """Something that was otherwise when a package was made.

    Attributes:
        what: a library, the pipeline file, a file of the package, or a place in one.
        was: when the package was made; None: not there.
        now: when it was made again; None: not there.
    """

    what: str
    was: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What became of training a package again.

    Attributes:
        model: name@version.
        digest: of the package as it is stored.
        state: `identical`; `different`; `gone`: the topics do not hold all of its records any more, or the model store
            not the one that it goes on from.
        again: digest of the package that was made again; None where none was.
        circumstances: what is otherwise now: libraries, and what the pipeline file says.
        differences: between the two packages.
        made_by, repeated_by: revisions of the code.
        gone: what is missing; empty where nothing is.
    """

    model: str
    digest: str
    state: State
    again: str | None
    circumstances: tuple[PackageDifference, ...]
    differences: tuple[PackageDifference, ...]
    made_by: str | None
    repeated_by: str
    gone: str = ""


def reproduce(
    settings: Settings, contracts: Contracts, model: str, models: str, progress: ProgressView
) -> Reproduction:
    """Train a stored package again from the offsets, with the parameters, of which it tells; nothing is stored.

    Args:
        settings, contracts: of the pipeline whose model it is.
        model: NAME, NAME@VERSION, or the start of a digest.
        models: the model store.
        progress: told what is done.

    Raises:
        ConfigurationError: there is no such package, or it does not tell what it was made of.
        ContractError: the stored package is damaged, or a topic cannot be read.
        Transient: Kafka or the model store does not answer.
    """
    store = store_at(models)
    stored = choose(store.packages(), model)
    package = load(store.fetch(stored.uri, stored.digest), stored.digest)
    card = _card(package, contracts)
    about = package.title, package.digest
    circumstances = tuple(_circumstances(package, card, contracts))
    code = package.manifest.revision, code_revision()
    try:
        _check_there(package, settings, contracts)
        _check_bases(package, card, store)
    except ContractError as error:
        return Reproduction(*about, "gone", None, circumstances, (), *code, gone=str(error))
    try:
        again = _again(package, card, settings, contracts, store, progress)
    except ConfigurationError as error:
        difference = PackageDifference("training", "it went well", str(error))
        return Reproduction(*about, "different", None, circumstances, (difference,), *code)
    if again.digest == package.digest:
        return Reproduction(*about, "identical", again.digest, circumstances, (), *code)
    return Reproduction(*about, "different", again.digest, circumstances, tuple(differences(package, again)), *code)


def _card(package: ModelPackage, contracts: Contracts) -> ModelCard:
    card, name = package.model_card, contracts.pipeline.name
    topics = set(package.manifest.training.offsets)
    if card is None or not topics:
        raise ConfigurationError(
            f"{package.title} does not tell what it was made of: it was made elsewhere, or before packages had a card"
        )
    if topics not in ({f"{name}.{topic}" for topic in own} for own in (FROM_OUTCOMES, FROM_LABELS)):
        raise ConfigurationError(
            f"{package.title} was made from {', '.join(sorted(topics))}, not from topics of {name}; name its pipeline"
        )
    return card


def _check_there(package: ModelPackage, settings: Settings, contracts: Contracts) -> None:
    for topic, wanted in package.manifest.training.offsets.items():
        name = contracts.channel(topic.removeprefix(f"{contracts.pipeline.name}.")).name
        here = {part.partition: (part.start, part.stop) for part in ranges(settings.connection, name)}
        check_kept(topic, wanted, here)


def _check_bases(package: ModelPackage, card: ModelCard, store: ModelStore) -> None:
    """Raise ContractError where a model that was gone on from cannot be had any more."""
    tried = {one.name for one in card.windows if one.why is None}
    for window in parse_order(json.dumps({**card.order, "pipeline": "any", "version": "any"})).windows:
        if window.kind == "continued" and window.name in tried:
            name = window.base_name or package.manifest.name
            try:
                store.package(name, window.base_version or "", window.base_digest or "")
            except ContractError as error:
                raise ContractError(f"the model that {window.name} goes on from is not to be had: {error}") from error


def _circumstances(package: ModelPackage, card: ModelCard, contracts: Contracts) -> Iterator[PackageDifference]:
    for library, was in package.manifest.libraries.items():
        now = _version(library)
        if now != was:
            yield PackageDifference(f"library {library}", was, now)
    pipeline = contracts.pipeline
    said: tuple[tuple[str, object, object], ...] = (
        ("inputs", list(package.manifest.input_names), expand(pipeline)),
        ("threshold", package.manifest.threshold, pipeline.model.threshold),
        ("name", package.manifest.name, pipeline.model.name),
        *((f"labels: {name}", card.window.labels.get(name), value) for name, value in rule_of(pipeline).items()),
    )
    for what, was_said, says in said:
        if was_said != says:
            yield PackageDifference(f"pipeline file, {what}", str(was_said), str(says))


def _version(library: str) -> str | None:
    if library in ("onnxruntime", "python"):
        return RUNTIME_VERSION if library == "onnxruntime" else python_version()
    for name in (library, f"{library}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _again(
    package: ModelPackage,
    card: ModelCard,
    settings: Settings,
    contracts: Contracts,
    store: ModelStore,
    progress: ProgressView,
) -> ModelPackage:
    parameters = package.manifest.parameters
    given = {**card.order, "pipeline": contracts.pipeline.name, "version": package.manifest.version}
    given |= {"trainer": parameters.get("trainer"), "revision": package.manifest.revision}
    given |= {"start": card.window.start, "stop": card.window.stop, "as_of": card.window.as_of}
    order = parse_order(json.dumps(given))
    offsets = package.manifest.training.offsets
    if set(offsets) != {f"{contracts.pipeline.name}.outcomes"}:
        return _offline(order, offsets, settings, contracts, progress)
    (wanted,) = offsets.values()
    # The moment is told, so it does not matter over how many partitions of the exchange events were spread.
    order = parse_order(json.dumps({**json.loads(order.dump()), "offsets": wanted, "exchange_partitions": 1}))
    with progress.stage("reading outcomes"):
        read = read_outcomes(order, settings.connection, contracts)
    with progress.stage("training again") as say:

        def told(message: TrainingProgress | TrainingOrder) -> None:
            if isinstance(message, TrainingProgress):
                say(f"training again: {message.stage} {message.detail}".rstrip())

        return build(order, contracts.pipeline, contracts.channel("outcomes").name, read, store, told)[0]


def _offline(
    order: TrainingOrder,
    offsets: Mapping[str, Offsets],
    settings: Settings,
    contracts: Contracts,
    progress: ProgressView,
) -> ModelPackage:
    name = contracts.pipeline.name

    def read(topic: str) -> Any:
        wanted = [Range(partition, *bounds) for partition, bounds in offsets[f"{name}.{topic}"].items()]
        return read_table(settings.connection, contracts.channel(topic), wanted)

    with progress.stage("reading features and labels"):
        features, labels = (read(topic) for topic in FROM_LABELS)
        features = features.filter(within(features["event_time"], order.start, order.stop))
    with progress.stage("training again"):
        return build_offline(
            contracts.pipeline,
            features,
            labels,
            order.version,
            trainer=order.trainer,
            parameters=order.parameters,
            trees=order.trees,
            seed=order.seed,
            holdout=order.holdout,
            as_of=order.as_of,
            revision=order.revision,
            offsets=offsets,
            bounds=(order.start, order.stop),
        )


def differences(one: ModelPackage, other: ModelPackage) -> Iterator[PackageDifference]:
    """Where two packages differ: by place in the files that are text, by size in the others."""
    was, now = files_of(one), files_of(other)
    for name in dict.fromkeys([*was, *now]):
        before, after = was.get(name), now.get(name)
        if before == after:
            continue
        if before is None or after is None or name not in (MANIFEST, CARD, PROFILE):
            yield PackageDifference(name, _size(before), _size(after))
            continue
        flat = [dict(_places(_document(name, text))) for text in (before, after)]
        places = [place for place in dict.fromkeys([*flat[0], *flat[1]]) if flat[0].get(place) != flat[1].get(place)]
        for place in places[:MOST]:
            yield PackageDifference(f"{name}: {place}", flat[0].get(place), flat[1].get(place))
        if len(places) > MOST:
            yield PackageDifference(f"{name}: {len(places) - MOST:,} more places", "", "")


def _size(content: bytes | None) -> str | None:
    return None if content is None else f"{len(content):,} bytes"


def _document(name: str, text: bytes) -> Any:
    return yaml.safe_load(text) if name == MANIFEST else json.loads(text)


def _places(said: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Each value of a document by its place, such as `training.rows`."""
    if isinstance(said, dict):
        for name, inner in said.items():
            yield from _places(inner, f"{at}.{name}" if at else str(name))
    elif isinstance(said, list) and any(isinstance(inner, dict | list) for inner in said):
        for number, inner in enumerate(said):
            yield from _places(inner, f"{at}[{number}]")
    else:
        yield at, str(said)
