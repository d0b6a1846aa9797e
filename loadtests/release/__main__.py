"""The studies of evidence and of whole releases, measured anew: python -m loadtests.release --page A --rollouts B."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from headrace.domain.pipeline.release.spec import DAY
from headrace.domain.release.evidence.evidence_fold import EVERY, MINUTE
from loadtests.release.machine_rollouts import HARMFUL_RUNS, RULES, harm_table, late_table, steps_table, wrong_table
from loadtests.release.outcome_stream import BATCH, PARTITIONS, cost_table
from loadtests.release.rollouts import (
    ALPHA,
    DAILY,
    DAYS,
    HARMFUL,
    MANY_SEEDS,
    SAFE,
    cost,
    false_table,
    power_table,
    upper_bound,
)

PAGE = """# Evidence at any time: what is promised, and what was measured

Written by `make evidence`; every figure is of seeded runs of the code in `headrace/domain/release`. What it
says of two models of yours is in [`headrace duel`](scorecards.md#evidence-that-may-be-looked-at-any-time); why
it is made so is in [ADR 36](adr/0036-evidence-at-any-time.md).

Models score log odds with normal errors: the champion's have a deviation of 0.3, the candidate's are its
`noise`. `balanced`: about half of the events are positive; `rare`: some in a hundred; `odd`: the candidate is
worse by `noise` at 99 of 100 events, and very much better at one. Losses are Brier's.

## How often it is wrong
{runs:,} rollouts of {events:,} events, looked at after every one of them, in which the candidate loses exactly
the margin more in the mean over events, so that neither statement is so; upper 95% bounds of how often each was
ever made, at alpha = {alpha:g}. Beside them, on the same rollouts: three days in a row ({daily} events each) on
which it lost more than the margin, and a one-sided z-test at {alpha:g} of all events at the end of each of
{days} days.

{false}
## How soon harm is found
The median over {seeds} rollouts of matured events until harm is said, at a margin of 0; in brackets as a share
of log(1 / alpha) / g, g = D² / (2 (s² + D²)): what the best fixed bet takes, about, for whoever knows D and s
before. `not foreseen`: scores were not known before their labels, so the first 1,000 events are bet on as if
any pair of scores could come next.

{harm}
## How soon an equal model is found not to be worse
The same for safety, of a candidate that is as good as the champion, by margins that are shares of the champion's
loss.

{safe}
Wide margins are reached before 1,000 pairs of scores are known, so bets allow for the worst pair, and the largest
bet of the grid is 0.32 deviations: what takes some hundred events can take twice as many as it might.

## What it costs
{cost:.0f} ns of CPU time an event, both sides, eight bets each, with the logarithm of each side after each event.

In a stream ([ADR 41](adr/0041-evidence-is-a-fold-of-outcomes.md)), all in, of {partitions} partitions in batches of
{batch:,} outcomes: stage one reads outcomes and packs rows, stage two unpacks them, brings them into order, pairs
them, takes pairs in and tells looks every {minutes} minutes of stream time, as rows that the machine decides on. Every
event is answered by a champion and by each candidate.

{stream}"""

ROLLOUTS = """# Whole releases: how often they are wrong, and how soon they put harm back

Written by `make evidence`; every figure is of seeded runs of the state machine in `headrace/domain/release`, which
looks at the evidence after every matured event. What the steps are is in [Releases](release.md); what the evidence
is and which models these are, in [Evidence at any time](evidence.md). Both alphas are {alpha:g}, the canary 5%, 25%
and 100% of the entities, a day each ({daily} events), no approvals; the old champion goes on in the dark for {guard}
days after.

## How often it is wrong
{runs:,} rollouts of {events:,} events: upper 95% bounds of how often a candidate was ever rolled back, and how often
two other rules would have said so by the same margin: three days in a row on which it lost more, and a one-sided
z-test at {alpha:g} of all events at the end of each of {days} days. With a margin of 5% the two models are equally
good, and to be the champion is right. In the other rows the candidate loses exactly the margin more, so it must
neither be rolled back nor become the champion oftener than alpha says.

{wrong}
## How soon harm is put back
Candidates that are worse by D more than a margin of 5% of the champion's loss: the median over {harmful:,} rollouts of
matured events until the roll-back; in brackets as a share of log(1 / alpha) / g, g = D² / (2 (s² + D²)), which the
best fixed bet takes, about. Beside it the upper 95% bound of how often such a candidate was ever the champion (of
{harmful:,} rollouts, none in which it was give {none:.1%}).

{harm}
## Harm that begins late
A candidate as good as the champion until it is promoted, and harmful from the event of its promotion on: bets on harm
are shared out anew then, of what they hold by then. Median of events until the roll-back, in {late_runs} rollouts, in
brackets as a share of log(1 / alpha) / g; beside it that of a candidate which harms from the start. Its scores after
the promotion are not known before their labels.

{late}
## Many small steps
Six models, one after the other, each of which loses 3% more than the one before, without approvals: each is within the
margin of 5%, and all together they are not. {step_runs} rollouts of 60 days for each model.

{steps}
"""
LATE_RUNS = 101


def main() -> int:
    """Measure, write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="rollouts at the boundary (2,000)")
    parser.add_argument("--page", type=Path, help="write the page here; else it is printed")
    parser.add_argument("--rollouts", type=Path, help="write the page of whole releases here; else it is not made")
    options = parser.parse_args()
    text = PAGE.format(
        runs=options.runs, events=DAILY * DAYS, alpha=ALPHA, daily=DAILY, days=DAYS, seeds=MANY_SEEDS,
        false=false_table(options.runs), harm=power_table(HARMFUL), safe=power_table(SAFE), cost=1e9 * cost(),
        stream=cost_table(200 * options.runs), partitions=PARTITIONS, batch=BATCH, minutes=EVERY // MINUTE,
    )  # fmt: skip  # what stands where
    if options.page is None:
        print(text)
    else:
        options.page.write_text(text)
    if options.rollouts is not None:
        options.rollouts.write_text(rollouts(options.runs))
    return 0


def rollouts(runs: int) -> str:
    """The page of whole releases, of so many rollouts; in small where these are few."""
    harmful, late = min(HARMFUL_RUNS, runs), min(LATE_RUNS, runs)
    return ROLLOUTS.format(
        alpha=RULES.alpha_advance, daily=DAILY, days=DAYS, runs=runs, events=DAILY * DAYS, guard=RULES.guard // DAY,
        wrong=wrong_table(runs), harm=harm_table(harmful), harmful=harmful, none=upper_bound(0, harmful),
        late=late_table(late), late_runs=late, steps=steps_table(late), step_runs=late,
    )  # fmt: skip  # what stands where


if __name__ == "__main__":
    sys.exit(main())
