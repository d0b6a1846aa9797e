"""Reads the `release` section."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.release.gate_rules import GateRule, figures_of, is_figure, read_gate_rule
from headrace.domain.pipeline.release.spec import (
    ROLES,
    ExplanationStability,
    Fairness,
    GoldenRows,
    Release,
    fairness_figures,
)
from headrace.domain.pipeline.spec import Labels, Segment

RELEASE_KEYS = (
    "gates", "groups", "fairness", "golden_rows", "explanations", "minimum", "approvals", "people", "canary", "each",
    "shadow", "deadline", "guard", "margin", "bound", "alpha_advance", "false_rollbacks_per_year", "releases_per_year",
)  # fmt: skip  # a row of words
LEAST_ALPHA, MOST_ALPHA = 1e-6, 0.5
"""Of one release: beyond these nothing is decided within any number of events, or chance decides."""
MEMORY = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def read_release(
    form: Form, segments: Mapping[str, Segment], labels: Labels | None, classes: bool, names: Sequence[str] = ()
) -> Release:
    """The `release` section; its groups and its fairness name segments.

    Args:
        form: the section.
        segments: of the file.
        labels: its labels.
        classes: whether scores are chances.
        names: of several classes, as fields have them.
    """
    problems = form.problems
    default = Release()

    def duration(key: str, otherwise: int, least: int = 0) -> int:
        found = form.duration(key, least)
        return otherwise if found is None else found

    each = duration("each", 0)
    share, offset = _margin(form, default)
    alpha = form.number("alpha_advance", LEAST_ALPHA, MOST_ALPHA)
    budget, per_year = _budget(form, default)
    approvals = form.whole("approvals", 0, 2)
    if not classes:
        form.require("bound", "models of a quantity need the squared error beyond which all errors count alike")
    elif "bound" in form:
        form.problems.add(form.node_of("bound"), "chances have a bound of their own", "take it out")
    return Release(
        gates=_gates(form.entries.get("gates"), classes, names, problems),
        groups=_groups(form.entries.get("groups"), segments, classes, names, problems),
        fairness=_fairness(form.entries.get("fairness"), segments, names, problems),
        golden_rows=_golden_rows(form.entries.get("golden_rows"), problems),
        explanations=_explanations(form.entries.get("explanations"), problems),
        minimum=form.whole("minimum", 0) or 0,
        approvals=1 if approvals is None else approvals,
        people=_people(form.entries.get("people"), 1 if approvals is None else approvals, problems),
        canary=_shares(form, problems),
        each=each,
        shadow=duration("shadow", each),
        deadline=duration("deadline", default.deadline, least=1),
        guard=duration("guard", default.guard),
        matures_after=0 if labels is None else labels.matures_after,
        margin_share=share,
        margin_offset=offset,
        bound=form.number("bound", 1e-300) if not classes else None,
        alpha_advance=default.alpha_advance if alpha is None else alpha,
        false_rollbacks_per_year=budget,
        releases_per_year=per_year,
    )


def _shares(form: Form, problems: Problems) -> tuple[float, ...]:
    shares: list[float] = []
    for node in form.items("canary", "[5%, 25%, 100%]"):
        share = forms.share(node, problems)
        if share is not None and share <= (shares[-1] if shares else 0):
            problems.add(node, f"the share {node.text} is no larger than the last", "write them from low to high")
        elif share is not None:
            shares.append(share)
    if shares and shares[-1] != 1:
        problems.add(form.node_of("canary"), "the last share is not 100%", "end with 100%: the model takes over")
    return tuple(shares) or (1.0,)


def _margin(form: Form, default: Release) -> tuple[float, float]:
    """The share and the offset; a margin of nothing lets no equal model through, ever."""
    text = form.text("margin")
    if text is None:
        return default.margin_share, default.margin_offset
    try:
        found = (units.share(text), 0.0) if text.endswith("%") else (0.0, float(text))
    except ValueError:
        found = (0.0, math.nan)
    if not (math.isfinite(sum(found)) and sum(found) > 0):
        form.problems.add(
            form.node_of("margin"), f"{text} is no margin",
            "write a share of the champion's loss, such as 5%, or a loss, such as 0.0005; above 0: an equal model is "
            "never proved to be no worse at all",
        )  # fmt: skip  # a sentence
    return found


def _budget(form: Form, default: Release) -> tuple[float, int]:
    budget = form.number("false_rollbacks_per_year", 0.001, 100)
    per_year = form.whole("releases_per_year", 1, 10_000)
    budget = default.false_rollbacks_per_year if budget is None else budget
    per_year = default.releases_per_year if per_year is None else per_year
    if budget / per_year > MOST_ALPHA:
        node = form.node_of("false_rollbacks_per_year" if "false_rollbacks_per_year" in form else "releases_per_year")
        form.problems.add(
            node, f"{budget:g} false roll-backs in {per_year} releases leave chance to decide",
            f"write at least {math.ceil(budget / MOST_ALPHA)} releases_per_year, or fewer false roll-backs",
        )  # fmt: skip  # a sentence
    return budget, per_year


def _gates(node: Node | None, classes: bool, names: Sequence[str], problems: Problems) -> dict[str, GateRule]:
    form = Form(node, problems, None, "{average_precision: better}")
    rules = {}
    for name, entry in form.named():
        text = forms.text(entry, problems)
        if not is_figure(name, classes, names):
            problems.add(form.node.keys[name], f"no figure {name}", closest(name, figures_of(classes, names)))
        elif text is not None:
            try:
                rules[name] = read_gate_rule(text)
            except ValueError as error:
                problems.add(entry, f"{text} is no gate", str(error))
    return rules


def _groups(
    node: Node | None, segments: Mapping[str, Segment], classes: bool, names: Sequence[str], problems: Problems
) -> dict[str, dict[str, GateRule]]:
    form = Form(node, problems, None, "{amount_band: {average_precision: not worse by 0.05}}")
    found = {}
    for name, entry in form.named():
        if name not in segments:
            problems.add(form.node.keys[name], f"no segment {name}", closest(name, segments))
        found[name] = _gates(entry, classes, names, problems)
    return found


def _fairness(
    node: Node | None, segments: Mapping[str, Segment], names: Sequence[str], problems: Problems
) -> Fairness | None:
    if node is None:
        return None
    form = Form(node, problems, ("segment", "gap", "figure"), "{segment: amount_band, gap: 0.05}")
    form.require("segment", "name one of the segments")
    form.require("gap", "write the largest gap between two groups, such as gap: 0.05")
    segment, gap = form.text("segment"), form.number("gap", 0, 1)
    if segment is not None and segment not in segments:
        problems.add(form.node_of("segment"), f"no segment {segment}", closest(segment, segments))
    figures = fairness_figures(names)
    return Fairness(segment or "", gap or 0, form.choice("figure", figures) or figures[0])


def _golden_rows(node: Node | None, problems: Problems) -> GoldenRows | None:
    if node is None:
        return None
    form = Form(node, problems, ("latency", "memory"), "{latency: 5ms, memory: 300MB}")
    latency, text = form.duration("latency", least=1), form.text("memory")
    memory = None
    if text is not None:
        number, unit = text[:-2].strip(), text[-2:]
        if unit in MEMORY and number.isdecimal() and len(number) < 10 and int(number) > 0:
            memory = int(number) * MEMORY[unit]
        else:
            problems.add(form.node_of("memory"), f"{text} is no memory", "write a whole number and KB, MB or GB: 300MB")
    return GoldenRows(latency, memory)


def _explanations(node: Node | None, problems: Problems) -> ExplanationStability | None:
    if node is None:
        return None
    form = Form(node, problems, ("top", "share"), "{top: 5, share: 60%}")
    default = ExplanationStability()
    share = forms.share(form.entries["share"], problems) if "share" in form else default.share
    return ExplanationStability(form.whole("top", 1, 1000) or default.top, default.share if share is None else share)


def _people(node: Node | None, approvals: int, problems: Problems) -> dict[str, tuple[str, ...]]:
    form = Form(node, problems, ROLES, "{approve: [ana, ben], rollback: [ana, ben, eva]}")
    found = {}
    for role in ROLES:
        names: dict[str, None] = {}
        for entry in form.items(role, "[ana, ben]"):
            name = forms.text(entry, problems)
            if name in names:
                problems.add(entry, f"{name} stands there twice", "name each person once")
            elif name is not None:
                names[name] = None
        if role in form:
            found[role] = tuple(names)
    if "approve" in form and len(found["approve"]) < approvals:
        problems.add(
            form.node_of("approve"), f"{len(found['approve'])} may approve, and {approvals} have to",
            "name more people, or write fewer approvals",
        )  # fmt: skip  # a sentence
    return found
