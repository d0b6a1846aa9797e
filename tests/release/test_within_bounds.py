"""Tests of evidence with all that its kernels reach held against bounds: spans by length and by what they are of."""

from __future__ import annotations

import pytest

from tests.labels.checked import assert_within_bounds

SOME = (
    "test_evidence_fold.py::test_it_is_what_a_slow_fold_says",
    "test_evidence_fold.py::test_room_is_bounded_and_what_finds_none_is_counted",
    "test_evidence_fold.py::test_questions_come_and_go",
    "test_paired_evidence.py::test_following_is_foreseeing_and_taking",
)
"""Tests in which all kernels of evidence have something to do."""


@pytest.mark.kernels
def test_evidence_stays_within_its_bounds() -> None:
    """They pass in a process in which no kernel may reach beyond what it was given."""
    assert_within_bounds("release", SOME)
