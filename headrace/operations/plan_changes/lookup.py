"""Packages of the model store as a command line names them, and the parts that they play in a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headrace.domain.models.store import Stored
from headrace.domain.pipeline.document import closest
from headrace.domain.plans.plans import CANARY, Arm, Plan
from headrace.errors import ConfigurationError

SHORT = 8
"""Hex digits of a digest that people are shown: enough to name it."""
LEAST = 4
"""Hex digits that a person must give."""


def choose(packages: Sequence[Stored], text: str) -> Stored:
    """The package that `NAME` (its newest version), `NAME@VERSION` or the beginning of a digest means.

    Args:
        packages: all of the store, of one name by the time at which they were stored.
        text: what a person wrote.

    Raises:
        ConfigurationError: none is meant, or several; says which there are.
    """
    if not packages:
        raise ConfigurationError(f"no {text}: the model store is empty; headrace train PIPELINE fills it")
    name, at, _ = text.partition("@")
    known = [stored for stored in packages if stored.name == name]
    digits = text.removeprefix("sha256:")
    if at:
        found = [stored for stored in known if stored.title == text]
    elif known:
        return known[-1]
    elif len(digits) >= LEAST and set(digits) <= set("0123456789abcdef"):
        found = [stored for stored in packages if stored.digest.removeprefix("sha256:").startswith(digits)]
        if not found:
            raise ConfigurationError(f"no package in the model store has a digest that begins with {digits}")
    else:
        found = []
    if len(found) > 1:
        several = ", ".join(f"{stored.title} {short(stored.digest)}" for stored in found)
        raise ConfigurationError(f"{text} may be any of {several}: write more of the digest that you mean")
    if not found:
        choices = [stored.title for stored in known] or [stored.name for stored in packages]
        raise ConfigurationError(f"no {text} in the model store: {closest(text, dict.fromkeys(choices))}")
    return found[0]


def short(digest: str) -> str:
    """The beginning of a digest, as people are shown it and may write it.

    >>> short("sha256:bb73d761952fed1de4")
    'bb73d761'
    """
    return digest.removeprefix("sha256:")[:SHORT]


def is_digest(text: str) -> bool:
    """Whether this is a whole digest, without what says its kind.

    >>> is_digest("0f" * 32), is_digest("0f")
    (True, False)
    """
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def parts(plan: Plan | None) -> dict[str, list[str]]:
    """What each package does in a plan, in words, by its digest."""
    found: dict[str, list[str]] = defaultdict(list)
    for arm in plan.arms if plan is not None else ():
        if arm.uri:
            found[arm.digest].append(part(arm))
        for member in arm.members:
            found[member.digest].append(f"member of {arm.title} ({part(arm)})")
    return dict(found)


def part(arm: Arm) -> str:
    """The part that an arm plays, in words.

    >>> part(Arm("canary", "m", "2", "sha256:00", "", share=0.05))
    'canary 5%'
    """
    return f"{arm.arm} {percent(arm.share)}" if arm.arm == CANARY else arm.arm


def percent(share: float) -> str:
    """A share as people write it.

    >>> percent(0.05), percent(0.125)
    ('5%', '12.5%')
    """
    return f"{share * 100:.10g}%"
