"""Harm and kinds of incidents: how often they are said for nothing, and how soon where they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from headrace.domain.drift.harm.loss_bets import SUMS, THRESHOLD, LossBets, loss_bets
from headrace.domain.drift.harm.loss_reference import LossReference, chance_losses
from headrace.domain.drift.reference_bins import Floats
from loadtests.drift.figures import Figures, Spread, markdown

TOLERANCE = 0.1
LOOKS = 50
"""Hours that a run has."""
STABLE_RUNS = 8
"""Runs without a change for each with one."""
REFERENCES = (5_000, 20_000)
TURNED = (0.05, 0.1, 0.2, 0.4)
MOVED = (-0.5, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """A run.

    Attributes:
        kind: `balanced`: two of five rows are positive; `rare`: some in a hundred.
        rows: of the reference.
        turned: share of labels that turn. None: so many that the loss is exactly what is tolerated.
        moved: log odds by which scores move and stay right.
        hourly: outcomes an hour.
        seed: of the reference and of the stream.
    """

    kind: str
    rows: int
    turned: float | None
    moved: float
    hourly: int
    seed: int


@dataclass(frozen=True, slots=True)
class FirstHours:
    """Hours until harm by labels, another concept, and harm by estimate are said; infinite where they are not."""

    harm: float
    concept: float
    estimate: float


@cache
def population(kind: str, rows: int = 400_000) -> LossReference:
    """Cells of scores that are calibrated, counts of many rows."""
    draw = np.random.default_rng(7)
    scores = draw.beta(1.2, 1.8, rows) if kind == "balanced" else 1 / (1 + np.exp(5.0 - 1.3 * draw.normal(size=rows)))
    found = chance_losses(scores, (draw.random(rows) < scores).astype(np.float64))
    assert found is not None, "there are rows"
    return found


def shares(known: LossReference, moved: float = 0.0, turned: float = 0.0) -> Floats:
    """Of all places, float64: scores moved by so many log odds, and a share of labels turned."""
    assert known.scores is not None, "of chances"
    share = known.counts.sum(axis=1) * np.exp(moved * (np.log(known.scores) - np.log1p(-known.scores)))
    chance = known.scores + turned * (1 - 2 * known.scores)
    places = np.column_stack([share * (1 - chance), share * chance]).ravel()
    found: Floats = places / places.sum()
    return found


def worse(known: LossReference, moved: float = 0.0, turned: float = 0.0) -> float:
    """Mean loss over that without a change."""
    lost = known.losses.ravel()
    return float(shares(known, moved, turned) @ lost / (shares(known) @ lost))


@cache
def boundary(known: LossReference) -> float:
    """The share of labels that has to turn for the loss to be as large as is tolerated."""
    low, high = 0.0, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if worse(known, turned=middle) > 1 + TOLERANCE else (middle, high)
    return low


def drawn(known: LossReference, rows: int, draw: np.random.Generator) -> LossBets:
    """Bets on a reference of so many rows."""
    counts = draw.multinomial(rows, shares(known)).reshape(-1, 2)
    return loss_bets(replace(known, counts=counts), TOLERANCE)


def first_hours(known: LossReference, rows: int, places: Floats, hourly: int, draw: np.random.Generator) -> FirstHours:
    """Of a stream with such shares of places, against a reference of its own of so many rows."""
    bets = drawn(known, rows, draw)
    counts = draw.multinomial(hourly, places, size=LOOKS)
    outcomes = np.cumsum(counts, axis=0) @ bets.outcomes
    answers = np.cumsum(counts.reshape(LOOKS, -1, 2).sum(axis=2), axis=0) @ bets.answers
    ends = SUMS + bets.harms
    parts = outcomes[:, SUMS:ends], outcomes[:, ends:], answers[:, SUMS:]
    over = [np.exp(np.minimum(won, 300)).mean(axis=1) >= THRESHOLD for won in parts]
    return FirstHours(*(float(np.argmax(each)) + 1 if each.any() else np.inf for each in over))


def follow(case: Case) -> FirstHours:
    """One run."""
    known = population(case.kind, 100_000)
    turned = boundary(known) if case.turned is None else case.turned
    draw = np.random.default_rng([case.seed, case.rows, round(100 * turned), round(100 * case.moved) + 1_000])
    return first_hours(known, case.rows, shares(known, case.moved, turned), case.hourly, draw)


def measure(seeds: int, spread: Spread) -> Figures:
    """All of them."""
    kinds = ("balanced", "rare")
    false = [
        Case(kind, rows, turned, moved, 1_000, seed)
        for kind in kinds
        for rows in REFERENCES
        for turned, moved in ((None, 0.0), *((0.0, by) for by in MOVED))
        for seed in range(seeds * STABLE_RUNS)
    ]
    true = [
        Case(kind, 20_000, turned, moved, 200, seed)
        for kind in kinds
        for turned, moved in (*((by, 0.0) for by in TURNED), *((0.0, by) for by in MOVED if by > 0))
        for seed in range(seeds)
    ]
    found: dict[str, list[Figures]] = {"false": [], "true": []}
    for name, cases in (("false", false), ("true", true)):
        answers = spread(f"harm, {name}", follow, cases)
        grouped: dict[Case, list[FirstHours]] = {}
        for case, answer in zip(cases, answers, strict=True):
            grouped.setdefault(replace(case, seed=0), []).append(answer)
        found[name] = [_summed(case, hours) for case, hours in grouped.items()]
    return {"seeds": seeds, **found}


def _summed(case: Case, hours: Sequence[FirstHours]) -> Figures:
    known = population(case.kind, 100_000)
    turned = boundary(known) if case.turned is None else case.turned
    by_name = {name: np.array([getattr(each, name) for each in hours]) for name in ("harm", "concept", "estimate")}
    return {
        "kind": case.kind,
        "rows": case.rows,
        "turned": case.turned,
        "moved": case.moved,
        "worse": worse(known, case.moved, turned),
        "runs": len(hours),
        "said": {name: float(np.isfinite(each).mean()) for name, each in by_name.items()},
        "median": {
            name: float(np.median(each)) * case.hourly if np.isfinite(np.median(each)) else None
            for name, each in by_name.items()
        },
    }


def table(figures: Figures) -> str:
    """How often for nothing, then how soon."""
    false = [
        [
            f"{each['kind']}, reference {each['rows']:,}",
            "loss exactly as tolerated"
            if each["turned"] is None
            else f"scores moved by {each['moved']:+g}, still right",
            f"{each['said']['harm']:.1%}" if each["turned"] is None else "",
            "" if each["turned"] is None else f"{each['said']['concept']:.1%}",
        ]
        for each in figures["false"]
    ]
    true = [
        [
            each["kind"],
            f"{each['turned']:.0%} of labels turn" if each["turned"] else f"scores move by {each['moved']:+g}",
            f"{each['worse'] - 1:+.0%}",
            *(
                "never" if each["median"][name] is None else f"{each['median'][name]:,.0f}"
                for name in ("harm", "estimate", "concept")
            ),
        ]
        for each in figures["true"]
    ]
    return (
        markdown(["positives", "stream", "harm said", "another concept said"], false)
        + "\n"
        + markdown(["positives", "change", "loss", "harm by labels", "by estimate", "another concept"], true)
    )
