"""What a revision changes, and why it cannot be one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import load as load_package
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.plans.plans import Plan
from headrace.domain.revisions.revision import definition_of
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
    for name in sorted({view.name for view in (*before.foreign_views, *after.foreign_views)}):
        if before.views.get(name) != after.views.get(name):
            yield f"the view {name} is keyed by another entity than the events: it cannot change in a revision yet"


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


def pipeline_of(text: str, path: Path) -> Pipeline:
    """A pipeline as a text has it that the file at `path` had once, with the schemas beside that."""
    with TemporaryDirectory() as folder:
        former = Path(folder) / path.name
        former.write_text(text, "utf-8")
        return load(former, Workspace.of(path))


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[RevisionChange]:
    for path in dict.fromkeys((*before, *after)):
        if path not in after:
            yield RevisionChange("removed", path, before[path])
        elif path not in before:
            yield RevisionChange("added", path, "", after[path])
        elif before[path] != after[path]:
            yield RevisionChange("changed", path, before[path], after[path])
