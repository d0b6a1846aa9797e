"""Two models of a duel as a person names them, and which of those that answered they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, SHADOW
from headrace.domain.scorecards.identity import Identity
from headrace.errors import ConfigurationError

ARMS = (CHAMPION, CANARY, CHALLENGER, SHADOW)
HOW = f"write an arm ({', '.join(ARMS)}), NAME@VERSION, or NAME@VERSION/ARM"
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Rival:
    """Who is meant; None: whichever."""

    text: str
    model: str | None = None
    version: str | None = None
    arm: str | None = None

    def means(self, who: Identity) -> bool:
        """Whether it may be this one."""
        return all(
            wanted in (None, own)
            for wanted, own in ((self.model, who.name), (self.version, who.version), (self.arm, who.arm))
        )


def rival(text: str) -> Rival:
    """What a person wrote.

    >>> rival("canary").arm, rival("fraud@7").version, rival("fraud@7/shadow").arm
    ('canary', '7', 'shadow')

    Raises:
        ConfigurationError: it names no arm and no version of a model.
    """
    if text in ARMS:
        return Rival(text, arm=text)
    model, _, rest = text.partition("@")
    version, _, arm = rest.partition("/")
    if not model or not version or (arm and arm not in ARMS):
        raise ConfigurationError(f"{text} is no side of a duel: {HOW}")
    return Rival(text, model, version, arm or None)


def chosen(side: Rival, answered: Mapping[Identity, int], pipeline: str, span: str) -> Identity:
    """The one that is meant among those that answered, with how often.

    Raises:
        ConfigurationError: none answered, or several; says which did.
    """
    meant = {who: count for who, count in answered.items() if side.means(who)}
    if len(meant) == 1:
        return next(iter(meant))
    if not answered:
        raise ConfigurationError(
            f"{pipeline} has no predictions ({span}): name other times with --window or --last, or see "
            f"`headrace lag {pipeline}`"
        )
    if not meant:
        raise ConfigurationError(f"{side.text} answered nothing in {span}; those that did:\n{listed(answered)}")
    raise ConfigurationError(
        f"{side.text} may be any of these; name one of them, or times with --window:\n{listed(meant)}"
    )


def listed(answered: Mapping[Identity, int]) -> str:
    """Who answered, a line each, those with most predictions first."""
    named = {(who.name, who.version, who.arm) for who in answered}
    lines = []
    for who, count in sorted(answered.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]:
        digest = f" ({who.digest.removeprefix('sha256:')[:8]})" if len(named) < len(answered) else ""
        lines.append(f"  {who.text}{digest}: {count:,} predictions")
    if len(answered) > _LISTED:
        lines.append(f"  and {len(answered) - _LISTED} more")
    return "\n".join(lines)
