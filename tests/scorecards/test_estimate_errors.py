"""Cards tell estimates of both kinds, and which of them was nearer once labels came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.domain.quality.row_sample import RowSample, sampled
from headrace.domain.quality.score_table import tabulated
from headrace.domain.scorecards.card import ESTIMATED, SHIFTED, Card, Reference, card
from headrace.domain.scorecards.estimate_errors import judged
from headrace.domain.scorecards.figure import Figure
from headrace.domain.scorecards.partial_aggregate import Tally, counted
from headrace.domain.scorecards.shift_figures import ShiftFigures, shift_figures
from headrace.domain.scorecards.shift_rows import NoShift
from tests.scorecards.made import pipeline

BINS = (2, 8)


def drawn(random: np.random.Generator, count: int, share: float) -> RowSample:
    """Rows of two groups, of which the model is too sure of one."""
    group = random.random(count) < share
    strength = random.normal(0, 1.5, count)
    chances = 1 / (1 + np.exp(-np.where(group, 0.4 * strength - 0.8, 1.2 * strength + 0.3)))
    rows = RowSample(
        BINS,
        random.integers(0, 1 << 62, count),
        np.stack([group, random.integers(0, 8, count)]).astype(np.uint8),
        1 / (1 + np.exp(-strength)),
        (random.random(count) < chances).astype(np.uint8),
    )
    return sampled(rows, count)


def tally(rows: RowSample, outcomes: int | None = None) -> Tally:
    """Their sums, with so many outcomes (all)."""
    labels, flagged = rows.labels > 0, rows.scores >= 0.5
    some = slice(0, outcomes)
    matrix = {
        "true_positive": labels & flagged, "false_positive": ~labels & flagged,
        "true_negative": ~labels & ~flagged, "false_negative": labels & ~flagged,
    }  # fmt: skip  # a table
    counts = {name: int(each[some].sum()) for name, each in matrix.items()}
    known = len(labels[some])
    return Tally(
        counted(predictions=len(rows), flagged=int(flagged.sum()), outcomes=known, labelled=known, **counts),
        predicted=tabulated(rows.scores, np.full(len(rows), np.nan)),
        known=tabulated(rows.scores[some], labels[some]),
        least_flagged=0.5,
    )


def weighed(window: RowSample, before: RowSample, outcomes: int | None = None) -> ShiftFigures:
    """Estimates under shift of a window, by rows from before."""
    rows = sampled(replace(window, labels=np.full(len(window), 2, np.uint8)), 1_000)
    return shift_figures(replace(tally(window, outcomes), rows=rows), before, pipeline().value)


def cards(share: float, count: int = 8) -> list[Card]:
    """Of windows that this share of the rows is of the group, after one in which 30% were."""
    random = np.random.default_rng(7)
    before = drawn(random, 6_000, 0.3)
    reference = Reference(tabulated(before.scores, before.labels > 0), (int(before.labels.sum()),), (6_000,))
    made = []
    for _ in range(count):
        window = drawn(random, 1_500, share)
        made.append(card(tally(window), pipeline(), reference, shifted=weighed(window, before)))
    return made


def test_who_was_nearer() -> None:
    """When the mix shifts, estimates that weigh it are nearer; cards tell both, their errors, and what they rest on."""
    made = cards(0.75)
    found = judged(made)
    for figure in ("auc_roc", "accuracy", "precision"):
        assert found[SHIFTED][figure].windows == found[ESTIMATED][figure].windows == 8
        assert found[SHIFTED][figure].mean_absolute < 0.5 * found[ESTIMATED][figure].mean_absolute
        assert found[SHIFTED][figure].within >= 0.75
    figures = made[0].figures
    off = figures["shifted_auc_roc"].value - figures["auc_roc"].value
    assert figures["shifted_error_auc_roc"].value == pytest.approx(off)
    assert 1_000 < figures["shifted_effective_rows"].value < 6_000
    assert figures["shifted_uncovered"].value == 0


def test_only_windows_with_both() -> None:
    """Asked for windows together, those in which one estimator is silent count for none."""
    made = cards(0.3, 3)
    silent = {name: figure for name, figure in made[0].figures.items() if not name.startswith("shifted_")}
    part = [replace(made[0], figures=silent), *made[1:]]
    assert judged(part)[ESTIMATED]["auc_roc"].windows == 3
    both = judged(part, together=True)
    assert both[ESTIMATED]["auc_roc"].windows == both[SHIFTED]["auc_roc"].windows == 2


def test_without_labels_nobody_is_judged() -> None:
    """A window that waits for an outcome has both estimates and no errors."""
    random = np.random.default_rng(8)
    before, window = drawn(random, 3_000, 0.3), drawn(random, 1_000, 0.6)
    made = card(tally(window, 999), pipeline(), shifted=weighed(window, before, 999))
    assert {"estimated_auc_roc", "shifted_auc_roc"} <= set(made.figures)
    assert judged([made]) == {}


def test_why_there_is_none() -> None:
    """Where production is too far from the reference there are no figures but those that say so."""
    random = np.random.default_rng(9)
    before, window = drawn(random, 3_000, 0.001), drawn(random, 1_000, 1.0)
    made = card(tally(window), pipeline(), shifted=weighed(window, before))
    told: dict[str, Figure] = {name: f for name, f in made.figures.items() if name.startswith("shifted_")}
    assert set(told) == {"shifted_effective_rows", "shifted_uncovered"}
    assert "too far from the reference" in told["shifted_effective_rows"].note


def test_without_rows() -> None:
    """A card that has no rows to estimate by says why it has no figures under shift; a group says nothing."""
    window = tally(drawn(np.random.default_rng(10), 500, 0.3))
    made = card(window, pipeline(), shifted=NoShift("nobody knows"))
    (told,) = (figure for name, figure in made.figures.items() if name.startswith("shifted_"))
    assert (told.name, told.value, told.note) == ("shifted_effective_rows", None, "nobody knows")
    assert SHIFTED not in judged([made])
    assert not any(name.startswith("shifted_") for name in card(window, pipeline()).figures)


def test_kept_figures() -> None:
    """What was kept is given back to the last digit for the same rows alone."""
    random = np.random.default_rng(11)
    before, window = drawn(random, 3_000, 0.3), drawn(random, 1_000, 0.6)
    found = weighed(window, before)
    assert ShiftFigures.kept(found.dump("these"), "these") == found
    assert ShiftFigures.kept(found.dump("these"), "others") is None
    assert ShiftFigures.kept(b"", "these") is None
