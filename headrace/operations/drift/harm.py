"""What incidents do to models, from what `drift` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """Losses of the rows of a group.

    Attributes:
        name: of the column of its losses.
        outcomes: rows since the incident opened.
        loss, expected: their mean loss, and that which the reference had at their scores; None without rows.
        before: mean loss of the group's rows before the incident opened; None where there were fewer than 30.
    """

    name: str
    outcomes: int
    loss: float | None
    expected: float | None
    before: float | None

    @property
    def excess(self) -> float | None:
        """What its rows lost in all since then beyond what they would have before; None: not known."""
        return None if self.loss is None or self.before is None else (self.loss - self.before) * self.outcomes


@dataclass(frozen=True, slots=True)
class LossReport:
    """What a model loses since an incident opened, or within the last days, see schemas/drift.avsc.

    Attributes:
        model: `name@version`; `digest`: of its package.
        incident: identity of the incident; empty: within the last seven days of event time.
        since, until: the span of event time, milliseconds; None: it goes on.
        reference, tolerated: mean loss of the reference, and what the loss is held against.
        outcomes: rows with a label; `loss`, `loss_error`: their mean loss and its standard error.
        expected, rest_error: the mean loss that the reference had at their scores, and the standard error of the
            difference of both.
        evidence, proved: for harm by outcomes, over its threshold, and when it first reached it, milliseconds.
        predictions: rows; `estimate`, `estimate_error`, `estimate_tolerated`, `estimate_evidence`, `estimate_proved`:
            the same without labels, by what their scores let expect.
        kind: `concept`, `covariate` or `unknown`.
        concept_evidence, concept_proved: that scores stand for other chances than they did.
        enough: outcomes in which about nine of ten changes of concept are seen that make the loss larger by the share
            `discerned` of the reference's; 0, None: the reference is too small to tell any.
        unknown: what cannot be said, why, and until when.
        groups: losses by group of the segments.
    """

    model: str
    digest: str
    incident: str
    since: int
    until: int | None
    reference: float
    tolerated: float
    outcomes: int
    loss: float | None
    loss_error: float | None
    expected: float | None
    rest_error: float | None
    evidence: float
    proved: int | None
    predictions: int
    estimate: float | None
    estimate_error: float | None
    estimate_tolerated: float | None
    estimate_evidence: float
    estimate_proved: int | None
    kind: str
    concept_evidence: float
    concept_proved: int | None
    enough: int
    discerned: float | None
    unknown: Sequence[str]
    groups: Sequence[GroupLoss]

    @property
    def carriers(self) -> list[GroupLoss]:
        """Groups whose rows lost more than before, those that carry most of it first."""
        known = [each for each in self.groups if (each.excess or 0.0) > 0]
        return sorted(known, key=lambda each: -(each.excess or 0.0))


def loss_report(model: Mapping[str, str], said: Mapping[str, Any]) -> LossReport:
    """What a record says under `harm`.

    Args:
        model: as the record has it.
    """
    given = {name: milliseconds_of(value) if name in TIMES else value for name, value in said.items()}
    groups = [GroupLoss(**group) for group in said["groups"]]
    return LossReport(f"{model['name']}@{model['version']}", model["digest"], **(given | {"groups": groups}))


TIMES = frozenset({"since", "until", "proved", "estimate_proved", "concept_proved"})


def milliseconds_of(time: Any) -> Any:
    """Since 1970, of a time as a record has it; None of none."""
    return None if time is None else round(time.timestamp() * 1000)
