"""How columns stand that are watched for drift, as far as rules ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.domain.kpi.figure_point import FigurePoint
from headrace.domain.pipeline.kpi.spec import MINUTE, KpiRule

TOGETHER = MINUTE
"""Milliseconds: models that are told of at one time are those that are watched; one that is told of no more is gone."""
LEFT_OUT, LEARNING = "left_out", "learning"


class ColumnKey(NamedTuple):
    """Which column of which model; of refused records their topic and the reason stand for a model."""

    stream: str
    digest: str
    model: str
    column: str


@dataclass(slots=True)
class DriftBook:
    """The newest record of each column.

    Attributes:
        columns: what was told, as parts have it.
    """

    columns: dict[ColumnKey, Mapping[str, Any]] = field(default_factory=dict)

    def take(self, said: Mapping[str, Any]) -> None:
        """Keep a record."""
        self.columns[ColumnKey(said["stream"], said["digest"], said["model"], said["column"])] = said

    def figure(self, rule: KpiRule) -> FigurePoint | str:
        """A rule's figure: of several models, of the one that is farthest beyond the bounds; or why there is none."""
        told = max((said["time"] for key, said in self.columns.items() if key.stream == rule.stream), default=None)
        if told is None:
            return f"drift has told nothing of {rule.stream}, until a model that is watched answers"
        there = [
            said
            for key, said in self.columns.items()
            if (key.stream, key.column) == (rule.stream, rule.column)
            and (not rule.model or key.model == rule.model)
            and said["time"] >= told - TOGETHER
        ]
        what = rule.column or "all columns together"
        if not there:
            whose = rule.model or "any model"
            return f"{what} of {whose} is not watched on {rule.stream}, until a package has its reference"
        points, reasons = [], []
        for said in there:
            value = said["figures"].get(rule.figure)
            if said["state"] in (LEFT_OUT, LEARNING) or value is None:
                reasons.append(_reason(rule, said, what))
            else:
                points.append(FigurePoint(said["reached"], value, said["events"], said["model"], said["digest"]))
        return max(points, key=lambda point: rule.excess(point.value)) if points else reasons[0]

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return list(self.columns.values())

    def restore(self, said: list[Any]) -> None:
        """Become what `plain` said."""
        self.columns = {}
        for each in said:
            self.take(each)


def _reason(rule: KpiRule, said: Mapping[str, Any], what: str) -> str:
    if said["state"] == LEFT_OUT:
        return f"{what} of {said['model']} says nothing but when an event was, and is not watched"
    if said["state"] == LEARNING:
        return f"the reference of {what} is being made ({said['learnt']:,} values so far), until it has enough"
    why = f": {said['why']}" if said["why"] else ""
    return f"{rule.figure} of {said['model']} is not known{why}, until its package tells it or rows come"
