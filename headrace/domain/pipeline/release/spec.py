"""The `release` section as frozen values; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.domain.pipeline.release.gate_rules import GateRule

DAY = 86_400_000
ROLES = ("approve", "promote", "rollback", "hold")
"""What people may be listed for; whoever may approve may deny."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """The largest gap in a figure of quality between any two groups of a segment."""

    segment: str
    gap: float
    figure: str = "true_positive_rate"


FAIRNESS_FIGURES = (
    "true_positive_rate", "false_positive_rate", "selection_rate", "precision", "auc_roc", "calibration", "value",
)  # fmt: skip  # a row of names


FAIRNESS_OF_SEVERAL = ("accuracy", "selection_rate", "cost", "calibration")


def fairness_figures(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Figures that a gap may be of, the one of which it is unless the file says otherwise first.

    Args:
        names: of several classes, as fields have them.

    >>> fairness_figures()[0], fairness_figures(["cat", "dog"])[-1]
    ('true_positive_rate', 'precision_dog')
    """
    if not names:
        return FAIRNESS_FIGURES
    return (*FAIRNESS_OF_SEVERAL, *(f"{figure}_{name}" for figure in ("recall", "precision") for name in names))


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """What a package may cost on its golden rows: milliseconds of one row (99th percentile), and bytes."""

    latency: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class ExplanationStability:
    """Of the `top` inputs that contribute most to the champion's answers, the share that the candidate's have, too."""

    top: int = 5
    share: float = 0.6


@dataclass(frozen=True, slots=True)
class Release:
    """What a new model must pass, and who decides; durations in milliseconds of stream time.

    Attributes:
        gates: by figure, what it has to be on recent outcomes.
        groups: by segment and figure, what it has to be in every group.
        fairness, golden_rows, explanations: further gates; None: not asked.
        minimum: outcomes that gates need, and matured events with both scores before a model goes on.
        approvals: how many people must approve, each another one.
        people: by role who may ask for it; a role that is not there is anybody's.
        canary: shares of the entities, 0 to 1, ascending; at the last, 1, the model is the champion.
        each: how long a share lasts, at least; `shadow`: how long a model is scored in the dark alone, at least.
        deadline: how long a model may be in the dark or a canary before evidence decides; then a person has to.
        guard: how much event time after a promotion has to mature, while the old champion goes on in the dark.
        matures_after: of the `labels` section: stream time is behind the events of now by as much.
        margin_share, margin_offset: what a candidate may lose more than its champion: a share of its loss, and a loss.
        bound: of values: the squared error beyond which all errors count alike. None: scores are chances.
        alpha_advance: of a model that is worse by the margin, how often it may be promoted.
        false_rollbacks_per_year: of equal models, how many may be put back in a year.
        releases_per_year: among how many releases these are shared out.
    """

    gates: Mapping[str, GateRule] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, GateRule]] = field(default_factory=dict)
    fairness: Fairness | None = None
    golden_rows: GoldenRows | None = None
    explanations: ExplanationStability | None = None
    minimum: int = 0
    approvals: int = 1
    people: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    canary: tuple[float, ...] = (1.0,)
    each: int = 0
    shadow: int = 0
    deadline: int = 30 * DAY
    guard: int = 7 * DAY
    matures_after: int = 0
    margin_share: float = 0.05
    margin_offset: float = 0.0
    bound: float | None = None
    alpha_advance: float = 0.05
    false_rollbacks_per_year: float = 1.0
    releases_per_year: int = 52

    @property
    def alpha(self) -> float:
        """Of an equal model, how often one release may be rolled back.

        >>> round(Release().alpha, 4)
        0.0192
        """
        return self.false_rollbacks_per_year / self.releases_per_year

    def may(self, person: str, role: str) -> bool:
        """Whether somebody may ask for what a role allows.

        >>> rules = Release(people={"approve": ("ana",)})
        >>> rules.may("ana", "approve"), rules.may("ben", "approve"), rules.may("ben", "rollback")
        (True, False, True)
        """
        return role not in self.people or person in self.people[role]
