"""Whether the models that a plan gives a new part can play it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from headrace.domain.models.checks.verification import verify
from headrace.domain.models.ensembles import STACKING, check_stacking
from headrace.domain.models.package import load
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.pipeline.spec import Model
from headrace.domain.plans.plans import Arm, Plan
from headrace.errors import ContractError
from headrace.operations.models.store_access import copied


def admitted(
    store: ModelStore,
    packages: Sequence[Stored],
    before: Plan | None,
    after: Plan,
    features: pa.Schema,
    model: Model,
    progress: Callable[[str], None],
) -> None:
    """Return when every package that has another part than before passes `verification.verify`.

    Args:
        store: where they lie; read past the cache.
        packages: what lies there.
        before, after: the plans.
        features: schema of the features topic.
        model: what the pipeline takes scores for.
        progress: told the title of the package that is checked next.

    Raises:
        ContractError: naming the package and what is wrong with it.
    """
    known = {(arm.arm, arm.digest) for arm in before.arms} if before else set()
    done: set[str] = set()
    for arm in after.arms:
        if (arm.arm, arm.digest) in known:
            continue
        for title, digest in _packages(arm):
            if digest in done:
                continue
            done.add(digest)
            progress(title)
            stored = next((one for one in packages if (one.title, one.digest) == (title, digest)), None)
            if stored is None:
                raise ContractError(f"{title} ({digest}) is not in the model store any more")
            with copied(store, stored) as folder:
                stacking = digest == arm.digest and arm.combination == STACKING
                checks = verify(
                    folder, digest, title, features, store.fetched(digest), model.output, stacking, model.classes
                )
                faults = [f"{check.name}: {check.detail}" for check in checks if check.state == "failed"]
                if faults:
                    raise ContractError(f"{title} cannot be {arm.arm}: {'; '.join(faults)}")
                if stacking:
                    check_stacking(arm, load(folder, digest))


def _packages(arm: Arm) -> Iterator[tuple[str, str]]:
    """(title, digest) of all packages that an arm needs."""
    if arm.uri:
        yield arm.title, arm.digest
    yield from ((member.title, member.digest) for member in arm.members)
