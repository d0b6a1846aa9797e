"""Paired evidence: never more often wrong than promised, soon where there is harm, the same for any cut."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import ville
from scipy.stats import beta

from headrace.columnar.packing import pack, unpack
from headrace.columnar.structs import array_of
from headrace.domain.release.evidence.bet_kernels import FEW
from headrace.domain.release.evidence.pair_layout import LOOK, PAIR_STEP
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import Floats, PairedEvidence
from loadtests.release.simulated_pairs import beyond, models
from tests.release.paired_wealth import plain_evidence, wealth

ROLLOUTS = 2_000
EVENTS = 1_500
ALPHAS = (0.05, 0.2)


def upper_bound(hits: int, runs: int) -> float:
    """Of a share, 95% one-sided (Clopper and Pearson 1934)."""
    return float(beta.ppf(0.95, hits + 1, runs - hits))


def evidence_of(columns: tuple[Floats, Floats, Floats], margin: Margin, foreseen: bool = True) -> tuple[Floats, Floats]:
    """The trace of a fold of all events at once."""
    evidence = PairedEvidence(margin)
    if foreseen:
        evidence.foresee(*columns[:2])
    return evidence.take(*columns)


@pytest.mark.slow
@pytest.mark.parametrize("foreseen", [True, False], ids=["scores known before", "scores known with labels"])
@pytest.mark.parametrize(("kind", "noise"), [("balanced", 0.5), ("rare", 0.3), ("rare", 1.5), ("odd", 0.0947)])
def test_ever_wrong_with_a_chance_of_alpha_at_most(kind: str, noise: float, foreseen: bool) -> None:
    """2,000 rollouts at the boundary, looked at after every outcome: both statements are false there, in the mean over
    events; also where the candidate is worse at many events and better at few.
    """
    draw = np.random.default_rng(11)
    boundary = Margin(0.0, max(beyond(kind, noise)[0], 0.0))
    hits = np.zeros((2, len(ALPHAS)), np.int64)
    for _ in range(ROLLOUTS):
        traces = evidence_of(models(draw, kind, noise, EVENTS), boundary, foreseen)
        hits += [[trace.max() >= -math.log(alpha) for alpha in ALPHAS] for trace in traces]
    for side, counts in zip(("harm", "safety"), hits.tolist(), strict=True):
        for alpha, count in zip(ALPHAS, counts, strict=True):
            assert upper_bound(count, ROLLOUTS) <= alpha, (side, alpha, count)


@pytest.mark.slow
def test_equal_models_are_rarely_rolled_back() -> None:
    """2,000 rollouts of two models that are equally good, without any margin."""
    draw = np.random.default_rng(12)
    hits = 0
    for _ in range(ROLLOUTS):
        hits += evidence_of(models(draw, "balanced", 0.3, EVENTS), Margin(0.0))[0].max() >= math.log(20)
    assert upper_bound(hits, ROLLOUTS) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "noise"),
    [("balanced", 0.5), ("balanced", 0.8), ("balanced", 1.5), ("rare", 0.8), ("rare", 1.5), ("rare", 2.5)],
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_harm_is_found_soon(kind: str, noise: float, alpha: float) -> None:
    """The median of events until harm is said is at most 1.5 times what the best fixed bet needs about."""
    draw = np.random.default_rng(13)
    mean, deviation = beyond(kind, noise)
    growth = mean**2 / (2 * (deviation**2 + mean**2))
    usual = -math.log(alpha) / growth
    needed = []
    for _ in range(101):
        harm, _ = evidence_of(models(draw, kind, noise, int(3 * usual) + 50), Margin(0.0))
        there = harm >= -math.log(alpha)
        needed.append(int(np.argmax(there)) + 1 if there.any() else 10**9)
    assert np.median(needed) <= 1.5 * usual, np.median(needed) / usual


def test_an_equal_model_is_found_safe() -> None:
    """Of two models that are equally good, one is soon not worse by more than a tenth of the other's loss."""
    harm, safety = evidence_of(models(np.random.default_rng(2), "balanced", 0.3, 20_000), Margin(0.1))
    assert safety.max() >= math.log(20)
    assert harm.max() < math.log(20)


@pytest.mark.parametrize("bound", [None, 4.0], ids=["chances", "values"])
@pytest.mark.parametrize("margin", [Margin(), Margin(0.0, 0.002), Margin(0.02, 0.001)])
def test_it_is_what_plain_python_says(margin: Margin, bound: float | None) -> None:
    """Event by event, on both sides of `FEW`."""
    draw = np.random.default_rng(3)
    candidate, champion, labels = models(draw, "balanced", 0.6, FEW + 200)
    if bound is not None:
        labels = draw.normal(size=len(labels))
        candidate, champion = labels + 0.9 * draw.normal(size=len(labels)), labels + 0.7 * draw.normal(size=len(labels))
    found = PairedEvidence(margin, bound).take(candidate, champion, labels)
    for mine, plain in zip(found, plain_evidence(candidate, champion, labels, margin, bound), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("anew", [1, 300, FEW + 100])
def test_bets_that_are_shared_out_anew(anew: int) -> None:
    """What they hold together stays; from then on all is as plain Python says, also of a state that was stored."""
    margin = Margin(0.05)
    columns = models(np.random.default_rng(10), "balanced", 0.6, FEW + 200)
    evidence = PairedEvidence(margin)
    before = evidence.take(*(column[:anew] for column in columns))
    held = evidence.log_harm, evidence.log_safety
    evidence.rebalance()
    assert (evidence.log_harm, evidence.log_safety) == pytest.approx(held, abs=1e-12)
    evidence = PairedEvidence.load(unpack(pack(evidence.save())))
    after = evidence.take(*(column[anew:] for column in columns))
    for first, second, plain in zip(before, after, plain_evidence(*columns, margin, anew=anew), strict=True):
        np.testing.assert_allclose(np.append(first, second), plain, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "noise"), [("balanced", 0.5), ("rare", 1.5), ("odd", 0.0947)])
def test_shared_out_anew_when_it_looks_safe_it_is_no_oftener_wrong(kind: str, noise: float) -> None:
    """2,000 rollouts at the margin, bets shared out anew at the event at which a machine might promote for safety: at
    a fifth of the evidence that it needs, so that there are many. Harm is ever said with a chance of alpha at most.
    """
    draw = np.random.default_rng(15)
    boundary = Margin(0.0, max(beyond(kind, noise)[0], 0.0))
    hits = promoted = 0
    for _ in range(ROLLOUTS):
        columns = models(draw, kind, noise, EVENTS)
        evidence = PairedEvidence(boundary)
        evidence.foresee(*columns[:2])
        start = PairedEvidence.load(evidence.save())
        harm, safety = evidence.take(*columns)
        most = harm.max()
        if safety.max() >= math.log(4):
            at = int(np.argmax(safety >= math.log(4))) + 1
            promoted += 1
            start.take(*(column[:at] for column in columns))
            start.rebalance()
            most = max(harm[:at].max(), start.take(*(column[at:] for column in columns))[0].max(initial=-1.0))
        hits += most >= math.log(20)
    assert promoted > ROLLOUTS / 20
    assert upper_bound(hits, ROLLOUTS) <= 0.05


def test_wealth_is_that_of_ville() -> None:
    """On the bets of the package `ville` (a plug-in of the variance) what is won is what that package says."""
    draw = np.random.default_rng(4)
    x = draw.uniform(-1, 1, 500) * 0.4 + 0.05
    for alternative, sign in (("greater", 1), ("less", -1)):
        test = ville.BettingTest(0.0, bounds=(-1.0, 1.0), alternative=alternative, alpha=0.05).fit(x)
        assert wealth((sign * x).tolist(), plug_in_bets(x).tolist()) == pytest.approx(np.log(test.e_values_))


def plug_in_bets(x: Floats, alpha: float = 0.05) -> Floats:
    """Those of `ville.BettingTest` of a mean of 0 in [-1, 1]: Waudby-Smith and Ramdas, section 3.2, half the cap."""
    z = (x + 1) / 2
    count = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(z)) / (count + 1)
    variance = np.append(0.25, ((0.25 + np.cumsum((z - mean) ** 2)) / (count + 1))[:-1])
    found: Floats = np.minimum(np.sqrt(2 * np.log(2 / alpha) / (variance * count * np.log1p(count))), 1.0) / 2
    return found


def test_cuts_change_nothing() -> None:
    """Cut anywhere, stored and taken up again between: bit for bit the same."""
    columns = models(np.random.default_rng(5), "rare", 0.8, 3_000)
    whole = PairedEvidence(Margin())
    harm, safety = whole.take(*columns)
    part, traces = PairedEvidence(Margin()), []
    for start in range(0, 3_000, 371):
        traces.append(part.take(*(column[start : start + 371] for column in columns)))
        part = PairedEvidence.load(unpack(pack(part.save())))
    assert np.array_equal(np.concatenate([each[0] for each in traces]), harm)
    assert np.array_equal(np.concatenate([each[1] for each in traces]), safety)
    assert (part.log_harm, part.log_safety) == (whole.log_harm, whole.log_safety) == (harm[-1], safety[-1])
    assert part.moments == whole.moments


def test_following_is_foreseeing_and_taking() -> None:
    """Rows without a label make pairs known, others are taken in, in one order; looks tell how all stood there."""
    columns = models(np.random.default_rng(9), "rare", 0.8, 2_000)
    known = np.arange(2_000) % 3 == 0
    labels = np.where(known, np.nan, columns[2])
    apart, courses = PairedEvidence(Margin()), []
    for row in range(2_000):
        part = [column[row : row + 1] for column in columns]
        if known[row]:
            apart.foresee(*part[:2])
        else:
            apart.take(*part)
        courses.append((apart.log_harm, apart.log_safety, apart.moments, apart.known))
    together, looks, most = PairedEvidence(Margin()), [0, 1, 700, 700, 2_000], np.zeros(2)
    steps = array_of(PAIR_STEP, 2_000)
    steps["candidate"], steps["champion"], steps["label"] = *columns[:2], labels
    others = np.insert(np.arange(2_000), looks, -1)  # a look in between, and a step of somebody else's
    steps = np.where(others < 0, np.array((LOOK, 0, 0.0, 0.0, 0.0), steps.dtype), steps[others])
    steps = np.insert(steps, 1_000, np.array((1, 0, 1.0, 0.0, 0.0), steps.dtype))
    course, rebalanced = together.follow(steps, np.flatnonzero(steps["pair"] == LOOK), 0, most)
    assert not rebalanced
    for at, look in enumerate(looks):
        then = courses[look - 1] if look else (0.0, 0.0, PairedEvidence(Margin()).moments, 0)
        largest = [max([0.0, *(each[side] for each in courses[:look])]) for side in range(2)]
        assert course.logs[at].tolist() == [*then[:2], *largest]
        assert (course.moments(at), course.known[at], course.events[at]) == (*then[2:], then[2].events)
    assert most.tolist() == [max(0.0, *(each[side] for each in courses)) for side in range(2)]
    assert pack(together.save()) == pack(apart.save())


def test_the_most_that_was_ever_held_is_that_of_every_event() -> None:
    """Though logarithms are taken of few: the largest one, bit for bit, over 256 powers of two up and down."""
    draw = np.random.default_rng(11)
    for noise in (0.05, 0.3, 3.0):
        columns = [
            np.concatenate(each)
            for each in zip(*(models(draw, "balanced", n, 4_000) for n in (noise, 0.1)), strict=True)
        ]
        harm, safety = PairedEvidence(Margin()).take(*columns)
        steps, most, found = array_of(PAIR_STEP, 8_000), np.zeros(2), PairedEvidence(Margin())
        steps["candidate"], steps["champion"], steps["label"] = columns
        for low in range(0, 8_000, 999):
            found.follow(steps[low : low + 999], np.empty(0, np.int64), 0, most)
        assert most.tolist() == [max(0.0, each.max()) for each in (harm, safety)]
    assert harm.max() > 256 * math.log(2)


def test_partitions_multiply() -> None:
    """Each with bets of its own; what they win together is false no more often than what one wins."""
    draw = np.random.default_rng(6)
    hits = 0
    for _ in range(400):
        halves = [evidence_of(models(draw, "balanced", 0.3, 500), Margin(0.0))[0] for _ in range(2)]
        hits += (halves[0] + halves[1]).max() >= math.log(20)
    assert upper_bound(hits, 400) <= 0.05
    worse = [evidence_of(models(draw, "balanced", 1.0, 500), Margin(0.0))[0][-1] for _ in range(4)]
    assert sum(worse) > max(worse) > math.log(20)


def test_evidence_beyond_any_number_stays_one() -> None:
    """A million events of a useless candidate: thousands of powers of ten, and back."""
    labels = np.tile([0.0, 1.0], 20_000)
    evidence = PairedEvidence(Margin(0.0))
    evidence.take(np.full(40_000, 0.5), 0.3 + 0.4 * labels, labels)
    most = evidence.log_harm
    assert 700 < most < math.inf
    evidence.take(0.3 + 0.4 * labels, np.full(40_000, 0.5), labels)
    assert -math.inf < evidence.log_harm < most


def test_bets_allow_for_pairs_that_were_foreseen() -> None:
    """A pair of scores far apart, known before its label, lowers what is laid on the events before it."""
    columns = models(np.random.default_rng(7), "balanced", 0.35, 2_000, champion=0.05)
    near, far = PairedEvidence(Margin(0.0)), PairedEvidence(Margin(0.0))
    near.foresee(*columns[:2])
    far.foresee(*columns[:2])
    far.foresee(np.array([0.01]), np.array([0.99]))
    assert np.abs(near.take(*columns)[0]).max() > np.abs(far.take(*columns)[0]).max()


def test_errors_beyond_the_bound_count_alike_and_are_counted() -> None:
    """Of values: a wild label costs no more than the bound, and how many there were is said."""
    labels = np.array([0.0, 1e9, 0.0])
    evidence = PairedEvidence(Margin(0.0), bound=1.0)
    evidence.take(np.array([0.1, 0.1, 0.1]), np.array([0.2, 0.2, 0.2]), labels)
    assert evidence.moments.clipped == 1
    assert evidence.moments.candidate == pytest.approx((0.01 + 1.0 + 0.01) / 3)


@pytest.mark.parametrize(
    ("candidate", "champion", "label", "told"),
    [
        (np.nan, 0.5, 1.0, "not finite"),
        (0.5, np.inf, 1.0, "not finite"),
        (0.5, 0.5, np.nan, "not finite"),
        (1.5, 0.5, 1.0, r"not in \[0, 1\]"),
        (0.5, -0.1, 1.0, r"not in \[0, 1\]"),
    ],
)
def test_what_is_no_score_is_refused(candidate: float, champion: float, label: float, told: str) -> None:
    """The whole batch, and nothing of it is taken in."""
    evidence = PairedEvidence(Margin())
    with pytest.raises(ValueError, match=told):
        evidence.take(np.array([0.5, candidate]), np.array([0.5, champion]), np.array([1.0, label]))
    assert evidence.moments.events == 0
    with pytest.raises(ValueError, match="rows long"):
        evidence.take(np.zeros(2), np.zeros(2), np.zeros(3))


def test_no_bound_is_no_bound() -> None:
    """Below or at 0 there is nothing to clip to."""
    for bound in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="above 0"):
            PairedEvidence(Margin(), bound)


def test_a_microsecond_an_event() -> None:
    """Of CPU time; compiled before."""
    columns = models(np.random.default_rng(8), "rare", 0.8, 200_000)
    evidence = PairedEvidence(Margin())
    evidence.take(*(column[:10] for column in columns))
    begun = time.process_time()
    evidence.take(*columns)
    assert (time.process_time() - begun) / 200_000 <= 1e-6
