"""Evidence of models of several classes: half the Brier score, bounds over all truths, and the promise on both."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar.packing import pack as packed
from headrace.columnar.packing import unpack as unpacked
from headrace.domain.records.outcome_parts import OutcomePartition, pack, sound, unpack
from headrace.domain.release.evidence.bet_kernels import FEW, Floats
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence
from headrace.errors import ContractError
from tests.release.outcome_logs import CANDIDATE, Logs, Shape, logs
from tests.release.paired_wealth import plain_evidence_of_classes
from tests.release.test_evidence_fold import ASKED, OF_SHAPES, Reader, asking, by_rows, fold, plain, slowly, told
from tests.release.test_paired_evidence import upper_bound

SHAPES = st.builds(Shape, **OF_SHAPES, classes=st.integers(2, 8))
ROLLOUTS, EVENTS = 1_000, 1_200


def softmax(logits: Floats) -> Floats:
    """Chances of each row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def models(draw: np.random.Generator, classes: int, noise: float, events: int) -> tuple[Floats, Floats, Floats]:
    """(candidate, champion, labels): the champion is off by little, the candidate by noise; one class is rare."""
    logits = 1.5 * draw.normal(size=(events, classes))
    logits[:, 0] -= 2.0
    truth = softmax(logits)
    labels = (truth.cumsum(axis=1) < draw.random((events, 1))).sum(axis=1).clip(max=classes - 1)
    candidate, champion = (softmax(logits + by * draw.normal(size=logits.shape)) for by in (noise, 0.4))
    return candidate, champion, labels.astype(np.float64)


def lost(scores: Floats, labels: Floats) -> Floats:
    """Half the Brier score of each row, from its definition."""
    found: Floats = 0.5 * ((scores - np.eye(scores.shape[1])[labels.astype(int)]) ** 2).sum(axis=1)
    return found


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("margin", [Margin(), Margin(0.02, 0.001)])
def test_it_is_what_plain_python_says(classes: int, margin: Margin) -> None:
    """Event by event, on both sides of `FEW`, through a state that was stored."""
    columns = models(np.random.default_rng(classes), classes, 0.8, FEW + 150)
    evidence = PairedEvidence(margin, classes=classes)
    cut = FEW // 2
    first = evidence.take(*(column[:cut] for column in columns))
    evidence = PairedEvidence.load(unpacked(packed(evidence.save())), classes)
    second = evidence.take(*(column[cut:] for column in columns))
    for parts, wanted in zip(zip(first, second, strict=True), plain_evidence_of_classes(*columns, margin), strict=True):
        np.testing.assert_allclose(np.append(*parts), wanted, rtol=1e-9, atol=1e-10)
    assert evidence.moments.candidate == pytest.approx(lost(columns[0], columns[2]).mean())
    assert evidence.moments.champion == pytest.approx(lost(columns[1], columns[2]).mean())


def test_two_classes_are_what_a_chance_is() -> None:
    """The same evidence as of the chance of the second class."""
    candidate, champion, labels = models(np.random.default_rng(1), 2, 0.8, 2_000)
    several, single = PairedEvidence(Margin(), classes=2), PairedEvidence(Margin())
    found = several.take(candidate, champion, labels)
    wanted = single.take(candidate[:, 1].copy(), champion[:, 1].copy(), labels)
    for mine, its in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "noise"), [(3, 0.4), (3, 1.0), (8, 0.8), (2, 0.6)])
def test_ever_wrong_with_a_chance_of_alpha_at_most(classes: int, noise: float) -> None:
    """1,000 rollouts at the boundary, where both statements are false in the mean over events, looked at after every
    one: neither is said oftener than alpha allows.
    """
    draw = np.random.default_rng(21)
    many = models(draw, classes, noise, 400_000)
    beyond = float((lost(many[0], many[2]) - lost(many[1], many[2])).mean())
    boundary = Margin(0.0, max(beyond, 0.0))
    hits = np.zeros((2, 2), np.int64)
    for _ in range(ROLLOUTS):
        columns = models(draw, classes, noise, EVENTS)
        evidence = PairedEvidence(boundary, classes=classes)
        evidence.foresee(*columns[:2])
        traces = evidence.take(*columns)
        hits += [[trace.max() >= -math.log(alpha) for alpha in (0.05, 0.2)] for trace in traces]
    for counts in hits.tolist():
        for alpha, count in zip((0.05, 0.2), counts, strict=True):
            assert upper_bound(count, ROLLOUTS) <= alpha, (alpha, count)


def test_harm_and_safety_are_found() -> None:
    """A model that is off by much is said to be, one that is as good is let go on."""
    draw = np.random.default_rng(5)
    harm, _ = PairedEvidence(Margin(), classes=4).take(*models(draw, 4, 1.5, 3_000))
    assert harm.max() > math.log(20)
    _, safety = PairedEvidence(Margin(0.1), classes=4).take(*models(draw, 4, 0.4, 20_000))
    assert safety.max() > math.log(20)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**32))
def test_the_fold_is_what_a_slow_one_says(shape: Shape, seed: int) -> None:
    """Whoever reads which partition, in which pieces, with restarts: each look and the end, bit for bit."""
    made = logs(shape)
    reader = Reader(made, seed)
    found = reader.end(reader.read(asking(classes=shape.classes)))
    slow = slowly(made)
    assert [told(look) for look in reader.looks] == [(look[0], *look[1:]) for look in slow.looks]
    assert [plain(name, found.standing(name)) for name in ASKED] == slow.standings()


@settings(max_examples=8, deadline=None)
@given(SHAPES, st.integers(0, 2**32), st.integers(0, 2**32))
def test_state_does_not_tell_how_it_was_cut(shape: Shape, seed: int, other: int) -> None:
    """Two that read the same logs have the same state in the end."""
    made = logs(shape)
    readers = Reader(made, seed), Reader(made, other, most=40, restarts=0.0)
    first, second = (reader.end(reader.read(asking(classes=shape.classes))) for reader in readers)
    assert by_rows(first) == by_rows(second)
    assert readers[0].looks == readers[1].looks


def of_three(events: int = 60) -> Logs:
    """A log of three classes."""
    return logs(Shape(seed=3, events=events, classes=3))


def test_chances_that_are_none_make_no_pair() -> None:
    """They are counted, where they do not add up to 1, or one is below 0; all others count."""
    made = of_three(200)
    candidates = [row for part in made.rows for row in part if row["model"] == CANDIDATE and row["revision"] == 0]
    for number, row in enumerate(candidates[:40]):
        row["score"] = [0.5, 0.5, 0.5] if number % 2 else [-0.1, 0.6, 0.5]
    reader = Reader(made, 1, restarts=0.0)
    found = reader.end(reader.read(asking(classes=3)))
    standing = found.standing("against champion")
    assert standing.unusable > 20
    assert standing.moments.events > 40
    assert 0 < standing.moments.candidate < 1


def test_a_question_may_end_while_its_rows_wait() -> None:
    """Chances go with their rows, and those that stay are whose they were."""
    made = of_three()
    reader = Reader(made, 1, restarts=0.0)
    found = asking(classes=3)
    reader.at[1] = len(made.rows[1])  # the other partition is not heard of: all wait
    reader.read(found)
    found.end("against approved")
    reader.at[1] = 0
    reader.end(reader.read(found))
    assert plain("against champion", found.standing("against champion")) == slowly(made).standings()[0]


def test_parts_are_read_as_they_were_written() -> None:
    """Chances of every class; damaged ones, and labels that are no place, are refused."""
    part = OutcomePartition(2).advance(of_three().batch(0, 0, 9), 0)
    again = unpack(pack(part))
    assert again.rows.score.tolist() == part.rows.score.tolist()
    assert again.rows.score.shape[1] == 3
    for wrong in (
        replace(part.rows, score=part.rows.score + np.nan),
        replace(part.rows, label=np.full(len(part.rows), 3.0)),
        replace(part.rows, label=np.full(len(part.rows), 0.5)),
    ):
        with pytest.raises(ContractError, match="not finite"):
            unpack(pack(replace(part, rows=wrong)))


def test_outcomes_that_cannot_be_weighed_are_refused() -> None:
    """A label that is no place of a class, and a chance that is no number."""
    made = of_three()
    made.rows[0][0]["label"], made.rows[0][1]["score"] = 3.0, [math.nan, 0.5, 0.5]
    made.rows[0][2]["label"] = 2.0
    good, rejects = sound(made.batch(0, 0, 4))
    assert len(good) == 2
    assert sorted(each.reason for each in rejects) == ["label", "score"]


def test_a_state_of_other_classes_is_refused() -> None:
    """It would take chances for those of others: the message says what to do."""
    made = fold(classes=3)
    state = unpacked(packed(made.save()))
    for classes in (0, 4):
        with pytest.raises(ContractError, match=r"evidence of 3 classes, .* change the file back"):
            fold(classes=classes).load(state, 1)
    assert "classes" not in str(unpacked(packed(fold().save()))["said"].tobytes())


def test_wrong_columns_are_refused() -> None:
    """Of another number of classes, chances that do not add up, labels that are no place."""
    evidence = PairedEvidence(Margin(), classes=3)
    fine = np.full((2, 3), 1 / 3)
    for wrong, columns in (
        ("there are 3", (fine[:, :2], fine, np.zeros(2))),
        ("add up to 1", (fine + 0.1, fine, np.zeros(2))),
        ("no(t| the) place|place of one", (fine, fine, np.array([0.0, 3.0]))),
    ):
        with pytest.raises(ValueError, match=wrong):
            evidence.take(*columns)
    assert evidence.moments.events == 0
