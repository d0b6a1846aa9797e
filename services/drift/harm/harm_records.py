"""What is known of harm, as records: how each case stands, and what is proved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from headrace.domain.control.drift import DriftHarmed
from headrace.domain.drift.allowance import DAY
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.drift.harm.incident_harm import Basis, HarmCase, HarmProof, LossSums
from headrace.domain.drift.harm.loss_bets import SUMS, LossBets
from headrace.domain.drift.harm.loss_course import KEPT
from headrace.domain.drift.harm.model_losses import ModelLosses
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.records.watched_columns import ModelIdentity
from services.drift.control_records import incident_of
from services.drift.harm.harm_watch import Watches, losses_of

RECENT = 7 * DAY
"""Event time that the losses of a model without an incident are told of."""
LEAST_BEFORE = 30
NOTHING: dict[str, Any] = {
    "incident": "", "since": 0, "until": None, "reference": 0.0, "tolerated": 0.0, "outcomes": 0, "loss": None,
    "loss_error": None, "expected": None, "rest_error": None, "evidence": 0.0, "proved": None, "predictions": 0,
    "estimate": None, "estimate_error": None, "estimate_tolerated": None, "estimate_evidence": 0.0,
    "estimate_proved": None, "kind": "unknown", "concept_evidence": 0.0, "concept_proved": None, "enough": 0,
    "discerned": None, "unknown": [], "groups": [],
}  # fmt: skip  # one record's worth
NO_TABLE = (
    "the loss is not estimated before labels come: the package tells no losses by score; `headrace train` with "
    "--holdout writes them"
)


def harm_of(case: HarmCase, watches: Watches) -> dict[str, Any]:
    """How a case stands, as the schema of `drift` has it."""
    labels, estimate = (losses_of(case, basis, watches)[1] for basis in ("labels", "estimate"))
    found = NOTHING | {
        "incident": incident_of(case.stream, case.number), "since": case.start, "until": case.stop, "unknown": [],
    }  # fmt: skip  # one record's worth
    found |= _by_labels(case, labels, found["unknown"])
    found |= _by_estimate(case, estimate, found["unknown"])
    return found


def _by_labels(case: HarmCase, losses: ModelLosses | None, unknown: list[str]) -> dict[str, Any]:
    if losses is None or losses.bets is None or losses.course is None:
        unknown.append(_without(losses))
        return {}
    bets, pursuit = losses.bets, case.pursuits["labels"]
    said = _held_against(bets) | _discerned(bets) | {"proved": pursuit.harm, "concept_proved": pursuit.concept}
    if not losses.given:
        unknown.append(f"the package tells no losses by score: the first {LEARNT:,} outcomes are the reference")
    won = case.since("labels", losses.course)
    if won is None:
        unknown.append(_not_yet(case, "labels", losses))
        return said
    sums = LossSums.of(won)
    kind = case.kind(sums.rows, bets.enough)
    if kind == "unknown":
        unknown.append(_kind_unknown(bets, sums.rows))
    before = np.array(pursuit.base)
    return (
        said
        | _labelled(sums)
        | {
            "evidence": bets.harm(won),
            "kind": kind,
            "concept_evidence": bets.concept(won),
            "groups": [*_groups(losses, won, before)],
        }
    )


def _by_estimate(case: HarmCase, losses: ModelLosses | None, unknown: list[str]) -> dict[str, Any]:
    if losses is None or losses.bets is None or losses.course is None:
        unknown.append(NO_TABLE)
        return {}
    bets = losses.bets
    said = {"estimate_tolerated": bets.estimate_tolerated, "estimate_proved": case.pursuits["estimate"].harm}
    won = case.since("estimate", losses.course)
    if won is None:
        unknown.append(_not_yet(case, "estimate", losses))
        return said
    return said | _estimated(LossSums.of(won)) | {"estimate_evidence": bets.harm(won)}


def recent_losses(losses: ModelLosses | None, labelled: bool) -> dict[str, Any] | None:
    """What a model lost within the last seven days of event time; None of one of which nothing is known.

    Args:
        labelled: whether these are outcomes.
    """
    if losses is None:
        return None
    course, bets = losses.course, losses.bets
    if course is None or bets is None:
        return NOTHING | {"unknown": [_without(losses)]}
    start = 0 if course.settled is None else course.settled - RECENT
    before = course.before(start)
    if before is None:
        return None
    sums = LossSums.of(course.sums() - before)
    said = _held_against(bets) | (_labelled(sums) if labelled else _estimated(sums))
    said |= _discerned(bets) | {"estimate_tolerated": bets.estimate_tolerated, "since": max(start, 0)}
    return NOTHING | said


def _held_against(bets: LossBets) -> dict[str, Any]:
    return {"reference": bets.mean, "tolerated": bets.tolerated}


def _discerned(bets: LossBets) -> dict[str, Any]:
    return {"enough": bets.enough or 0, "discerned": bets.discerned}


def _kind_unknown(bets: LossBets, rows: int) -> str:
    if bets.enough is None:
        return "the reference is too small to tell that the concept is the same; that it is another may become known"
    return f"of what kind it is is not known before {bets.enough:,} outcomes: so far {rows:,}"


def _labelled(sums: LossSums) -> dict[str, Any]:
    figures = (sums.loss, sums.error, sums.expected, sums.rest_error) if sums.rows else (None,) * 4
    return {"outcomes": sums.rows} | dict(zip(("loss", "loss_error", "expected", "rest_error"), figures, strict=True))


def _estimated(sums: LossSums) -> dict[str, Any]:
    figures = (sums.expected, sums.error) if sums.rows else (None, None)
    return {"predictions": sums.rows, "estimate": figures[0], "estimate_error": figures[1]}


def _groups(losses: ModelLosses, won: Floats, before: Floats) -> Iterator[dict[str, Any]]:
    own = len(won) - SUMS * len(losses.groups)
    for at, name in enumerate(losses.groups):
        place = slice(own + at * SUMS, own + (at + 1) * SUMS)
        since, earlier = LossSums.of(won[place]), LossSums.of(before[place])
        yield {
            "name": name,
            "outcomes": since.rows,
            "loss": since.loss if since.rows else None,
            "expected": since.expected if since.rows else None,
            "before": earlier.loss if earlier.rows >= LEAST_BEFORE else None,
        }


def _without(losses: ModelLosses | None) -> str:
    if losses is None:
        return "the loss is not known before the model has an outcome"
    return (
        f"the package tells no losses by score: the first {LEARNT:,} outcomes become the reference, "
        f"{losses.learnt or 0:,} so far"
    )


def _not_yet(case: HarmCase, basis: Basis, losses: ModelLosses) -> str:
    what = "outcomes" if basis == "labels" else "predictions"
    if case.pursuits[basis].forgotten:
        return f"{what} of that time are no longer known by the hour: {KEPT} hours are, or their sums began anew since"
    counts = losses.counts_from
    if basis == "labels" and counts is not None and counts > case.start:
        return f"{what} count from {_minute(counts)} on: before, those with early labels are a choice of all"
    return f"{what} count from {_minute(case.start)} on, event time, which has not come yet"


def finding_of(proof: HarmProof) -> DriftHarmed:
    """A proof, as a control event has it."""
    case, sums, bets = proof.case, proof.losses, proof.bets
    model, reference = ModelIdentity(*case.model), bets.mean or 1.0
    by_labels = proof.basis == "labels"
    return DriftHarmed(
        incident_of(case.stream, case.number),
        case.stream,
        proof.reached,
        None,
        model.title,
        model.digest,
        basis=proof.basis,
        evidence=proof.evidence,
        worse=(sums.loss if by_labels else sums.expected) / reference,
        tolerated=(bets.tolerated if by_labels else bets.estimate_tolerated) / reference,
        rows=sums.rows,
        kind=proof.kind,
    )


def _minute(time: int) -> str:
    return f"{np.datetime64(time, 'ms').astype('datetime64[m]')} UTC"
