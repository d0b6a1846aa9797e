"""Metrics of a service, and the histogram that takes arrays."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from headrace.streaming.process.metrics import LATENCY_BUCKETS, BatchHistogram, Metrics

BUCKETS = (0.1, 0.5, 1.0, 10.0)
VALUES = st.lists(st.one_of(st.floats(-5, 50), st.sampled_from([*BUCKETS, float("inf")])), max_size=60)


def exposition(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Samples by name and bound, without the creation times."""
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(VALUES, max_size=4))
def test_a_batch_histogram_says_what_prometheus_own_says(batches: list[list[float]]) -> None:
    """Arrays at once or values one by one: the exposition is the same, values on a bound included."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch = BatchHistogram("h", "documentation", BUCKETS)
    ours.register(batch)
    single = Histogram("h", "documentation", buckets=BUCKETS, registry=theirs)
    for values in batches:
        batch.observe(np.array(values, np.float64))
        for value in values:
            single.observe(value)
    assert exposition(ours) == pytest.approx(exposition(theirs))


def test_the_latency_of_no_answers_is_exposed() -> None:
    """Every bucket is there from the start, so that a rate over it is defined."""
    text = Metrics().text().decode()
    assert len(re.findall(r"^headrace_latency_seconds_bucket", text, re.M)) == len(LATENCY_BUCKETS) + 1


def test_names_follow_the_conventions() -> None:
    """Everything is ours by name, says what it is, and is in base units."""
    for family in text_string_to_metric_families(Metrics().text().decode()):
        assert family.name.startswith("headrace_")
        assert family.documentation
        assert not re.search(r"_(ms|millis|kb|mb|minutes)\b", family.name)


def test_two_services_in_one_process() -> None:
    """Each has its own registry."""
    one, other = Metrics(), Metrics()
    one.records.labels("refused").inc()
    assert b'fate="refused"' not in other.text()
