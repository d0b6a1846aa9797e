"""The `kpis` section: what cannot be watched is refused, with its place and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.domain.drift import reference_profile
from headrace.domain.drift.refusals import refusal_rate
from headrace.domain.pipeline.check import Problem, check, load
from headrace.domain.pipeline.kpi import watchable
from headrace.domain.pipeline.kpi.figures import READS
from headrace.domain.pipeline.kpi.spec import KpiRule, rule_of
from headrace.domain.pipeline.workspace import Workspace
from headrace.operations.services import SERVICES
from tests.members import ROOT

CARDS = ROOT / "pipelines/card_fraud.yaml"
NOTIFY = "\nnotify: {channels: {oncall: {env: ONCALL_URL}}}\n"
MISTAKES = [
    ("{scorecard: avarage_precision, below: 1}", "no figure of a scorecard called", "did you mean average_precision?"),
    ("{scorecard: recall, below: 1, tell: [onkall]}", "no channel onkall", "did you mean oncall?"),
    ("{scorecard: recall, below: 1, window: 7d}", "no card has a window of 7d", "cards have 1d"),
    ("{scorecard: recall, below: 1, for: 36h}", "no whole number of windows", "for: 3 windows"),
    ("{scorecard: recall, below: 1, for: 0 windows}", "cannot be waited for", "1 to 100"),
    ("{scorecard: recall, drift: evidence, below: 1}", "one figure", "scorecard: average_precision"),
    ("{below: 1}", "one figure", "operational: lag"),
    ("{scorecard: recall}", "one condition", "below: 0.5"),
    ("{scorecard: recall, below: 1, above: 2}", "one condition", "outside: [0, 1]"),
    ("{scorecard: recall, outside: [1, 0]}", "the lower first", "outside"),
    ("{scorecard: recall, below: 1, segment: amount_band}", "only gaps", "one of its groups: <10"),
    ("{scorecard: recall, below: 1, segment: amountband}", "no segment amountband", "did you mean amount_band?"),
    ("{scorecard: recall, below: 1, segment: amount_band, group: <11}", "no group of amount_band", "mean <10?"),
    ("{scorecard: recall, below: 1, group: <10}", "a group of no segment", "segment: NAME"),
    ("{scorecard: gap_precision, above: 1}", "between all groups of a segment", "segment: NAME"),
    ("{scorecard: recall, below: 1, retrain: true}", "it starts nothing", "add scorecard to retrain.on"),
    ("{scorecard: recall, below: 1, arm: shadow, retrain: true}", "answers nobody", "arm: champion"),
    ("{scorecard: recall, below: 1, arm: champ}", "arm cannot be champ", "did you mean champion?"),
    ("{scorecard: recall, below: 1, model: fraud}", "fraud is no model", "name@version"),
    ("{scorecard: recall, below: 1, within: 1m}", "unknown key within", "known are"),
    ("{drift: evidence, above: 1, retrain: true}", "unknown key retrain", "known are"),
    ("{drift: evidnce, above: 1}", "no figure of drift called evidnce", "did you mean evidence?"),
    ("{drift: effect, column: amout, above: 1}", "predictions have no column amout", "did you mean amount?"),
    ("{drift: effect, above: 1}", "single columns alone", "known are amount"),
    ("{drift: worse, column: amount, above: 1}", "of a model alone", "leave column out"),
    ("{operational: lag, above: 1, for: 3 windows}", "only scorecards have windows", "for: 10m"),
    ("{operational: lag, above: 1}", "service is missing", "service: score"),
    ("{operational: lag, service: scor, above: 1}", "no service that reads anything called scor", "mean score?"),
    ("{operational: lag, service: score, above: 1, within: 1m}", "of a moment", "leave within out"),
    ("{operational: dead_letter_share, above: 1}", "no operational figure", "did you mean dead_letters_share?"),
    ("{operational: dead_letters_share, above: 1, within: 15s}", "spans of 10s", "5m"),
    ("{operational: dead_letters_share, above: 1, service: score}", "of no service", "leave service out"),
    ("{operational: lag, service: score, above: 1, unknown_after: 1s}", "too short", "1m"),
]


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[Problem]]:
    """What is wrong with the cards' pipeline, once so much is added."""

    def found(added: str) -> list[Problem]:
        file = tmp_path / "cards.yaml"
        file.write_text(CARDS.read_text() + added)
        return check(file, Workspace.of(CARDS))

    return found


@pytest.mark.parametrize(("rule", "message", "remedy"), MISTAKES)
def test_a_mistake_has_its_line_and_a_remedy(
    problems: Callable[[str], list[Problem]], rule: str, message: str, remedy: str
) -> None:
    """Near matches among them."""
    line = len((CARDS.read_text() + NOTIFY).splitlines()) + 2
    found = problems(f"{NOTIFY}kpis:\n  r: {rule}\n")
    assert any(message in each.message and remedy in each.remedy and each.line == line for each in found), found


def test_what_no_section_gives_is_refused(problems: Callable[[str], list[Problem]]) -> None:
    """Channels without a section for them, trainings that nothing asks for, rules without a figure."""
    assert "no section notify" in problems("\nkpis: {r: {scorecard: recall, below: 1, tell: [a]}}\n")[0].message
    assert "nothing is watched" in problems("\nkpis: {}\n")[0].message


def test_a_trigger_that_no_rule_pulls_is_refused(tmp_path: Path) -> None:
    """And one with a rule is read."""
    file = tmp_path / "cards.yaml"
    text = CARDS.read_text().replace("on: [drift, schedule]", "on: [drift, schedule, scorecard]")
    file.write_text(text)
    found = check(file, Workspace.of(CARDS))
    assert [each.message for each in found] == ["scorecard is to start trainings, and no rule of kpis asks for any"]
    file.write_text(f"{text}\nkpis: {{floor: {{scorecard: recall, below: 0.5, retrain: true}}}}\n")
    assert load(file, Workspace.of(CARDS)).kpis["floor"].retrain


def test_a_section_is_read_as_it_is_written(tmp_path: Path) -> None:
    """And a rule travels as JSON."""
    file = tmp_path / "cards.yaml"
    file.write_text(
        f"{CARDS.read_text()}{NOTIFY}kpis:\n"
        "  floor: {scorecard: recall, below: 0.5, for: 3d, severity: critical, tell: [oncall], least: 100}\n"
        "  gap: {scorecard: gap_precision, above: 0.2, segment: amount_band, arm: canary}\n"
        "  moved: {drift: effect, column: amount, outside: [-0.1, 0.1], for: 6h}\n"
        "  behind: {operational: lag_seconds, service: score, above: 60, for: 5m, unknown_after: 10m}\n"
    )
    rules = load(file, Workspace.of(CARDS)).kpis
    assert rules == {
        "floor": KpiRule(
            "floor", "scorecard", "recall", low=0.5, hold=3, severity="critical", tell=("oncall",), least=100
        ),
        "gap": KpiRule("gap", "scorecard", "gap_precision", high=0.2, segment="amount_band", arm="canary"),
        "moved": KpiRule("moved", "drift", "effect", low=-0.1, high=0.1, hold=21_600_000, column="amount"),
        "behind": KpiRule(
            "behind", "operational", "lag_seconds", high=60, hold=300_000, service="score", unknown_after=600_000
        ),
    }
    assert all(rule_of(rule.plain()) == rule for rule in rules.values())


def test_services_read_what_lag_is_asked_of() -> None:
    """A topic that a service reads is one whose lag counts."""
    known = {name: entry.reads for name, entry in SERVICES.items() if name in READS}
    assert known == READS
    # The lag of `kpi` is not watched by itself; `intake` reads topics that the pipeline file names.
    assert SERVICES.keys() - READS.keys() <= {"kpi", "intake"}


def test_columns_are_called_as_drift_calls_them() -> None:
    """The section may not know drift, so names are held together here."""
    there = (watchable.SCORE, watchable.DECISION, watchable.LOSS, watchable.LABEL, watchable.REFUSED)
    ours = reference_profile
    assert there == (ours.SCORE, ours.DECISION, ours.LOSS, ours.LABEL, refusal_rate.REFUSED)
