"""What a revision changes, and why it cannot be one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import load as load_package
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.plans.plans import Plan
from headrace.domain.revisions.revision import definition_of, differing
from headrace.errors import ContractError
from headrace.operations.models.store_access import copied


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """One thing that is another in the next revision.

    Attributes:
        what: `added`, `removed` or `changed`.
        path: of it: `customer.nb_tx_1d`, `rules.amount`, `events.allowed_lateness`.
        before, after: as they are said; empty where there is none.
    """

    what: str
    path: str
    before: str = ""
    after: str = ""


def changes(before: Pipeline, after: Pipeline) -> list[RevisionChange]:
    """What features depend on and is another, in the order of the file."""
    return list(_differences(definition_of(before), definition_of(after)))


def refusals(before: Pipeline, after: Pipeline) -> Iterator[str]:
    """Why a pipeline cannot be turned into the other one while it runs; nothing where it can."""
    for name in ("schema", "id", "time", "key"):
        then, now = getattr(before.events, name), getattr(after.events, name)
        if then != now:
            yield f"events.{name} is {then}, and would be {now}: that is another stream; begin a new pipeline"
    then, now = before.model.classes, after.model.classes
    if then != now:
        listed, wanted = (", ".join(names) or "none" for names in (then, now))
        yield f"model.classes are {listed}, and would be {wanted}: records tell places of classes; begin a new pipeline"
    known = {view.name: view for view in before.foreign_views}
    for view in changed_views(before, after):
        then = known.get(view.name)
        if view.revision == after.revision:
            continue
        if then is None or replace(then, revision=view.revision) != view:
            why = "is new" if then is None else "changes"
        elif then.revision != view.revision:
            why = f"says revision: {view.revision}, and is of revision {then.revision}"
        else:
            why = f"is told what passes by {', '.join(_moved(before, after))}, which changes"
        yield (
            f"the view {view.name} {why}, and another entity keys it: write revision: {after.revision} into it, so "
            "that it is built beside what is there"
        )


def changed_views(before: Pipeline, after: Pipeline) -> list[View]:
    """The views that another entity keys which cannot go on with what was told until now.

    They are new, other ones, or what is told is admitted by other rules; those too that say that they are.
    """
    known, moved = {view.name: view for view in before.foreign_views}, _moved(before, after)
    return [view for view in after.foreign_views if moved or known.get(view.name) != view]


def _moved(before: Pipeline, after: Pipeline) -> list[str]:
    """Places at which two pipelines admit events by other rules."""
    return differing(_entries(before), _entries(after))


def _entries(pipeline: Pipeline) -> dict[str, str]:
    """What entries of views depend on, but for the views themselves, in words, by its place in the file."""
    said = definition_of(pipeline)
    return {path: words for path, words in said.items() if path.startswith(("events.", "rules."))}


def unreadable(plan: Plan | None, store: ModelStore, features: pa.Schema) -> Iterator[str]:
    """What models of the plan read and the features of a revision lack; a column that a live plan reads cannot go."""
    if plan is None:
        return
    wanted = {(arm.title, arm.digest) for arm in plan.arms if arm.uri}
    wanted |= {(member.title, member.digest) for arm in plan.arms for member in arm.members}
    packages = store.packages()
    for title, digest in sorted(wanted):
        stored = next((one for one in packages if (one.title, one.digest) == (title, digest)), None)
        if stored is None:
            yield f"{title} ({digest}) is in the plan and not in the model store: what it reads is not known"
            continue
        with copied(store, stored) as folder:
            try:
                FeatureMatrix.resolve(load_package(folder, digest).manifest.inputs, features, title)
            except ContractError as fault:
                yield str(fault)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[RevisionChange]:
    for path in dict.fromkeys((*before, *after)):
        if path not in after:
            yield RevisionChange("removed", path, before[path])
        elif path not in before:
            yield RevisionChange("added", path, "", after[path])
        elif before[path] != after[path]:
            yield RevisionChange("changed", path, before[path], after[path])
