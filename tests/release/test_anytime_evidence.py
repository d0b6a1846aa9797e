"""Evidence of a duel: by event time, of mature outcomes alone, with what is missing until it settles."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from headrace.cli.render.comparison import evidence_sheet
from headrace.domain.pipeline.check import load
from headrace.domain.release.margin import Margin, read_margin
from headrace.domain.release.paired_evidence import Floats, PairedEvidence
from headrace.errors import ConfigurationError
from headrace.operations.comparison.anytime_evidence import EvidenceRequest, anytime_evidence
from headrace.operations.comparison.comparison import Judge
from headrace.operations.comparison.pairing import meet
from headrace.operations.comparison.prediction_table import PredictionColumns, Truths
from headrace.operations.comparison.results import AnytimeEvidence
from loadtests.release.simulated_pairs import models
from tests.members import ROOT

DAY = 86_400_000
MATURES_AFTER = 7 * DAY
PIPELINE = load(ROOT / "pipelines" / "card_fraud.yaml")
VALUES = replace(PIPELINE, model=replace(PIPELINE.model, output="value"))
Columns = tuple[Floats, Floats, Floats]


def answers(ids: list[str], times: np.ndarray, scores: Floats) -> PredictionColumns:
    """What a model answered."""
    none: Any = np.zeros(len(ids))
    nulls = pa.nulls(len(ids))
    single = none.astype(np.float32)
    return PredictionColumns(
        pa.array(ids, pa.string()), nulls, times, scores, none > 0, single, none > 0, single, nulls, nulls
    )


def told_of(
    columns: Columns,
    days: float = 10.0,
    request: EvidenceRequest | None = None,
    order: np.ndarray | None = None,
    read_to: float = 30.0,
    pipeline: Any = PIPELINE,
    apart: bool = False,
) -> AnytimeEvidence:
    """The evidence of (candidate, champion, labels) spread over so many days, read in any order.

    Args:
        read_to: days up to which labels were read.
        apart: whether the two scored events of their own.
    """
    candidate, champion, labels = columns
    count = len(labels)
    times = np.linspace(0, days * DAY, count).astype(np.int64)
    ids = [f"e{event:07}" for event in range(count)]
    rows = np.arange(count) if order is None else order
    named = [ids[row] for row in rows]
    a = answers(named, times[rows], champion[rows])
    b = answers([f"other {each}" for each in named] if apart else named, times[rows], candidate[rows])
    zeros = np.zeros(count, np.int64)
    meeting = meet(a, b, Truths(pa.array(ids), labels, zeros, zeros + int(read_to * DAY)), MATURES_AFTER)
    judge = Judge(pipeline, 0)
    quality = judge.quality(a, b, meeting) if meeting.paired else judge.unpaired(a, b, meeting)
    return anytime_evidence(a, b, meeting, quality, pipeline, request or EvidenceRequest())


def worse(events: int = 4_000, noise: float = 1.2) -> Columns:
    """A candidate that is worse."""
    return models(np.random.default_rng(1), "balanced", noise, events)


def test_harm_is_told_with_when_it_was_settled() -> None:
    """At the first event at which the evidence was 1 / alpha, in event time; it is never taken back."""
    found = told_of(worse())
    assert found.answer == "harm"
    assert found.harm is not None
    assert found.safety is not None
    assert found.harm.reached_after is not None
    assert found.harm.reached == int(np.linspace(0, 10 * DAY, 4_000)[found.harm.reached_after - 1])
    assert found.harm.highest >= -math.log(0.05)
    assert found.safety.reached is None
    assert found.sentence.startswith("B is worse by more than 5% of A's loss: settled at 1970-01-0")
    assert (found.more_events, found.more_days) == (None, None)


def test_it_is_the_fold_of_events_in_the_order_of_their_time() -> None:
    """However they were read; scores of what had happened when an event matured are known at it."""
    columns = worse(noise=0.5)
    shuffled = np.random.default_rng(2).permutation(len(columns[0]))
    found = told_of(columns, days=5)
    assert told_of(columns, days=5, order=shuffled) == found
    evidence = PairedEvidence(Margin())
    evidence.foresee(*columns[:2])
    harm, safety = evidence.take(*columns)
    assert found.harm is not None
    assert found.safety is not None
    assert (found.harm.log, found.harm.highest, found.safety.log) == (harm[-1], harm.max(), safety[-1])


def test_frauds_that_are_reported_first_wait_for_the_others_of_their_age() -> None:
    """Labels of events that are not mature change nothing."""
    candidate, champion, labels = worse(3_000)
    times = np.linspace(0, 10 * DAY, 3_000)
    young = times > 3 * DAY
    early = np.where(young & (labels == 0), np.nan, labels)
    found = told_of((candidate, champion, early), read_to=10.0)
    assert found.events == np.sum(~young)
    assert found == told_of((candidate, champion, np.where(young, 1 - labels, labels)), read_to=10.0)


def test_a_model_that_is_as_good_is_not_worse() -> None:
    """Once events are enough for the margin."""
    found = told_of(models(np.random.default_rng(3), "balanced", 0.3, 20_000), request=EvidenceRequest(Margin(0.1)))
    assert found.answer == "safe"
    assert found.sentence.startswith("B is not worse by more than 10% of A's loss: settled at")


def test_what_is_open_says_how_much_more_it_takes() -> None:
    """About (log(1 / alpha) - log evidence) / g events, and the days that they took so far."""
    columns = models(np.random.default_rng(4), "balanced", 0.45, 400)
    found = told_of(columns, days=4.0, request=EvidenceRequest(Margin(0.0)))
    assert found.answer == "open"
    assert found.harm is not None
    assert found.safety is not None
    assert found.beyond is not None
    assert found.deviation is not None
    growth = found.beyond**2 / (2 * (found.beyond**2 + found.deviation**2))
    standing = found.harm if found.beyond > 0 else found.safety
    missing = (-math.log(0.05) - standing.log) / growth
    assert found.more_events == pytest.approx(missing, rel=0.05)
    assert found.more_days == pytest.approx(found.more_events * 4 / 400)
    assert f"about {found.more_events:,} more mature outcomes would settle it, about" in found.sentence


def test_what_is_as_good_as_at_the_margin_says_so() -> None:
    """No number is made up where it would be a thousand times what there is."""
    scores = np.tile([0.4, 0.6], 200)
    labels = np.tile([0.0, 0.0, 1.0, 1.0], 100)
    found = told_of((1 - scores, scores, labels), request=EvidenceRequest(Margin(0.0)))
    assert (found.answer, found.more_events) == ("open", None)
    assert "as good as at that margin" in found.sentence


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"apart": True}, "no event was scored by both"),
        ({"read_to": 5.0}, "there are no mature outcomes of these events"),
        ({"pipeline": VALUES}, "a squared error has no bound. Name with --bound"),
    ],
)
def test_why_there_is_none(options: dict[str, Any], told: str) -> None:
    """Said, with what to do."""
    found = told_of(worse(200), **options)
    assert (found.answer, found.events, found.harm) == ("unknown", 0, None)
    assert told in found.sentence


def test_scores_that_are_no_chances() -> None:
    """A pipeline that calls its output a probability, and a model that tells something else."""
    candidate, champion, labels = worse(200)
    assert "not in [0, 1]" in told_of((candidate * 3, champion, labels)).sentence


def test_values_are_held_against_a_bound() -> None:
    """Squared errors beyond it count as that, and are counted."""
    draw = np.random.default_rng(4)
    labels = draw.normal(size=3_000)
    columns = labels + 1.3 * draw.normal(size=3_000), labels + draw.normal(size=3_000), labels
    found = told_of(columns, request=EvidenceRequest(bound=9.0), pipeline=VALUES)
    assert found.answer == "harm"
    assert found.clipped == np.sum(((columns[0] - labels) ** 2 >= 9) | ((columns[1] - labels) ** 2 >= 9))


def test_requests_are_checked() -> None:
    """Alpha is a share, a bound is above 0, a margin is one."""
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ConfigurationError, match="is no share"):
            EvidenceRequest(alpha=alpha)
    for bound in (0.0, -1.0, math.inf):
        with pytest.raises(ConfigurationError, match="bounds nothing"):
            EvidenceRequest(bound=bound)
    for text in ("much", "-5%", "nan", ""):
        with pytest.raises(ConfigurationError, match="is no margin"):
            read_margin(text)


def test_the_sheet_shows_both_as_bars() -> None:
    """Full where it was reached, within 80 columns; what is not known has its reason and no bar."""
    sheet = paper(told_of(worse()))
    assert "worse by more than 5% of A's loss" in sheet
    assert "█" * 20 in sheet
    assert max(map(len, sheet.splitlines())) <= 80
    assert "█" not in paper(told_of(worse(200), read_to=5.0))


def paper(found: AnytimeEvidence) -> str:
    """As a terminal shows it."""
    out = StringIO()
    console = Console(width=80, file=out, highlight=False)
    for part in evidence_sheet(found):
        console.print(part)
    return out.getvalue()
