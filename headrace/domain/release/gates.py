"""Gates: what a package must be before it is let in, each answered with figure, bound and remedy.

Figures are made by the evaluation of recent outcomes, on which both models scored the same events. They are of one
sample and one look, with an interval: a gate is passed or failed where the interval is wholly on one side, and not
known in between. What watches a model once it is let in is evidence that may be looked at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.domain.pipeline.release.gate_rules import LOWER, GateRule
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.fairness import Gap
from headrace.domain.release.inputs import GateAnswer, Standing

ONE_LOOK = "a fixed sample, looked at once"


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """What an evaluation found; what it could not find is missing.

    Attributes:
        outcomes: labelled events that both models scored.
        differences: by figure, champion (`a`) and candidate (`b`) on the same events.
        groups: by segment, group and figure, the same.
        gaps: by segment and figure, the largest gap of the candidate between two groups.
        latency: milliseconds of one golden row, 99th percentile.
        memory: bytes at most that opening it took.
        agreement: of the inputs that contribute most to the champion's answers, the share that the candidate's have.
    """

    outcomes: int = 0
    differences: Mapping[str, Difference] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Mapping[str, Difference]]] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    latency: float | None = None
    memory: int | None = None
    agreement: float | None = None


def answer_gates(rules: Release, found: EvaluationFigures) -> tuple[GateAnswer, ...]:
    """An answer to every gate that the pipeline file asks for, in its order; none where it asks for none."""
    return tuple(_answers(rules, found))


def _answers(rules: Release, found: EvaluationFigures) -> Iterator[GateAnswer]:
    if rules.minimum:
        enough = found.outcomes >= rules.minimum
        remedy = "" if enough else f"wait for {rules.minimum - found.outcomes:,} more outcomes, or lower minimum"
        standing: Standing = "passed" if enough else "unknown"
        yield GateAnswer("minimum", standing, found.outcomes, rules.minimum, remedy)
    for name, rule in rules.gates.items():
        yield of_figure(name, name, rule, found.differences.get(name))
    for segment, wanted in rules.groups.items():
        for group, figures in found.groups.get(segment, {}).items():
            for name, rule in wanted.items():
                yield of_figure(f"{segment}={group}: {name}", name, rule, figures.get(name))
        if not found.groups.get(segment):
            yield GateAnswer(f"{segment}", "unknown", remedy=f"no outcome has a group of {segment}: wait for some")
    if rules.fairness is not None:
        yield _fairness(rules, found)
    if rules.golden_rows is not None and rules.golden_rows.latency is not None:
        yield _at_most("latency", found.latency, rules.golden_rows.latency, "a smaller model, or a larger latency")
    if rules.golden_rows is not None and rules.golden_rows.memory is not None:
        yield _at_most("memory", found.memory, rules.golden_rows.memory, "a smaller model, or a larger memory")
    if rules.explanations is not None:
        yield _agreement(rules.explanations.top, rules.explanations.share, found.agreement)


def of_figure(gate: str, figure: str, rule: GateRule, found: Difference | None) -> GateAnswer:
    """A figure of both models held against a rule.

    Compared with the champion, the interval of the difference decides; compared with a number, the figure itself.

    >>> from headrace.domain.quality.statistics.proportions import Interval
    >>> found = Difference(0.70, 0.72, 0.02, Interval(-0.01, 0.05), 0.2)
    >>> of_figure("auc_roc", "auc_roc", GateRule("better"), found).standing
    'unknown'
    >>> of_figure("auc_roc", "auc_roc", GateRule("not_worse", 0.02), found).standing
    'passed'
    """
    if found is None:
        remedy = "the figure cannot be told of these outcomes (a class is missing, or too few): wait for more"
        return GateAnswer(gate, "unknown", None, rule.bound, remedy, fixed_sample=True)
    if rule.comparison in ("at_least", "at_most"):
        passed = found.b >= rule.bound if rule.comparison == "at_least" else found.b <= rule.bound
        remedy = "" if passed else f"{figure} is {found.b:.4g}, and has to be {rule.text}"
        return GateAnswer(gate, "passed" if passed else "failed", found.b, rule.bound, remedy, fixed_sample=True)
    low, high = found.interval
    gain = found.difference
    if figure in LOWER:
        low, high, gain = -high, -low, -gain
    least = rule.bound if rule.comparison == "better" else -rule.bound
    standing: Standing = "passed" if low > least else "failed" if high < least else "unknown"
    told = f"{figure} is {found.b:.4g}, the champion's {found.a:.4g}; better by {low:.4g} to {high:.4g} ({ONE_LOOK})"
    remedy = {
        "passed": "",
        "failed": f"{told}: it has to be {rule.text}",
        "unknown": f"{told}: nobody can tell yet whether it is {rule.text}; wait for more, or let a person decide",
    }[standing]
    return GateAnswer(gate, standing, gain, least, remedy, fixed_sample=True)


def _fairness(rules: Release, found: EvaluationFigures) -> GateAnswer:
    assert rules.fairness is not None, "whoever asks has looked"
    segment, figure, bound = rules.fairness.segment, rules.fairness.figure, rules.fairness.gap
    gap = found.gaps.get(segment, {}).get(figure)
    name = f"fairness of {segment}"
    if gap is None:
        remedy = f"fewer than two groups of {segment} have outcomes enough for {figure}: wait for more"
        return GateAnswer(name, "unknown", None, bound, remedy, fixed_sample=True)
    if gap.gap <= bound:
        return GateAnswer(name, "passed", gap.gap, bound, fixed_sample=True)
    low, high = gap.interval
    told = f"{figure} of {gap.highest} is {gap.gap:.3g} above that of {gap.lowest} ({low:.3g} to {high:.3g})"
    standing: Standing = "failed" if low > bound else "unknown"
    more = "train with more rows of the latter" if standing == "failed" else "wait for more, or let a person decide"
    return GateAnswer(name, standing, gap.gap, bound, f"{told}, {bound:g} is allowed: {more}", fixed_sample=True)


def _at_most(name: str, figure: float | None, bound: float, remedy: str) -> GateAnswer:
    if figure is None:
        return GateAnswer(name, "unknown", None, bound, "no golden rows were scored: evaluate it again")
    passed = figure <= bound
    return GateAnswer(name, "passed" if passed else "failed", figure, bound, "" if passed else f"write {remedy}")


def _agreement(top: int, share: float, found: float | None) -> GateAnswer:
    if found is None:
        return GateAnswer(
            "explanations", "unknown", None, share, "one of the packages has no contributions: train anew"
        )
    passed = found >= share
    remedy = "" if passed else f"of the {top} inputs that matter most to the champion it has {found:.0%}: look why"
    return GateAnswer("explanations", "passed" if passed else "failed", found, share, remedy)


def top_agreement(champion: Mapping[str, float], candidate: Mapping[str, float], top: int) -> float | None:
    """Of the `top` inputs that contribute most (absolute) to the champion's answers, the share that is among the
    candidate's; None where either has none. Ties by name.

    >>> top_agreement({"a": 3, "b": 2, "c": 1}, {"a": 1, "b": 2, "c": 3}, 2)
    0.5
    """
    first, second = (
        {n for n, _ in sorted(e.items(), key=lambda i: (-abs(i[1]), i[0]))[:top]} for e in (champion, candidate)
    )
    return len(first & second) / len(first) if first and second else None
