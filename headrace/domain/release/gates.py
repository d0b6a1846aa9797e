"""Gates: what a package must be before it is let in, each answered with figure, bound and remedy.

Figures are made by the evaluation of recent outcomes, on which both models scored the same events. Each has an
interval: a gate is passed or failed where the interval is wholly on one side, and not known in between. What watches a
model once it is let in is evidence that may be looked at any time.

Where a gate is not known the same model is looked at again, on more outcomes. An interval of one sample may not be
looked at until it says what one likes, so looks are few and stated before: each on twice the outcomes of the one
before. Of the 5% that all looks of one gate together may be wrong, the first has a half, the second a quarter, and so
on (Bonferroni's inequality over looks: it holds however they depend on one another).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.domain.pipeline.release.gate_rules import LOWER, GateRule
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.fairness import Gap
from headrace.domain.quality.statistics.proportions import Interval, deviations
from headrace.domain.release.inputs import GateAnswer, Standing

ALPHA = 0.05
"""What all looks of a gate together may be wrong, to either side."""
LEAST = 500
"""Outcomes that a look is worth."""


def alpha_of(look: int) -> float:
    """What a look may be wrong: the looks of a gate together `ALPHA` at most.

    >>> [alpha_of(look) for look in (1, 2, 3)]
    [0.025, 0.0125, 0.00625]
    """
    return ALPHA * 0.5**look


def widening(look: int) -> float:
    """How much wider an interval of 95% has to be for a look: by deviations of a normal figure.

    >>> [round(widening(look), 3) for look in (1, 2, 3)]
    [1.144, 1.274, 1.395]
    """
    return deviations(1 - alpha_of(look)) / deviations(1 - ALPHA)


def next_look(outcomes: int, minimum: int = 0) -> int:
    """At how many outcomes a model is looked at again that was looked at on `outcomes`.

    >>> next_look(0), next_look(4_000), next_look(4_000, minimum=10_000)
    (500, 8000, 10000)
    """
    return max(2 * outcomes, minimum, LEAST)


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
        broken: labelled events that the champion gave a finite score, and the candidate none.
        problem: what the candidate said of rows that it did not run on at all.
    """

    outcomes: int = 0
    differences: Mapping[str, Difference] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Mapping[str, Difference]]] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    latency: float | None = None
    memory: int | None = None
    agreement: float | None = None
    broken: int = 0
    problem: str = ""


def answer_gates(rules: Release, found: EvaluationFigures, look: int = 1) -> tuple[GateAnswer, ...]:
    """An answer to every gate that the pipeline file asks for, in its order; none where it asks for none.

    Args:
        rules: of the pipeline file.
        found: with intervals of 95%.
        look: how often outcomes were looked at for this model, with this time.

    Before them, where it failed, to one that nobody asks for: a score for every event that the champion has one for.

    >>> [(each.gate, each.standing) for each in answer_gates(Release(), EvaluationFigures(broken=2))]
    [('scores', 'failed')]
    """
    return (*_scores(found), *_answers(rules, found, look))


def of_package(problem: str) -> tuple[GateAnswer, ...]:
    """The answer where a package cannot be opened: it is not what was registered, or nothing that may run here."""
    return (GateAnswer("package", "failed", remedy=problem),)


def _scores(found: EvaluationFigures) -> Iterator[GateAnswer]:
    if found.broken:
        why = f" ({found.problem})" if found.problem else ""
        events = f"{found.broken:,} events that the champion scores have no score by it{why}"
        yield GateAnswer(
            "scores", "failed", found.broken, 0, f"{events}: it has to give a number wherever the champion does"
        )


def _answers(rules: Release, found: EvaluationFigures, look: int) -> Iterator[GateAnswer]:
    if rules.minimum:
        enough = found.outcomes >= rules.minimum
        remedy = "" if enough else f"wait for {rules.minimum - found.outcomes:,} more outcomes, or lower minimum"
        standing: Standing = "passed" if enough else "unknown"
        yield GateAnswer("minimum", standing, found.outcomes, rules.minimum, remedy)
    for name, rule in rules.gates.items():
        yield of_figure(name, name, rule, found.differences.get(name), look)
    for segment, wanted in rules.groups.items():
        for group, figures in found.groups.get(segment, {}).items():
            for name, rule in wanted.items():
                yield of_figure(f"{segment}={group}: {name}", name, rule, figures.get(name), look)
        if not found.groups.get(segment):
            yield GateAnswer(f"{segment}", "unknown", remedy=f"no outcome has a group of {segment}: wait for some")
    if rules.fairness is not None:
        yield _fairness(rules, found, look)
    if rules.golden_rows is not None and rules.golden_rows.latency is not None:
        yield _at_most("latency", found.latency, rules.golden_rows.latency, "a smaller model, or a larger latency")
    if rules.golden_rows is not None and rules.golden_rows.memory is not None:
        yield _at_most("memory", found.memory, rules.golden_rows.memory, "a smaller model, or a larger memory")
    if rules.explanations is not None:
        yield _agreement(rules.explanations.top, rules.explanations.share, found.agreement)


def of_figure(gate: str, figure: str, rule: GateRule, found: Difference | None, look: int = 1) -> GateAnswer:
    """A figure of both models held against a rule.

    Compared with the champion, the interval of the difference decides, as wide as a look asks; compared with a number,
    the figure itself.

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
    low, high = _as_wide(found.difference, found.interval, look)
    gain = found.difference
    if figure in LOWER:
        low, high, gain = -high, -low, -gain
    least = rule.bound if rule.comparison == "better" else -rule.bound
    standing: Standing = "passed" if low > least else "failed" if high < least else "unknown"
    told = f"{figure} is {found.b:.4g}, the champion's {found.a:.4g}; better by {low:.4g} to {high:.4g} {_named(look)}"
    remedy = {
        "passed": "",
        "failed": f"{told}: it has to be {rule.text}",
        "unknown": f"{told}: nobody can tell yet whether it is {rule.text}; wait for more, or let a person decide",
    }[standing]
    return GateAnswer(gate, standing, gain, least, remedy, fixed_sample=True)


def _as_wide(figure: float, interval: Interval, look: int) -> tuple[float, float]:
    """An interval of 95% as a look asks for it."""
    wide = widening(look)
    return figure - wide * (figure - interval.low), figure + wide * (interval.high - figure)


def _named(look: int) -> str:
    return f"(look {look}, {100 * (1 - alpha_of(look)):.4g}%)"


def _fairness(rules: Release, found: EvaluationFigures, look: int) -> GateAnswer:
    assert rules.fairness is not None, "whoever asks has looked"
    segment, figure, bound = rules.fairness.segment, rules.fairness.figure, rules.fairness.gap
    gap = found.gaps.get(segment, {}).get(figure)
    name = f"fairness of {segment}"
    if gap is None:
        remedy = f"fewer than two groups of {segment} have outcomes enough for {figure}: wait for more"
        return GateAnswer(name, "unknown", None, bound, remedy, fixed_sample=True)
    if gap.gap <= bound:
        return GateAnswer(name, "passed", gap.gap, bound, fixed_sample=True)
    low, high = _as_wide(gap.gap, gap.interval, look)
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
