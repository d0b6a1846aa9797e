"""What was refused, left out, taken for something else or counted otherwise, said beside the figures that it changes.

Members count it, in metrics, since they started. Commands that show counts ask those that `headrace up` runs
on this machine; of members elsewhere they say where it is counted.
"""

from __future__ import annotations

import json as codec
from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from headrace.operations.local.fleet import ask
from headrace.operations.local.home import STATE, SUPERVISOR, home
from headrace.operations.local.revision_pair import running

REMARKS = "headrace_remarks_total"
WORDS: Mapping[str, Mapping[str, str]] = {
    REMARKS: {
        "repeated": "repeats left out",
        "repeat_kept": "repeats kept",
        "late": "late events answered and not folded",
        "behind": "events too late for views of other entities, which were not told",
        "out_of_order": "events out of order by more than the delay of a view, which others may have missed",
        "deleted": "deletions and tombstones of a producer's topic left out",
        "other_record": "records of other subjects in a producer's topic left out",
    },
    "headrace_dead_letters_total": {"": "records refused, for {}"},
    "headrace_rule_findings_total": {"": "values against a rule that went on, for {}"},
    "headrace_events_ahead_total": {"": "events dated ahead of what was believed, in partition {}"},
    "headrace_events_unproven_total": {
        "": "events ahead answered while views of other entities lacked some, in partition {}"
    },
    "headrace_labels_total": {
        "duplicate": "labels told twice",
        "outdated": "labels older than the one that holds",
        "late": "labels known later than expires_after, which count no more",
        "orphaned": "labels of no prediction",
    },
    "headrace_predictions_repeated_total": {"": "predictions that came again and count once"},
    "headrace_facts_unreadable_total": {"": "plans left out that nobody can read, of {}"},
    "headrace_plan_failures_total": {"": "plans not taken up, for {}"},
    "headrace_dark_unanswered_total": {"": "rows without a score by {}"},
    "headrace_dark_sheds_total": {"": "times that {} was left out to catch up"},
    "headrace_dark_failures_total": {"": "times that {} failed"},
    "headrace_scorecard_late_parts_total": {"": "sums of windows that cards have forgotten"},
    "headrace_scorecards_withheld_total": {"": "cards without figures on outcomes"},
    "headrace_drift_unwatched_total": {"": "{} not watched for drift, for their model's package cannot be read"},
    "headrace_store_losses_total": {"": "losses of the online store that rows waited for"},
    "headrace_recoveries_total": {"": "times that a member went on without all of the past, by {}"},
    "headrace_offsets_deleted_total": {
        "unanswered": "offsets deleted before they were answered",
        "missing_from_state": "offsets deleted that a state lacks",
    },
}
"""Counters of what changes a figure, or would, and what to call it: by its first label, or whatever that is."""
FATES = ("matched", "early", "correcting", "conflicting")
"""Labels that count: outcomes tell them."""


def noted(pipeline: str) -> dict[str, int] | None:
    """What the members noted that run here, in words, and how often since they started; None where none runs here."""
    supervisors = running(pipeline)
    if not supervisors:
        return None
    ports: list[int] = []
    for supervisor in supervisors:
        try:
            members = codec.loads((home() / "logs" / supervisor.name.removeprefix(SUPERVISOR) / STATE).read_bytes())
            ports += [int(member["port"]) for member in members if member["pid"] is not None]
        except (OSError, ValueError, KeyError, TypeError):
            return None
    found: Counter[str] = Counter()
    for port in ports:
        for words, count in _of(port):
            found[words] += count
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _of(port: int) -> Iterator[tuple[str, int]]:
    status, text = ask(port, "/metrics")
    families = text_string_to_metric_families(text) if status == 200 else ()
    for sample in (sample for family in families for sample in family.samples):
        labels = [value for name, value in sample.labels.items() if name != "topic"]
        words = said(sample.name, labels)
        if words is not None and sample.value:
            yield words, int(sample.value)


def said(metric: str, labels: list[str]) -> str | None:
    """What a counter with these values of its labels counts, in words; None for one that changes no figure.

    >>> said("headrace_remarks_total", ["late"]), said("headrace_labels_total", ["matched"])
    ('late events answered and not folded', None)
    >>> said("headrace_dead_letters_total", ["too_late"]), said("headrace_remarks_total", ["new"])
    ('records refused, for too_late', 'new')
    """
    words = WORDS.get(metric)
    if words is None:
        return None
    first = labels[0] if labels else ""
    if metric == "headrace_labels_total" and first in FATES:
        return None
    own = words.get(first) if first else None
    return words.get("", "{}").format(", ".join(labels)) if own is None else own
