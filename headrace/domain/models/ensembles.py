"""Several models as one: how members' scores make an arm's, and what identifies the whole.

| combination | score | identity |
|---|---|---|
| `single` | the package's | the package's digest |
| `mean` | sum of the members' / their number | `digest_of` |
| `weighted` | sum of weight x score / sum of the weights | `digest_of` |
| `stacking` | the arm's own package on the members' scores (Wolpert 1992) | that package's digest |

A stacking package takes one input a member, named `name@version` and in the plan's order, and lists the members'
digests in its `parameters` under `members`: so its digest, too, is that of everything that makes the score.

References:
    D. H. Wolpert: Stacked Generalization, Neural Networks 5 (1992).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import isfinite

import numpy as np
import numpy.typing as npt

from headrace.domain.models.package import ModelPackage
from headrace.domain.plans.plans import SINGLE, Arm, EnsembleMember
from headrace.errors import ContractError

MEAN, WEIGHTED, STACKING = "mean", "weighted", "stacking"
COMBINATIONS = (SINGLE, MEAN, WEIGHTED, STACKING)

Scores = npt.NDArray[np.float64]


def digest_of(combination: str, members: Sequence[EnsembleMember]) -> str:
    """Identity of an ensemble that has no package of its own.

    It is sha256 over JSON without blanks and with sorted keys; numbers as Python's repr. The members' order counts: it
    decides the last bit of the sum.

    >>> digest_of("mean", [EnsembleMember("a", "1", "sha256:00", ""), EnsembleMember("b", "1", "sha256:01", "")])[:21]
    'sha256:bb73d761952fed'
    """
    named = [{"digest": member.digest, "weight": float(member.weight)} for member in members]
    canonical = json.dumps({"combination": combination, "members": named}, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def check(arm: Arm) -> None:
    """Return when the arm says what it is made of.

    Raises:
        ContractError: with what is wrong and what to write instead.
    """
    if arm.combination not in COMBINATIONS:
        raise ContractError(f"{arm.place}: no combination {arm.combination}; there are {', '.join(COMBINATIONS)}")
    if bool(arm.members) == (arm.combination == SINGLE):
        raise ContractError(f"{arm.place} is {arm.combination} and names {len(arm.members)} members")
    if arm.threshold is not None and not isfinite(arm.threshold):
        raise ContractError(f"{arm.place}: {arm.threshold} is no threshold")
    if arm.combination not in (MEAN, WEIGHTED):
        return
    weights = [member.weight for member in arm.members]
    if not all(isfinite(weight) and weight > 0 for weight in weights):
        raise ContractError(f"{arm.place}: weights are above zero, not {weights}")
    if arm.combination == MEAN and set(weights) != {1.0}:
        raise ContractError(f"{arm.place}: a mean has no weights; write weighted, or leave them at 1")
    if arm.threshold is None:
        raise ContractError(f"{arm.place} has no package that says a threshold; write it into the plan")
    digest = digest_of(arm.combination, arm.members)
    if (arm.digest, arm.uri) != (digest, ""):
        raise ContractError(
            f"{arm.place} has the digest {digest} and no uri, but the plan names {arm.digest} {arm.uri}"
        )


def check_one_score(arm: Arm, classes: Sequence[str]) -> None:
    """Return where members give one score each, which a stacking model is fed; ContractError where there are several
    classes.
    """
    if classes:
        raise ContractError(
            f"{arm.place} stacks scores of members, and these have {len(classes)} each, one for each class: write mean "
            "or weighted, which are made class by class"
        )


def check_stacking(arm: Arm, package: ModelPackage) -> None:
    """Return when a stacking package was made for these members; ContractError otherwise."""
    titles = tuple(member.title for member in arm.members)
    if package.manifest.input_names != titles:
        raise ContractError(
            f"{package.title} stacks {list(package.manifest.input_names)}, the plan names {list(titles)}"
        )
    digests, listed = [member.digest for member in arm.members], package.manifest.parameters.get("members")
    if listed != digests:
        raise ContractError(f"{package.title} was made for members {listed}, the plan names {digests}")


def combine(arm: Arm, scores: Sequence[Scores]) -> Scores:
    """The mean, plain or weighted, of the members' scores, float64 [n] or [n, classes], added in the members' order."""
    if arm.combination == SINGLE:
        return scores[0]
    total = np.zeros_like(scores[0])
    for member, score in zip(arm.members, scores, strict=True):
        total += member.weight * score
    return total / sum(member.weight for member in arm.members)
