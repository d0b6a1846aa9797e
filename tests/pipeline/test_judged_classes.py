"""What a file may ask of the judgement of several classes: by class, and nothing of a positive one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.domain.pipeline.check import check, load

from .conftest import SMALL
from .test_classes import KINDS, MODEL


def written(project: Path, more: str) -> Path:
    """A pipeline of four classes with some sections more."""
    path = project / "pipelines" / "small.yaml"
    path.write_text(SMALL.replace(MODEL, KINDS) + more, "utf-8")
    return path


GOOD = """
segments: {length: {of: minutes, cuts: [10]}}
kpis:
  one: {scorecard: recall_commute, below: 0.5}
  all: {scorecard: macro_f1, below: 0.5}
  share: {scorecard: decided_rate_very_long, above: 0.5}
  gap: {scorecard: gap_recall_leisure, segment: length, above: 0.2}
  drift: {drift: evidence, column: model class, above: 1}
  truth: {drift: evidence, stream: outcomes, column: true class, above: 1}
release:
  gates: {macro_f1: not worse by 0.01, recall_commute: at least 0.5, cost_per_event: better}
  groups: {length: {recall_leisure: at least 0.4}}
  fairness: {segment: length, gap: 0.1, figure: recall_leisure}
"""


def test_figures_of_classes_are_known(project: Path) -> None:
    """Of all together and of each, in rules, in gates, in groups and between them."""
    path = written(project, GOOD)
    assert check(path) == []
    made = load(path)
    assert set(made.kpis) == {"one", "all", "share", "gap", "drift", "truth"}
    assert made.release is not None
    assert made.release.fairness is not None
    assert made.release.fairness.figure == "recall_leisure"


def test_fairness_is_of_accuracy_unless_the_file_says_otherwise(project: Path) -> None:
    """There is no true positive rate of several classes."""
    more = "\nsegments: {length: {of: minutes, cuts: [10]}}\nrelease: {fairness: {segment: length, gap: 0.1}}\n"
    made = load(written(project, more))
    assert made.release is not None
    assert made.release.fairness is not None
    assert made.release.fairness.figure == "accuracy"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("scorecards: {precision_at: [10]}", "none of several classes is the positive one"),
        ("kpis: {one: {scorecard: recall, below: 0.5}}", "no figure of a scorecard called recall"),
        ("kpis: {one: {scorecard: estimated_accuracy, below: 0.5}}", "no figure of a scorecard called estimated"),
        ("kpis: {one: {drift: evidence, stream: outcomes, column: positive label, above: 1}}", "no column positive"),
        ("release: {gates: {average_precision: better}}", "no figure average_precision"),
        ("release: {gates: {recall_unicorn: better}}", "no figure recall_unicorn"),
        ("release: {bound: 4}", "chances have a bound of their own"),
        ("segments: {length: {of: minutes, cuts: [10]}}\n"
         "release: {fairness: {segment: length, gap: 0.1, figure: true_positive_rate}}", "true_positive_rate"),
    ],
)  # fmt: skip  # a line each
def test_what_needs_a_positive_class_is_refused(project: Path, more: str, said: str) -> None:
    """With what there is in its place."""
    problems = check(written(project, f"\n{more}\n"))
    assert len(problems) == 1
    assert said in problems[0].message
    assert problems[0].remedy
