"""Parts of a replay that need no broker: scores side by side, names of runs, files that are stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from headrace.domain.plans.plans import REPLAY, Arm
from headrace.errors import ConfigurationError
from headrace.operations.replay.destinations import ReplayFile
from headrace.operations.replay.recorded_scores import OF_SCORES, DifferentScore, compared
from headrace.operations.replay.request import ReplayRequest, offsets_of, run_of
from headrace.operations.time_spans import TimeSpan


def scores(*rows: tuple[str, float]) -> pa.Table:
    """Scores of events; those from 0.5 on decide so."""
    whole = [dict(zip(OF_SCORES, (event, score, score >= 0.5, 0), strict=True)) for event, score in rows]
    kinds = (pa.string(), pa.float64(), pa.bool_(), pa.int64())
    return pa.Table.from_pylist(whole, schema=pa.schema(list(zip(OF_SCORES, kinds, strict=True))))


def test_scores_stand_side_by_side() -> None:
    """A record twice counts twice, an event that was replayed twice once; what is in one of the two alone is told."""
    replayed = scores(("a", 0.1), ("b", 0.2), ("c", 0.6), ("c", 0.9), ("d", 0.3))
    recorded = scores(("b", 0.2), ("c", 0.4), ("c", 0.6), ("x", 0.5))
    found = compared(replayed, recorded, 3)
    assert (found.recorded, found.compared, found.unreplayed, found.unrecorded) == (4, 3, 1, 2)
    assert (found.different, found.decisions, found.unreadable) == (1, 1, 3)
    assert found.largest == pytest.approx(0.2)
    assert found.mean == pytest.approx(0.2 / 3)
    assert found.examples == [DifferentScore("c", 0.4, 0.6)]


def test_nothing_recorded_is_nothing_compared() -> None:
    """Then there are no figures, rather than zeros."""
    found = compared(scores(("a", 0.1)), scores())
    assert (found.compared, found.unrecorded, found.largest, found.mean) == (0, 1, None, None)


def test_a_run_is_named_by_what_is_asked() -> None:
    """The same question has the same name; another model, threshold, span or range has another."""

    def named(digest: str = "sha256:0", threshold: float = 0.5, stop: int = 9, *offsets: str) -> str:
        opened: Any = SimpleNamespace(arm=Arm(REPLAY, "m", "1", digest, ""), threshold=threshold)
        return run_of("p", opened, ReplayRequest("m@1", TimeSpan(1, stop), offsets_of(offsets)))

    names = [named(), named("sha256:1"), named("sha256:0", 0.4), named(stop=8), named("sha256:0", 0.5, 9, "0:1-2")]
    assert len(set(names)) == len(names)
    assert named() == names[0]
    assert all(len(name) == 12 for name in names)


@pytest.mark.parametrize("texts", [("0:1-2", "0:4-5"), ("0:2-1",), ("0-1",), ("a:0-1",)])
def test_offsets_that_mean_nothing_are_refused(texts: tuple[str, ...]) -> None:
    """With what to write."""
    with pytest.raises(ConfigurationError, match="--offsets"):
        offsets_of(texts)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_file_that_is_stopped_is_not_there(tmp_path: Path, stopped: bool) -> None:
    """It appears whole or not at all, and leaves no draft."""
    out = tmp_path / "out.parquet"
    file = ReplayFile(out, pa.schema([pa.field("score", pa.float64())]))
    assert file.finish(stopped) == 0
    file.discard()
    assert list(tmp_path.iterdir()) == ([] if stopped else [out])
