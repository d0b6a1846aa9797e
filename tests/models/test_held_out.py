"""A package keeps rows that its model was judged by, bit for bit, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headrace.domain.drift.reference_profile import ReferenceProfile, profile_of
from headrace.domain.models.held_out import MOST_INPUTS, MOST_ROWS, drawn
from headrace.domain.models.package import SAMPLE, ModelPackage, load, pack, save
from headrace.domain.models.store import ModelStore
from headrace.domain.quality import row_sample
from headrace.domain.quality.row_sample import RowSample
from headrace.errors import ContractError
from tests.models import graphs

HOUR = 3_600_000


def profile(width: int = 2) -> ReferenceProfile:
    """Of columns that vary."""
    names = [*graphs.NAMES, *(f"v.f{at}" for at in range(width - 2))]
    return ReferenceProfile(profile_of(names, np.random.default_rng(1).normal(0, 1, (2_000, width))), {})


def judged(count: int, width: int = 2) -> RowSample | None:
    """Rows held out; a third of them positive, one value in ten missing."""
    random = np.random.default_rng(2)
    matrix = random.normal(0, 1, (count, width)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    names = list(profile(width).inputs)
    times = np.arange(count) * HOUR
    return drawn(profile(width), names, matrix, times, random.random(count), random.random(count) < 1 / 3)


def package(count: int = 500) -> ModelPackage:
    """A model with rows that it was judged by."""
    return pack(graphs.manifest(), graphs.logistic(), profile(), judged(count))


def test_a_package_keeps_its_rows(tmp_path: Path) -> None:
    """They are read back as they were, from a directory and from a store, and are part of the identity."""
    made = package()
    save(made, tmp_path / "m")
    store = ModelStore(f"memory://{tmp_path.name}", tmp_path / "cache")
    for found in (load(tmp_path / "m", made.digest), load(store.fetch(store.put(made), made.digest), made.digest)):
        rows, wanted = found.held_out, judged(500)
        assert found == made
        assert rows is not None
        assert wanted is not None
        assert row_sample.pack(rows) == row_sample.pack(wanted)
        assert len(rows.reference().scores) == 500
    assert made.digest != pack(graphs.manifest(), graphs.logistic(), profile()).digest
    assert pack(graphs.manifest(), graphs.logistic(), profile()).held_out is None


def test_it_keeps_so_many_at_most() -> None:
    """Of more rows it keeps a part, whose mix is theirs, in some 200 kB."""
    some = judged(3 * MOST_ROWS)
    assert some is not None
    assert len(some) == MOST_ROWS
    assert some.labels.mean() == pytest.approx(1 / 3, abs=0.02)
    assert (some.places[0] == some.bins[0] - 1).mean() == pytest.approx(0.1, abs=0.01)
    assert len(row_sample.pack(some)) < 250_000


def test_of_many_inputs_there_is_none() -> None:
    """What an estimate costs grows with the square of the inputs."""
    assert judged(100, MOST_INPUTS) is not None
    assert judged(100, MOST_INPUTS + 1) is None


def damaged(made: ModelPackage) -> ModelPackage:
    """One byte of its rows is another."""
    assert made.judged is not None
    return replace(made, judged=made.judged[:-1] + bytes([made.judged[-1] ^ 1]))


def test_damage_is_refused(tmp_path: Path) -> None:
    """Rows that are changed, taken away, of other bins or without a profile make no package."""
    made = package()
    save(made, tmp_path / "changed")
    (tmp_path / "changed" / SAMPLE).write_bytes(damaged(made).judged or b"")
    (tmp_path / "lacking").mkdir()
    save(made, tmp_path / "lacking")
    (tmp_path / "lacking" / SAMPLE).unlink()
    for name in ("changed", "lacking"):
        with pytest.raises(ContractError, match=made.digest):
            load(tmp_path / name, made.digest)
    wrong = {
        "checksum differs": damaged(made),
        "no profile": replace(made, profile=None),
        "other bins": pack(graphs.manifest(), graphs.logistic(), constant(), judged(500)),
        "no numbers": pack(graphs.manifest(), graphs.logistic(), profile(), unscored()),
    }
    for number, (why, each) in enumerate(wrong.items()):
        save(each, tmp_path / str(number))
        with pytest.raises(ContractError, match=why):
            load(tmp_path / str(number))


def constant() -> ReferenceProfile:
    """The same columns, which do not vary."""
    return ReferenceProfile(profile_of(graphs.NAMES, np.ones((100, 2))), {})


def unscored() -> RowSample:
    """Rows of which nobody knows what the model said."""
    rows = judged(500)
    assert rows is not None
    return replace(rows, scores=np.full(500, np.nan))
