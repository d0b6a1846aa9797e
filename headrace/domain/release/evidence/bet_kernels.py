"""Kernels of the bets on harm and safety: what the module `paired_evidence` says of them, event by event.

The loop over events calls nothing that takes an array: numba counts references of an array that is handed on, which
costs more than a bet. A logarithm costs as much as all bets of a side, so it is taken only where somebody may see it:
where each event's is asked for, at looks, and where a side holds nearly the most that it ever did, or more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.domain.release.evidence.pair_layout import LOOK, PAIR_STEP

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Structs = npt.NDArray[Any]

SIZES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Bets on the grid, in units of one over the root of the mean square of x."""
LEARNT = 0.4
"""What is laid on the bet that learns; the others share the rest evenly."""
STAKED = 0.9
"""The most that a bet loses at once, of what it holds."""
FEW = 1_000
"""Pairs of scores that must be known before bets rely on having met those that are furthest apart."""
LEAST = 1e-12
"""The least that an event is taken to cost at most, so that bets are bounded."""
STEP = 2.0**256
"""Wealth is kept within one over this and this, and how often it was divided by it is counted."""
LOG_STEP = 256 * float(np.log(2.0))
NEARLY = 1.0 - 1e-6
"""A side that holds less than this share of the most that it ever held has a smaller logarithm, however rounded."""
HARM, SAFETY = 0, 1
"""Sides: rows of what bets hold."""
X, SQUARES, EXPECTED, FURTHEST_HARM, FURTHEST_SAFETY, CANDIDATE, CHAMPION = range(7)
EVENTS, KNOWN, CLIPPED = range(3)
LOG_HARM, LOG_SAFETY, MOST_HARM, MOST_SAFETY = range(4)
"""What looks tell."""

_SIZES = np.array(SIZES)
_EACH = (1.0 - LEARNT) / len(SIZES)


@kernel
def _ends(candidate: float, champion: float, share: float, offset: float, bound: float) -> tuple[float, float]:
    """What x is at a pair of scores for either label, negative and positive; of values the least and the most."""
    if bound == 0.0:
        negative = candidate**2 - (1.0 + share) * champion**2 - offset
        positive = (1.0 - candidate) ** 2 - (1.0 + share) * (1.0 - champion) ** 2 - offset
        return negative, positive
    # Errors within the bound's root: scores g apart have squared errors that differ by g (2 root - g) at most.
    root, apart = math.sqrt(bound), abs(candidate - champion)
    most = bound if apart >= root else apart * (2.0 * root - apart)
    return -most - share * bound - offset, most - offset


@kernel
def _several(
    candidate: Floats, champion: Floats, row: int, share: float, offset: float
) -> tuple[float, float, float, float, float]:
    """Of chances of several classes, by the class that may be true: the least and the most that x is, the mean of its
    square as if the mean of both chances was that of each class, and what each model loses but for the chance of it.

    The loss is half the Brier score: half of 1 and of the sum of squared chances, less the chance of what was true.
    """
    first = second = 0.5
    for place in range(candidate.shape[1]):
        first += 0.5 * candidate[row, place] ** 2
        second += 0.5 * champion[row, place] ** 2
    least, most, expected = np.inf, -np.inf, 0.0
    for place in range(candidate.shape[1]):
        one, other = candidate[row, place], champion[row, place]
        x = (first - one) - (1.0 + share) * (second - other) - offset
        least, most = min(least, x), max(most, x)
        expected += 0.5 * (one + other) * x * x
    return least, most, expected, first, second


@kernel("~f8[:,::1] ~f8[:,::1] f8[::1] f8[::1] i8[::1]")
def foresee_classes(candidate: Floats, champion: Floats, rules: Floats, sums: Floats, counts: Ints) -> None:
    """Pairs of chances of several classes become known, float64 [events, classes]."""
    for event in range(len(candidate)):
        least, most, _, _, _ = _several(candidate, champion, event, rules[0], rules[1])
        sums[FURTHEST_HARM] = max(sums[FURTHEST_HARM], -least)
        sums[FURTHEST_SAFETY] = max(sums[FURTHEST_SAFETY], most)
    counts[KNOWN] += len(candidate)


@kernel
def _loss(score: float, label: float, bound: float) -> float:
    if bound == 0.0:
        return (score - (1.0 if label > 0.0 else 0.0)) ** 2
    return min((score - label) ** 2, bound)


@kernel("~f8[::1] ~f8[::1] f8[::1] f8[::1] i8[::1]")
def foresee(candidate: Floats, champion: Floats, rules: Floats, sums: Floats, counts: Ints) -> None:
    """Pairs become known."""
    for event in range(len(candidate)):
        one, other = _ends(candidate[event], champion[event], rules[0], rules[1], rules[2])
        sums[FURTHEST_HARM] = max(sums[FURTHEST_HARM], -min(one, other))
        sums[FURTHEST_SAFETY] = max(sums[FURTHEST_SAFETY], max(one, other))
    counts[KNOWN] += len(candidate)


@kernel
def _near(most: float, scale: int) -> float:
    """From what on a side may hold more than it ever did, whose logarithm is `most`."""
    found: float = math.exp(most - scale * LOG_STEP) * NEARLY
    return found


@kernel(
    "~step[::1] ~f8[:,::1] ~f8[:,::1] i8 i8 f8[::1] f8[:,::1] i8[::1] f8[::1] i8[::1] f8[::1] f8[::1] f8[:,::1]"
    " f8[:,::1] i8[:,::1] f8[::1] f8[::1]",
    step=PAIR_STEP,
)
def follow(
    steps: Structs, candidates: Floats, champions: Floats, number: int, due: int, rules: Floats,
    wealth: Floats, scale: Ints, sums: Floats, counts: Ints, learnt: Floats, most: Floats,
    logs_then: Floats, sums_then: Floats, counts_then: Ints, harm: Floats, safety: Floats,
) -> int:  # fmt: skip  # the steps, the question, the state, the answer
    """Take the steps of the pair `number` in; how many it took.

    A label of NaN: the pair becomes known, and nothing is bet. LOOK: how all stands is told. It stops before the first
    event of the time `due` or later. Where `harm` and `safety` have room, the logarithms after each event are told
    there. Of several classes `candidates` and `champions` have the chances at each step, float64 [steps, classes];
    else they are empty.
    """
    share, offset, bound = rules[0], rules[1], rules[2]
    several, expected, own, its = candidates.shape[1] > 0, 0.0, 0.0, 0.0
    row = look = 0
    last, traced = len(SIZES), len(harm) > 0
    worst_harm, worst_safety = (1.0 + share) * 1.0 + offset, 1.0 - offset
    if bound != 0.0:
        worst_harm, worst_safety = (1.0 + share) * bound + offset, bound - offset
    near_harm, near_safety = _near(most[HARM], scale[HARM]), _near(most[SAFETY], scale[SAFETY])
    log_harm = log_safety = 0.0
    if traced:
        log_harm, log_safety = log_held(wealth[HARM], scale[HARM]), log_held(wealth[SAFETY], scale[SAFETY])
    while row < len(steps):
        step = steps[row]
        if step.pair != number:
            if step.pair == LOOK:
                for side in range(2):
                    held = 0.0
                    for at in range(last):
                        held += wealth[side, at]
                    held = _EACH * held + LEARNT * wealth[side, last]
                    logs_then[look, side] = math.log(held) + scale[side] * LOG_STEP
                    logs_then[look, side + 2] = most[side]
                for at in range(len(sums)):
                    sums_then[look, at] = sums[at]
                for at in range(len(counts)):
                    counts_then[look, at] = counts[at]
                look += 1
            row += 1
            continue
        candidate, champion, label = step.candidate, step.champion, step.label
        taken = not np.isnan(label)
        if taken and step.time >= due:
            return row
        if several:
            one, other, expected, own, its = _several(candidates, champions, row, share, offset)
        else:
            one, other = _ends(candidate, champion, share, offset, bound)
        sums[FURTHEST_HARM] = max(sums[FURTHEST_HARM], -min(one, other))
        sums[FURTHEST_SAFETY] = max(sums[FURTHEST_SAFETY], max(one, other))
        if not taken:  # no label yet
            counts[KNOWN] += 1
            row += 1
            continue
        before = counts[EVENTS]
        counts[EVENTS] = before + 1
        if several:
            place = np.int64(label)
            first, second = own - candidates[row, place], its - champions[row, place]
        else:
            first, second = _loss(candidate, label, bound), _loss(champion, label, bound)
        x = first - (1.0 + share) * second - offset
        square = max(sums[EXPECTED], sums[SQUARES]) / max(before, 1)
        if square > 0.0:
            mean = (sums[X] - learnt[0]) / (counts[EVENTS] - learnt[1])
            met = max(counts[KNOWN], counts[EVENTS]) >= FEW
            most_harm = STAKED / max(sums[FURTHEST_HARM] if met else worst_harm, LEAST)
            most_safety = STAKED / max(sums[FURTHEST_SAFETY] if met else worst_safety, LEAST)
            root = math.sqrt(square)
            held_harm = held_safety = 0.0
            for at in range(last):
                size = _SIZES[at] / root
                wealth[HARM, at] *= 1.0 + min(size, most_harm) * x
                wealth[SAFETY, at] *= 1.0 + min(size, most_safety) * -x
                held_harm += wealth[HARM, at]
                held_safety += wealth[SAFETY, at]
            wealth[HARM, last] *= 1.0 + min(max(mean, 0.0) / square, most_harm) * x
            wealth[SAFETY, last] *= 1.0 + min(max(-mean, 0.0) / square, most_safety) * -x
            for side in range(2):
                total = (held_harm if side == HARM else held_safety) + wealth[side, last]
                if total > STEP or total < 1.0 / STEP:
                    by = 1.0 / STEP if total > STEP else STEP
                    scale[side] += 1 if total > STEP else -1
                    held = 0.0
                    for at in range(last + 1):
                        wealth[side, at] *= by
                        held += wealth[side, at] if at < last else 0.0
                    if side == HARM:
                        held_harm, near_harm = held, _near(most[HARM], scale[HARM])
                    else:
                        held_safety, near_safety = held, _near(most[SAFETY], scale[SAFETY])
            held_harm = _EACH * held_harm + LEARNT * wealth[HARM, last]
            held_safety = _EACH * held_safety + LEARNT * wealth[SAFETY, last]
            if traced or held_harm >= near_harm:
                log_harm = math.log(held_harm) + scale[HARM] * LOG_STEP
                most[HARM] = max(most[HARM], log_harm)
                near_harm = max(near_harm, held_harm * NEARLY)
            if traced or held_safety >= near_safety:
                log_safety = math.log(held_safety) + scale[SAFETY] * LOG_STEP
                most[SAFETY] = max(most[SAFETY], log_safety)
                near_safety = max(near_safety, held_safety * NEARLY)
        if several:
            sums[EXPECTED] += expected
        elif bound == 0.0:
            chance = (candidate + champion) / 2.0
            sums[EXPECTED] += (1.0 - chance) * one**2 + chance * other**2
        elif before == 0:  # of values what the first event's scores let expect
            sums[EXPECTED] += max(one**2, other**2)
        sums[X] += x
        sums[SQUARES] += x * x
        sums[CANDIDATE] += first
        sums[CHAMPION] += second
        if bound != 0.0 and (first == bound or second == bound):
            counts[CLIPPED] += 1
        if traced:
            harm[row], safety[row] = log_harm, log_safety
        row += 1
    return row


@kernel("f8[::1] i8")
def log_held(wealth: Floats, scale: int) -> float:
    """The logarithm of what all bets of a side hold together."""
    total = 0.0
    for at in range(len(SIZES)):
        total += wealth[at]
    total = _EACH * total + LEARNT * wealth[len(SIZES)]
    found: float = math.log(total) + scale * LOG_STEP
    return found
