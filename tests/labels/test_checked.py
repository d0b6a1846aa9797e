"""The join's own tests with all that it reaches held against bounds: spans by length, records by block and kind."""

from __future__ import annotations

import pytest

from tests.labels.checked import assert_within_bounds

SOME = (
    "test_joining.py::test_oracle",
    "test_joining.py::test_old_blocks_are_given_up_when_labels_have_passed",
    "test_joining.py::test_many_predictions_and_reports_of_one_event",
    "test_moving.py::test_state_that_moved_answers_as_if_it_had_always_lain_there",
    "test_moving.py::test_records_that_nobody_folded_are_told_anew",
    "test_moving.py::test_a_state_of_many_blocks_moves",
    "test_checkpoint.py",
)
"""Tests in which all kernels of the join have something to do."""


@pytest.mark.kernels
def test_the_join_stays_within_its_bounds() -> None:
    """Its own tests pass in a process in which no kernel may reach beyond what it was given."""
    assert_within_bounds("labels", SOME)
