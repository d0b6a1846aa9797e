"""Reads the `kpis` section: rules over figures of scorecards, of drift and of services."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.kpi.figures import (
    DRIFT_FIGURES,
    DRIFT_STREAMS,
    OF_A_MODEL,
    OF_A_SERVICE,
    OF_THE_LAST,
    OPERATIONAL_FIGURES,
    READS,
    scorecard_figures,
)
from headrace.domain.pipeline.kpi.spec import DRIFT, LEAST_ROWS, MINUTE, OPERATIONAL, SCORECARD, SOURCES, KpiRule
from headrace.domain.pipeline.notification.spec import SEVERITIES

KPI_EXAMPLE = "{scorecard: average_precision, below: 0.5, for: 3 windows, severity: critical, tell: [oncall]}"
_FIGURES = {
    "probability": "recall, below: 0.5",
    "value": "mean_absolute_error, above: 10",
    "class": "accuracy, below: 0.5",
}
SHARED = (*SOURCES, "below", "above", "outside", "for", "severity", "tell", "unknown_after")
OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    SCORECARD: ("arm", "model", "segment", "group", "window", "least", "retrain"),
    DRIFT: ("stream", "column", "model"),
    OPERATIONAL: ("service", "within"),
}
ARMS = ("champion", "canary", "challenger", "shadow")
ANSWERING = ("champion", "canary")
STEP = 10_000
"""Milliseconds: figures on records are made of spans of this length."""
LONGEST_WITHIN, MOST_WINDOWS, LONGEST_HOLD = 60 * MINUTE, 100, 30 * 24 * 60 * MINUTE
_WINDOWS = re.compile(r"([0-9]{1,6}) windows?", re.ASCII)
_MODEL = re.compile(r"[^\s@/]+@[^\s@/]+")


@dataclass(frozen=True, slots=True)
class Watchable:
    """What a pipeline has that rules may name.

    Attributes:
        classes, labels, worth, depths, names: as of `scorecard_figures`.
        window: of its scorecards, milliseconds.
        groups: of each of its segments.
        columns: that drift watches, by stream.
        channels: of its section `notify`; None: it has none.
        views: whether it has views that another entity keys.
        idle: services that it has no work for, and what gives them some.
        retrained: whether a breach may ask for a training: `scorecard` is among `retrain.on`.
    """

    classes: bool
    labels: bool
    worth: bool
    depths: Sequence[int]
    window: int
    groups: Mapping[str, Sequence[str]]
    columns: Mapping[str, Collection[str]]
    channels: Collection[str] | None
    idle: Mapping[str, str]
    retrained: bool
    names: Sequence[str] = ()


def kpis_example(output: str, more: str = "") -> str:
    """A section `kpis` that fits a model's output.

    >>> kpis_example("value")
    'kpis: {floor: {scorecard: mean_absolute_error, above: 10}}'
    """
    return f"kpis: {{floor: {{scorecard: {_FIGURES[output]}{more}}}}}"


def read_kpis(node: Node, there: Watchable, problems: Problems) -> dict[str, KpiRule]:
    """The `kpis` section, by name."""
    rules = {}
    form = Form(node, problems, None, f"precision_floor: {KPI_EXAMPLE}")
    for name, entry in form.named():
        if (rule := _RuleReader(name, entry, there, problems).read()) is not None:
            rules[name] = rule
    if node.entries == {}:
        problems.add(node, "nothing is watched", f"name a rule: precision_floor: {KPI_EXAMPLE}")
    return rules


class _RuleReader:
    """Reads one rule."""

    def __init__(self, name: str, node: Node, there: Watchable, problems: Problems) -> None:
        self._name, self._node, self._there, self._problems = name, node, there, problems
        named = [source for source in SOURCES if source in (node.entries or {})]
        self._source = named[0] if len(named) == 1 else ""
        every = (*SHARED, *OWN_KEYS.get(self._source, tuple(key for keys in OWN_KEYS.values() for key in keys)))
        self._form = Form(node, problems, tuple(dict.fromkeys(every)), KPI_EXAMPLE)
        if node.entries is not None and len(named) != 1:
            problems.add(
                node,
                "a rule watches one figure",
                "write scorecard: average_precision, drift: evidence or operational: lag",
            )

    def read(self) -> KpiRule | None:
        """The rule; None where it watches nothing. A mistake is noted, and what stands for it thrown away."""
        if not self._source:
            return None
        figure = self._form.text(self._source) or ""
        own: dict[str, Any] = {
            SCORECARD: self._scorecard,
            DRIFT: self._drift,
            OPERATIONAL: self._operational,
        }[self._source](figure)
        low, high = self._bounds()
        return KpiRule(
            self._name,
            self._source,
            figure,
            low,
            high,
            self._hold(),
            self._form.choice("severity", SEVERITIES) or "warning",
            self._tell(),
            unknown_after=self._form.duration("unknown_after", least=MINUTE),
            **own,
        )

    def _known(self, key: str, text: str, known: Collection[str], what: str) -> None:
        if text and text not in known:
            self._problems.add(self._form.node_of(key), f"there is no {what} {text}", closest(text, known))

    # ---- of each source ------------------------------------------------------------------------------------------

    def _scorecard(self, figure: str) -> dict[str, Any]:
        form, there = self._form, self._there
        known = scorecard_figures(there.classes, there.labels, there.worth, there.depths, there.names)
        whole = scorecard_figures(there.classes, True, True, there.depths, there.names)
        if figure in whole and figure not in known:
            lacking = (
                "value"
                if figure in scorecard_figures(there.classes, there.labels, True, there.depths, there.names)
                else "labels"
            )
            self._problems.add(
                form.node_of(SCORECARD), f"no card will have {figure} without the section {lacking}", f"add {lacking}"
            )
        else:
            self._known(SCORECARD, figure, known, "figure of a scorecard called")
        segment, group = form.text("segment") or "", form.text("group") or ""
        self._rows(figure, segment, group)
        arm = form.choice("arm", ARMS) or ARMS[0]
        self._window()
        retrain = form.flag("retrain") or False
        if retrain and arm not in ANSWERING:
            self._problems.add(
                form.node_of("retrain"), f"a {arm} answers nobody", "leave retrain out, or watch arm: champion"
            )
        elif retrain and not there.retrained:
            self._problems.add(
                form.node_of("retrain"), "it starts nothing", "add scorecard to retrain.on, or leave retrain out"
            )
        least = form.whole("least", 1)
        return {
            "arm": arm,
            "model": self._model(),
            "segment": segment,
            "group": group,
            "retrain": retrain,
            "least": LEAST_ROWS if least is None else least,
        }

    def _rows(self, figure: str, segment: str, group: str) -> None:
        form, groups = self._form, self._there.groups
        self._known("segment", segment, groups, "segment")
        if group and not segment:
            self._problems.add(form.node_of("group"), "a group of no segment", "name the segment too: segment: NAME")
        elif group and segment in groups:
            self._known("group", group, groups[segment], f"group of {segment} called")
        gap = figure.startswith("gap_")
        if gap and (not segment or group):
            self._problems.add(
                form.node_of(SCORECARD), "a gap is one between all groups of a segment", "write segment: NAME, no group"
            )
        elif segment and not group and not gap:
            listed = ", ".join(groups.get(segment, ())) or "NAME"
            self._problems.add(
                form.node_of("segment"), f"only gaps are told of a segment as a whole, not {figure}",
                f"name one of its groups: {listed}",
            )  # fmt: skip
        elif segment and figure.startswith(("shifted_", "estimate_error_")):
            self._problems.add(
                form.node_of("segment"), f"{figure} is told of all rows alone", "leave segment and group out"
            )

    def _window(self) -> None:
        """There are cards of one length alone, and figures of several do not add up."""
        window = self._form.duration("window", least=1)
        if window is not None and window != self._there.window:
            has = units.duration(self._there.window)
            self._problems.add(
                self._form.node_of("window"),
                f"no card has a window of {units.duration(window)}",
                f"cards have {has} (scorecards.window): write window: {has}, or leave it out",
            )

    def _model(self) -> str:
        model = self._form.text("model") or ""
        if model and not _MODEL.fullmatch(model):
            self._problems.add(
                self._form.node_of("model"), f"{model} is no model", "write name@version, or leave it out"
            )
        return model

    def _drift(self, figure: str) -> dict[str, Any]:
        form = self._form
        self._known(DRIFT, figure, DRIFT_FIGURES, "figure of drift called")
        stream = form.choice("stream", DRIFT_STREAMS) or DRIFT_STREAMS[0]
        column = form.text("column") or ""
        known = self._there.columns.get(stream, ())
        if column and column not in known:
            self._problems.add(form.node_of("column"), f"{stream} have no column {column}", closest(column, known))
        if figure in OF_A_MODEL and column:
            self._problems.add(form.node_of("column"), f"{figure} is told of a model alone", "leave column out")
        elif figure in OF_A_MODEL and stream == DRIFT_STREAMS[-1]:
            self._problems.add(form.node_of("stream"), "what is refused has no model", "name another stream")
        elif figure in ("effect", "divergence") and not column:
            self._problems.add(
                form.node_of(DRIFT), f"{figure} is told of single columns alone", f"name one: {closest('', known)}"
            )
        if stream == "outcomes" and not self._there.labels:
            self._problems.add(form.node_of("stream"), "there are no outcomes without labels", "add the section labels")
        return {"stream": stream, "column": column, "model": self._model()}

    def _operational(self, figure: str) -> dict[str, Any]:
        form = self._form
        self._known(OPERATIONAL, figure, OPERATIONAL_FIGURES, "operational figure called")
        service = form.text("service") or ""
        if figure in OF_A_SERVICE:
            form.require("service", "say whose: service: score")
            self._known("service", service, READS, "service that reads anything called")
            if service in self._there.idle:
                self._problems.add(form.node_of("service"), f"{service} has nothing to do", self._there.idle[service])
        elif service and figure in OPERATIONAL_FIGURES:
            self._problems.add(form.node_of("service"), f"{figure} is of no service", "leave service out")
        within = form.duration("within", least=STEP)
        if within is not None and (within % STEP or within > LONGEST_WITHIN):
            self._problems.add(
                form.node_of("within"), "figures are made of spans of 10s, an hour at the most", "write 1m, 5m or 1h"
            )
        if within is not None and figure in (*OF_A_SERVICE, OF_THE_LAST):
            self._problems.add(form.node_of("within"), f"{figure} is of a moment", "leave within out")
        return {"service": service, "within": MINUTE if within is None else within}

    # ---- of all --------------------------------------------------------------------------------------------------

    def _bounds(self) -> tuple[float | None, float | None]:
        form = self._form
        given = [key for key in ("below", "above", "outside") if key in form]
        if len(given) != 1:
            self._problems.add(
                self._node, "one condition says what is wrong", "write below: 0.5, above: 2 or outside: [0, 1]"
            )
            return None, 0.0
        if given != ["outside"]:
            return form.number("below"), form.number("above")
        ends = [forms.number(node, self._problems) for node in form.items("outside", "[0.1, 0.3]")]
        low, high = ends if len(ends) == 2 else (None, None)
        if form.node_of("outside").items is not None and (len(ends) != 2 or (low or 0) > (high or 0)):
            self._problems.add(form.node_of("outside"), "no two bounds, the lower first", "write outside: [0.1, 0.3]")
        return low, high

    def _hold(self) -> int:
        """Windows, of a scorecard; else milliseconds."""
        form, cards = self._form, self._source == SCORECARD
        text = form.text("for")
        if text is None:
            return 1 if cards else 0
        node, windows = form.node_of("for"), _WINDOWS.fullmatch(text)
        if windows is not None and not cards:
            self._problems.add(node, "only scorecards have windows", "write a duration: for: 10m")
            return 0
        if windows is not None:
            count = int(windows[1])
        else:
            held = forms.duration(node, self._problems, least=0)
            if held is None or not cards:
                if held is not None and held > LONGEST_HOLD:
                    self._problems.add(node, "nobody waits for so long", "write 30d at the most")
                return held or 0
            count, rest = divmod(held, self._there.window)
            if rest or not count:
                whole = units.duration(self._there.window)
                self._problems.add(
                    node, f"{text} is no whole number of windows, of {whole} each", "write for: 3 windows"
                )
        if not 1 <= count <= MOST_WINDOWS:
            self._problems.add(node, f"{text} cannot be waited for", f"write 1 to {MOST_WINDOWS} windows")
        return count

    def _tell(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for node in self._form.items("tell", "[oncall]"):
            name = forms.text(node, self._problems)
            if name is None:
                continue
            if self._there.channels is None:
                self._problems.add(
                    node, f"there is no channel {name}: the file has no section notify",
                    f"add notify: {{channels: {{{name}: {{env: {name.upper()}_URL}}}}}}",
                )  # fmt: skip
            elif name not in self._there.channels:
                self._problems.add(node, f"there is no channel {name}", closest(name, self._there.channels))
            found[name] = None
        return tuple(found)
