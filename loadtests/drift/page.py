"""docs/drift.md, as a run of `make drift` writes it."""

from __future__ import annotations

import re
from textwrap import fill

from headrace.domain.drift import reference_growth
from loadtests.drift import concept, cost, cycles, delay, electricity, false_alarms, growth, harm, joint
from loadtests.drift.figures import Figures

WIDTH = 118
HEAD = """# Drift: what is promised, and what was measured

Written by `make drift`; every figure is of seeded runs of the code in `headrace/domain/drift`. How incidents look and
what to do about them is in [incidents](incidents.md).

## What is promised

You say how many false alarms you can bear: `drift: {false_alarms_per_month: 1}`. That is one number for everything
that is watched together, and it is kept in the mean: in as many events as a month has, there is at most one alarm in
the mean over months in which nothing changes. Within that, changes are seen as soon as we know how.

## How it works

- **Bins.** Each feature of the reference is cut into some twenty bins by its quantiles, with one for missing values;
  a category has its most frequent levels, one bin for all others and one for missing values.
- **Bets.** A bet says how the shares of bins would be after some change: the mean higher or lower by .1 to 2 standard
  deviations, the variance 1.15 to 2.5 times as large or small, a tail three times as heavy, a level more frequent,
  values missing. For each value it pays what that is likelier after the change than before. As long as nothing has
  changed its mean is 1: nobody gets rich.
- **Sums.** For each bet a sum is kept, R ← (R + 1) · pay (Shiryaev and Roberts; as e-detectors: Shin, Ramdas and
  Rinaldo, [arXiv 2203.03532](https://arxiv.org/abs/2203.03532)). After N events its mean is N at most, whatever
  features have to do with one another. The weighted mean over all bets is held against A = events of a month / false
  alarms asked for.
- **Bets that learn** have a tenth of the weight: they bet on what came before, and find shapes that no list has.
- **A reference is finite.** Where 5,000 rows say that a bin has 4% it may have 4.5%, and a bet on that would grow
  rich without any change. So each bet is divided by an upper bound of its mean. Two are there. `measured` takes away
  what errors win in the mean over references until a change would have been seen, z standard errors with z = s T / 2
  and 2 at most (s: the standard error of the bet's mean; T: how many events it has to win in). `proved` takes an
  empirical Bernstein bound of each bet by rows of the reference that had no part in it (Maurer and Pontil,
  [arXiv 0907.3740](https://arxiv.org/abs/0907.3740)): the promise then holds for 19 of 20 references, and small
  changes are seen later or not at all.
- **Events follow one another.** Where sums of blocks vary v times as much as those of independent rows, a bet pays
  its v-th root. Where features have days and weeks, values are held against those of the same hour, weekdays and
  weekends apart.
- **Features together.** One further column is how far a row lies out by the correlations of the reference, others are
  products of the normal scores of the most correlated pairs: they see what leaves every feature alone.
"""

RUN = """## Measure again

`make drift` measures all of this anew and writes this page: `SEEDS=50` runs of each kind, `ARGS="--only delay
--workers 1"` for parts of it, `--json PATH` to keep the figures of the others. The real rows (cards of the Handbook,
elec2) are read from `../shared/data`.
"""

MISSING = "Not measured in this run: "
TITLES = {
    "false_alarms": "False alarms where nothing changes",
    "growth": "Small references",
    "delay": "How soon a change is seen",
    "joint": "Changes that leave every feature alone",
    "concept": "Concept drift: labels turn",
    "harm": "Harm, and another concept",
    "cycles": "Days, weekends, and events that follow one another",
    "electricity": "Real drift: elec2",
    "cost": "Cost",
}
"""Of the parts."""


def page(found: Figures, stands: str = "") -> str:
    """Its text; parts that were not measured are as they stand on the page that there is, or left out, and named."""
    writers = {
        "false_alarms": _false_alarms,
        "growth": _growth,
        "delay": _delays,
        "joint": _joint,
        "concept": _concept,
        "harm": _harm,
        "cycles": _cycles,
        "electricity": _electricity,
        "cost": _cost,
    }
    before = {name: section for name in writers if name not in found and (section := _section(stands, TITLES[name]))}
    parts = [HEAD, *(write(found[name]) if name in found else before[name] for name, write in writers.items()
                     if name in found or name in before)]  # fmt: skip  # one list
    if missing := [name for name in writers if name not in found and name not in before]:
        parts.append(f"{MISSING}{', '.join(missing)}.")
    return "\n\n".join(map(_filled, "\n\n".join(part.rstrip() for part in [*parts, RUN]).split("\n\n"))) + "\n"


def _section(text: str, title: str) -> str:
    """What stands under a heading, with it; nothing where there is none."""
    _, heading, rest = text.partition(f"## {title}\n")
    return heading + rest.partition("\n## ")[0].partition(MISSING)[0] if heading else ""


def _filled(block: str) -> str:
    """A paragraph, or a list, in lines of equal length; tables and headings as they are."""
    if block.startswith(("|", "#")):
        return block
    if block.startswith("- "):
        items = re.split(r"\n(?=- )", block)
        return "\n".join(_paragraph(item, "  ") for item in items)
    return _paragraph(block, "")


def _paragraph(text: str, indent: str) -> str:
    flat = " ".join(text.split())
    return fill(flat, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _false_alarms(found: Figures) -> str:
    return f"""## False alarms where nothing changes

Mean number of alarms in as many events as named, with the upper end of its 95% interval over {found["seeds"]} runs,
each with a reference of its own; after an alarm all sums begin anew. `normal` are independent features; `cards` and
`electricity` are rows of the Handbook's cards and of elec2, drawn whole and in random order, so that features depend
on one another as they do (30 features are several such draws side by side). The bar is the number asked for.

{false_alarms.table(found)}
{found.get("note", "")}"""


def _growth(found: Figures) -> str:
    return f"""## Small references

{growth.FEATURES} features, {growth.STABLE:,} events without a change and then a shift of {growth.SHIFT:g} standard
deviations in one of them; one alarm in {growth.ASKED:,} events is asked for. Alarms are those before the change with
the upper end of their 95% interval, delays the medians, over {found["seeds"]} runs. A reference that grows takes in
what came {reference_growth.OLD:,} events ago and raised no alarm, until it has {reference_growth.SMALL:,} rows.

{growth.table(found)}"""


def _harm(found: Figures) -> str:
    return f"""## Harm, and another concept

Whether an incident harms its model, and whether what is true has changed, by the evidence of
[incidents](incidents.md#harm-and-of-what-kind-a-change-is), with a tolerance of a tenth; rows of a calibrated model,
each run with a reference of its own. First how often each is said within {harm.LOOKS * 1_000:,} outcomes where it
should not be, in {found["false"][0]["runs"]:,} runs each: 5% is promised. Then how soon where it should: medians of
outcomes (of predictions, for the estimate) over {found["seeds"]} runs with {20_000:,} rows of reference, looked at
every 200, within {harm.LOOKS * 200:,}.

{harm.table(found)}"""


def _delays(found: Figures) -> str:
    return f"""## How soon a change is seen

Events from the change of one feature of 30 to the alarm, medians over {found["seeds"]} runs, {delay.REFERENCE:,} rows
of reference, {delay.BEFORE:,} events before the change and {delay.HORIZON:,} after it; false alarms are those per
100,000 events of 30 features, with the upper end of their 95% interval. One in 100,000 is asked for. The gradual
change grows to .5 standard deviations in 20,000 events; the category grows from 20% of the rows to 25%, and from 5%
to 10%; two modes have the mean and variance from before.

{delay.table(found)}
Detectors of the literature are river's ({delay.river()}), one for each feature, and any feature's alarm is an alarm.
They know no categories or missing values, and are shown whether a row is of what will grow; HDDM_W is shown ranks.
Windows have 1,000 events and are looked at every 100. The martingale is the simple jumper (Vovk and others 2021) in
Shiryaev-Roberts sums. ¹ Dear to run: {delay.DEAR_RUNS} runs with at most {delay.DEAR_EVENTS:,} events after the
change.

{delay.standing(found)}"""


def _joint(found: Figures) -> str:
    return f"""## Changes that leave every feature alone

30 features in 15 correlated pairs; the correlation of one pair turns, every feature stays standard normal. Medians
over
{found["seeds"]} runs, one false alarm per 100,000 events asked for; the bar is 3,000. False alarms are the share of
runs with one in 100,000 events.

{joint.table(found)}
Not seen: features that begin to go together and did not before.
"""


def _concept(found: Figures) -> str:
    return f"""## Concept drift: labels turn

Features stay as they are and labels turn in a region that has 5% or 20% of all events; each label comes a week late,
which is {concept.A_WEEK:,} events. Medians of the events from the change to the alarm, that week included, over
{found["seeds"]} runs; false alarms are those in 100,000 events. headrace watches the loss and the error of the model
against
{concept.REFERENCE:,} rows, all others the error.

{concept.table(found)}"""


def _cycles(found: Figures) -> str:
    return f"""## Days, weekends, and events that follow one another

30 features with a wave of the day of one standard deviation and another level at weekends, 1,000 events a day, with
independent noise or noise that follows itself by .9 (AR). Mean alarms per 100,000 events of each reference, over
so many streams; one is asked for. Then the medians of the delay after a shift.

{cycles.table(found)}
The bar is of at least eight weeks of reference: at most one alarm in the mean, and at most 5% of the references above
it (few streams put some above it by chance). Two weeks are too few, and the table says so. A wave that has another
shape than its median and spread by hour,
and memory that is longer than the longest block, are not covered.
"""


def _electricity(found: Figures) -> str:
    return f"""## Real drift: elec2

A Hoeffding tree, fitted to the first {electricity.FIRST:,} rows and anew after each alarm on the features, with
labels
{electricity.LATE} rows (a day) late. Kappa-temporal is held against repeating the last known label, lift per drift is
the accuracy gained on the tree that was fitted once, by drift (Lukats and others 2024).

{electricity.table(found)}
What was published goes by another protocol: each label is known at once, the tree learns every row, and an alarm
begins it anew without a row; it had two more columns, the date and
the day. D3 (Gözüacik and others 2019) is told with its usual settings and, of
{len(electricity.GRID)} tried, those with
the highest accuracy, the highest lift and as many drifts as were published. Ours waits after an alarm until the new
reference is there.

{electricity.published_table(found)}
{electricity.standing(found)}

How many rows before and after an alarm the tree is fitted to was chosen among five settings by what they gave here.
With a reference of 15,000 rows the first alarm is at row {found["first"]:,}; Victoria's prices, constant until then,
begin to move at row 17,424.
"""


def _cost(found: Figures) -> str:
    return f"""## Cost

Processor time with 30 features, 21 bets and 3 learning ones on each; the bar is 50 ns all in. The sums of the further
columns of joint scores cost what those of as many features do.

{cost.table(found)}

That is arithmetic alone. What the service costs on a broker, both of its stages with Kafka, is among the
[benchmarks](benchmarks.md): `make bench ARGS="--only watching"`."""
