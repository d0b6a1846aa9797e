"""Nothing that changes a figure is dropped in silence: each count has a name, a place where it is shown, and a page."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest
from prometheus_client import Counter

from headrace.domain.features import event_gate as admitting
from headrace.operations.remarks import FATES, REMARKS, WORDS, said
from headrace.streaming.records.avro_codec import REASONS
from headrace.streaming.records.feed.feed_codec import DELETED, OTHER
from services.labels.service import FATES as KNOWN_FATES
from tests.docs.tables import members
from tests.members import ROOT
from tests.sources import sources

PLAIN = {
    "headrace_records_total": "counts by fate: what was refused is told by reason",
    "headrace_emitted_total": "what was written",
    "headrace_stage_seconds_total": "time",
    "headrace_transactions_aborted_total": "what was aborted is sent again",
    "headrace_checkpoints_total": "what was written",
    "headrace_records_replayed_total": "folded again after a restart, answered once",
    "headrace_kernels_compiled_late_total": "time",
    "headrace_store_rebuilds_total": "of what headrace_store_losses_total counts",
    "headrace_answers_total": "what was written",
    "headrace_dark_predictions_total": "what was written",
    "headrace_dark_restores_total": "ends what headrace_dark_sheds_total counts",
    "headrace_scores_out_of_range_total": "of a canary it is a breach; of others it is what they answered",
    "headrace_outcomes_total": "what was written",
    "headrace_outcome_corrections_total": "what was written",
    "headrace_events_matured_total": "part of headrace_label_coverage",
    "headrace_matured_events_labelled_total": "part of headrace_label_coverage",
    "headrace_scorecard_parts_total": "what was written",
    "headrace_scorecards_total": "what was written",
    "headrace_drift_rows_total": "what was watched",
    "headrace_drift_incidents_total": "what was written",
    "headrace_drift_harms_total": "what was written",
    "headrace_release_ledger_entries_total": "what was written",
    "headrace_kpi_decisions_total": "each is a control event, which people are told",
    "headrace_notify_unknown_kinds_total": "of a version that is newer than this one; the log names each",
    "headrace_notify_messages_total": "what was sent, and dead letters",
    "headrace_notify_failures_total": "attempts, of which each is made again or ends in a dead letter",
    "headrace_retrain_answers_total": "what was written",
    "headrace_evaluations_total": "what was written",
    "headrace_trainings_total": "what was written",
    "headrace_training_jobs_total": "started again with the same order",
    "headrace_release_decisions_total": "what was written",
    "headrace_release_contested_total": "decided once more, upon the plan of the other",
}
"""Counters of what changes no figure, each with the reason."""
PAGES = " ".join(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))
CALLS = {"Reject", "InvalidRecord", "Finding", "Bad"}
"""What gives a record a reason to be refused."""


def counters() -> set[str]:
    """Every counter of every service."""
    registries = [member.metrics.registry for member in members().values()]
    collectors = [collector for registry in registries for collector in registry._collector_to_names]
    return {f"{collector._name}_total" for collector in collectors if isinstance(collector, Counter)}


def test_every_counter_is_shown_or_changes_nothing() -> None:
    """Whoever adds a counter says what commands call it, or why it changes no figure."""
    every = counters()
    assert every == WORDS.keys() | PLAIN.keys()
    assert not WORDS.keys() & PLAIN.keys()


def test_every_remark_has_words() -> None:
    """Each remark of the code, and each fate of a label that is not simply counted, is said in words."""
    names = ("REPEATED", "KEPT", "LATE", "BEHIND", "HASTY")
    remarks = {value for name, value in vars(admitting).items() if name in names}
    assert remarks == set(remarked())
    remarks |= {DELETED, OTHER}
    assert set(WORDS[REMARKS]) == remarks
    assert set(WORDS["headrace_labels_total"]) | set(FATES) == set(KNOWN_FATES.values())
    for remark in remarks:
        assert said(REMARKS, [remark]) in PAGES, remark


def remarked() -> Iterator[str]:
    """The remarks that `enrich` makes, as its code counts them."""
    (counts,) = re.findall(r"counts = \{(.*?)\}\n", inspect.getsource(admitting), re.DOTALL)
    for name in re.findall(r"([A-Z]+):", counts):
        yield getattr(admitting, name)


TELLING = ("record_checks.py",)
"""Modules that say (reason, sentence, rows) of what they refuse."""


def slugs() -> set[str]:
    """Every reason for which a record is refused: the literals that are handed to what refuses one."""
    found = set(REASONS.values())
    for module in sources():
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found |= {each for arg in node.args[:3] for each in literals(arg)}
            if isinstance(node, ast.Tuple) and len(node.elts) == 3 and module.name in TELLING:
                why = node.elts[1]  # a sentence
                if isinstance(why, ast.JoinedStr) or (isinstance(why, ast.Constant) and " " in str(why.value)):
                    found |= set(literals(node.elts[0]))
    return found


def literals(node: ast.expr) -> Iterator[str]:
    """Texts that look like a reason."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z]+(_[a-z]+)*", node.value):
        yield node.value


def test_every_reason_is_on_a_page() -> None:
    """A person who finds a reason in a dead letter or a metric finds on a page what it means."""
    every = slugs()
    assert {"too_late", "out_of_range", "no_class", "not_finite", "non_finite_score", "malformed"} <= every
    assert not {slug for slug in every if f"`{slug}`" not in PAGES}


@pytest.mark.parametrize("metric", [*WORDS])
def test_words_are_those_of_the_metric(metric: str) -> None:
    """Whatever the labels are, there are words, with none of the places for them left open."""
    for label in (*WORDS[metric], "other"):
        told = said(metric, [label])
        assert told
        assert "{" not in told
