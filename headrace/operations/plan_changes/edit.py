"""The next plan from the newest one and what a person asks for; whatever is not asked for stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headrace.domain.models import ensembles
from headrace.domain.models.store import Stored
from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, SHADOW, Arm, Plan
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.plan_changes.syntax import ensemble

Find = Callable[[str], Stored]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to change; None leaves a part as it is, an empty tuple or text empties it.

    Attributes:
        champion, canary: a model, as `packages.choose` takes it, or an ensemble.
        share: of the entities, 0 to 1, that the canary answers.
        challengers, shadows: models or ensembles.
        salt: shuffles who meets the canary.
        ensembles: as `recipes.ENSEMBLE` says, for the parts above.
        thresholds, priorities: by `name@version` of an arm.
    """

    champion: str | None = None
    canary: str | None = None
    share: float | None = None
    challengers: tuple[str, ...] | None = None
    shadows: tuple[str, ...] | None = None
    salt: str | None = None
    ensembles: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    priorities: Mapping[str, int] = field(default_factory=dict)


def arrange(plan: Plan | None, wish: Wish, pipeline: str, threshold: float, find: Find) -> Plan:
    """The plan that a person wants; its version is that of the plan before.

    Args:
        plan: the newest one; None when there is none yet.
        wish: what changes.
        pipeline: name of the pipeline.
        threshold: of an ensemble that nobody gave one.
        find: the package that a text means.

    Raises:
        ConfigurationError: the wish is not clear or makes no plan; says what to write instead.
    """
    before = plan or Plan(pipeline, 0, ())
    makers = _ensembles(before, wish, threshold, find)
    arms: list[Arm] = []
    for kind, asked in (
        (CHAMPION, None if wish.champion is None else (wish.champion,)),
        (CANARY, None if wish.canary is None else tuple(filter(None, [wish.canary]))),
        (CHALLENGER, wish.challengers),
        (SHADOW, wish.shadows),
    ):
        known = [arm for arm in before.arms if arm.arm == kind]
        arms += known if asked is None else [_arm(kind, text, before, makers, find) for text in asked]
    arms = [_shared(arm, before, wish) if arm.arm == CANARY else arm for arm in arms]
    arms = [_tuned(arm, wish) for arm in arms]
    _check(arms, before, wish, makers)
    return replace(before, arms=tuple(arms), salt=before.salt if wish.salt is None else wish.salt)


def _ensembles(before: Plan, wish: Wish, threshold: float, find: Find) -> dict[str, Arm]:
    """Ensembles by title: those of the plan, and those that are asked for; what part they play is not settled yet."""
    known = {arm.title: arm for arm in before.arms if arm.members}
    for text in wish.ensembles:
        made = ensemble(text, threshold, find)
        held = known.get(made.title)
        if held is not None and held.digest != made.digest:
            raise ConfigurationError(f"{made.title} is another ensemble already: give this one a version of its own")
        known[made.title] = replace(made, threshold=held.threshold) if held else made
    return known


def _arm(kind: str, text: str, before: Plan, makers: Mapping[str, Arm], find: Find) -> Arm:
    if text in makers:
        model = makers[text]
    else:
        stored = find(text)
        model = Arm(kind, stored.name, stored.version, stored.digest, stored.uri)
    held = next((arm for arm in before.arms if arm.digest == model.digest and arm.members == model.members), None)
    same = next((arm for arm in before.arms if arm.digest == model.digest and arm.arm == kind), None)
    return replace(
        model,
        arm=kind,
        share=1.0,
        # Where the threshold lies belongs to the model: it comes along when the model gets another part.
        threshold=held.threshold if held else model.threshold,
        priority=same.priority if same else 0,
    )


def _shared(arm: Arm, before: Plan, wish: Wish) -> Arm:
    share = wish.share
    if share is None:
        if before.canary is None:
            raise ConfigurationError(f"say what share of the entities {arm.title} is to answer, such as --share 5%")
        share = before.canary.share
    return replace(arm, share=share)


def _tuned(arm: Arm, wish: Wish) -> Arm:
    return replace(
        arm,
        threshold=wish.thresholds.get(arm.title, arm.threshold),
        priority=wish.priorities.get(arm.title, arm.priority),
    )


def _check(arms: Sequence[Arm], before: Plan, wish: Wish, makers: Mapping[str, Arm]) -> None:
    kinds, titles = [arm.arm for arm in arms], [arm.title for arm in arms]
    if CHAMPION not in kinds:
        raise ConfigurationError(f"{before.pipeline} has no plan yet: say who answers, --champion MODEL")
    if wish.share is not None and CANARY not in kinds:
        raise ConfigurationError("a share is the canary's, and there is none: say --canary MODEL too")
    for arm in arms:
        if sum(other.place == arm.place for other in arms) > 1:
            raise ConfigurationError(f"{arm.title} is {arm.arm} twice; name it once")
    champion, canary = arms[0], next((arm for arm in arms if arm.arm == CANARY), None)
    if canary is not None and canary.digest == champion.digest:
        raise ConfigurationError(f"{champion.title} is champion and canary at once: say --no-canary, or another")
    for title in (*wish.thresholds, *wish.priorities, *(text.partition("=")[0] for text in wish.ensembles)):
        if title not in titles:
            raise ConfigurationError(f"{title} has no part in the plan, which plays {', '.join(titles)}")
    for arm in arms:
        try:
            ensembles.check(arm)
        except ContractError as fault:
            raise ConfigurationError(str(fault)) from None
