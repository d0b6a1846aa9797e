"""Cards tell what figures are although the mix of inputs shifted: from training to the card, without a broker."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from headrace.cli.render.scorecard import scorecard_sheet
from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.quality import row_sample
from headrace.domain.scorecards.grouped_tallies import PARTS
from headrace.domain.scorecards.partial_aggregate import SAMPLED, unpack
from headrace.domain.scorecards.partial_aggregate import pack as packed
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train
from headrace.errors import Transient
from headrace.operations.comparison.training_overlap import Origin
from headrace.operations.scorecard_query.catalogue import KEY
from headrace.operations.scorecard_query.report import arm_figures
from headrace.operations.scorecard_query.span import Sums
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.records.batch import slot
from services.scorecards.redistribution import moved_parts
from tests.scorecards.made import (
    DAY,
    PARTITIONS,
    START,
    Member,
    World,
    outcomes,
    pieces,
    pipeline,
    predictions,
    repeats,
)

INPUTS = ("amount", "customer.avg_amount_7d")
WHO = "fraud@1/champion"
COMPARED = ("auc_roc", "accuracy", "precision", "average_precision")


@dataclass(frozen=True, slots=True)
class Mixed:
    """Events of two groups, of which the amount tells; `strength` says another thing of each."""

    world: World
    strength: np.ndarray


def drawn(seed: int, times: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(matrix, labels) of events of which this share is of the group whose strength says less."""
    random = np.random.default_rng(seed)
    count = len(times)
    group = random.random(count) < share
    strength = random.normal(0, 1.5, count)
    chance = 1 / (1 + np.exp(-np.where(group, 0.4 * strength - 0.8, 1.2 * strength + 0.3)))
    amount = np.where(group, 300, 20) * random.lognormal(0, 0.3, count)
    return np.stack([amount, strength], axis=1).astype(np.float32), (random.random(count) < chance).astype(np.int8)


@cache
def package() -> ModelPackage:
    """A model trained where 30% are of that group."""
    times = START - 30 * DAY + np.arange(12_000) * 60_000
    matrix, labels = drawn(1, times, 0.3)
    data = Dataset(INPUTS, np.asfortranarray(matrix), labels, times)
    return train(data, Recipe("fraud", "1", trainer="logistic_regression"))


def events(seed: int, day: int, count: int, share: float) -> Mixed:
    """Events of a day, scored."""
    random = np.random.default_rng(seed)
    times = np.sort(START + day * DAY + random.integers(0, DAY, count))
    matrix, labels = drawn(seed, times, share)
    scores = open_session(package(), SessionSettings(device="cpu")).run(np.asfortranarray(matrix)).astype(np.float64)
    entities = random.integers(0, 200, count).astype(str)
    made = World(times, entities, matrix[:, 0].astype(np.float64), scores, labels.astype(float), labels >= 0)
    return Mixed(made, matrix[:, 1].astype(np.float64))


def played(columns: pa.RecordBatch, mixed: Mixed, rows: np.ndarray, prefix: str, digest: str = "") -> pa.RecordBatch:
    """Predictions or outcomes as those of the model, with all that it read and ids of their own."""
    identity = {"name": "fraud", "version": "1", "digest": digest or package().digest}
    customer = columns.column("customer")
    fields = {field.name: customer.field(field.name) for field in customer.type}
    fields["avg_amount_7d"] = pa.array(mixed.strength[rows])
    told = {
        "model": pa.array([identity] * len(rows), columns.schema.field("model").type),
        "customer": pa.StructArray.from_arrays(list(fields.values()), fields=list(customer.type)),
        "event_id": pa.array([f"{prefix}{row}" for row in rows]),
    }
    arrays = [told.get(field.name, columns.column(field.name)) for field in columns.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=columns.schema)


class Played(Member):
    """A member that is told events of days."""

    def predicted(self, mixed: Mixed, day: int, rows: np.ndarray | None = None, digest: str = "") -> None:
        """Predictions, each entity in its partition."""
        for number, some in self._parted(mixed, rows):
            columns = predictions(mixed.world, some)
            self.take("predictions", number, played(columns, mixed, some, f"{day}-", digest))

    def known(self, mixed: Mixed, day: int, rows: np.ndarray | None = None) -> None:
        """Their outcomes."""
        for number, some in self._parted(mixed, rows):
            columns = outcomes(mixed.world, some, mixed.world.label[some])
            self.take("outcomes", number, played(columns, mixed, some, f"{day}-"))

    def _parted(self, mixed: Mixed, rows: np.ndarray | None) -> list[tuple[int, np.ndarray]]:
        every = np.arange(len(mixed.strength)) if rows is None else rows
        homes = mixed.world.entities[every].astype(int) % PARTITIONS
        return [(number, every[homes == number]) for number in range(PARTITIONS) if (homes == number).any()]

    def figures(self, day: int) -> dict[str, Any]:
        """Those of a day's card."""
        found: dict[str, Any] = self.card(day, who=WHO)["figures"]
        return found

    def payloads(self) -> dict[Any, bytes]:
        """What each partition's sums of predictions are told as."""
        found = {}
        for number in range(PARTITIONS):
            for row in streamed(self.made.snapshot(slot(0, number))).to_pylist():
                if row["window"] is not None:
                    found[number, row["window"], row["generation"]] = row["tallies"]
        return found


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A model store with the model's package."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    store.put(package())
    return store


def before(member: Played, days: int = 4) -> None:
    """Some days with the mix of the training, with their outcomes."""
    for day in range(days):
        mixed = events(10 + day, day, 1_500, 0.3)
        member.predicted(mixed, day)
        member.known(mixed, day)


@pytest.mark.slow
def test_nearer_when_the_mix_shifts(store: ModelStore) -> None:
    """On a day on which the group is most of the events, the shifted figure is nearer; once labels come both errors
    stand side by side.
    """
    member = Played(store=store)
    before(member)
    shifted = events(20, 4, 2_500, 0.8)
    member.predicted(shifted, 4)
    member.publish()
    told = member.figures(4)
    assert told["shifted_effective_rows"]["value"] is None
    assert "the window goes on" in told["shifted_effective_rows"]["note"]
    member.predicted(events(21, 5, 200, 0.3), 5)
    member.publish()
    guessed = member.figures(4)
    assert 300 < guessed["shifted_effective_rows"]["value"] < 3_000
    assert guessed["shifted_uncovered"]["value"] < 0.05
    assert not any("error" in name for name in guessed)
    member.known(shifted, 4)
    member.publish()
    figures = member.figures(4)
    for name in COMPARED:
        off = {kind: abs(figures[f"{kind}_error_{name}"]["value"]) for kind in ("estimate", "shifted")}
        assert off["shifted"] < 0.5 * off["estimate"], name
        assert figures[f"shifted_{name}"] == guessed[f"shifted_{name}"]
        error = figures[f"shifted_{name}"]["value"] - figures[name]["value"]
        assert figures[f"shifted_error_{name}"]["value"] == pytest.approx(error)
    steady = member.figures(2)
    assert steady["shifted_auc_roc"]["value"] == pytest.approx(steady["auc_roc"]["value"], abs=0.03)
    assert not any(name.startswith("shifted") for name in member.card(4, "amount_band", "10-50", WHO)["figures"])
    on_the_sheet(member, store)


def on_the_sheet(member: Played, store: ModelStore) -> None:
    """`headrace scorecard` tells the same of the same sums: figures, and both kinds of errors side by side."""
    (aggregate,) = (each for each in member.made.aggregates.values() if each.windows)
    sums = Sums(pipeline(), aggregate, PackagedRows(store).rows)
    (who,) = sums.models
    summary = sums.summary(who, TimeSpan(), None)
    assert summary is not None
    told = {name: asdict(figure) for name, figure in summary.windows[START + 4 * DAY].figures.items()}
    wanted = {name: figure for name, figure in member.figures(4).items() if name.startswith("shifted")}
    assert {name: told[name] for name in wanted} == wanted
    assert summary.figures["shifted_auc_roc"].value is not None, "of the day without outcomes"
    report = arm_figures(summary, pipeline(), Origin(), None, None)
    both = report.estimates_together
    assert both["shifted"]["auc_roc"].windows == both["estimated"]["auc_roc"].windows == 5
    assert both["shifted"]["auc_roc"].mean_absolute < both["estimated"]["auc_roc"].mean_absolute
    console = Console(width=80)
    with console.capture() as captured:
        console.print(*scorecard_sheet([summary], pipeline(), TimeSpan(), None, KEY, 80))
    sheet = captured.get()
    assert max(map(len, sheet.splitlines())) <= 80
    assert sheet.count("mix weighed") == 2
    assert "has no estimates under shifted inputs" not in sheet


@pytest.mark.slow
def test_batches_members_and_restarts_do_not_show(store: ModelStore) -> None:
    """Parts are the same to the bit however batches are cut, through restarts, and with predictions told twice; so are
    the cards.
    """
    mixed, later = events(30, 0, 3 * SAMPLED * 2, 0.6), events(31, 1, 200, 0.3)
    whole, cut = Played(store=store), Played(store=store)
    for member in (whole, cut):
        draw = np.random.default_rng(4)
        for part in [np.arange(len(mixed.strength))] if member is whole else list(pieces(np.arange(12_000), draw)):
            if len(part):
                member.predicted(mixed, 0, part)
                if member is cut:
                    member.restart()
                    member.publish()
        again = np.arange(0, 12_000, 7)
        member.predicted(mixed, 0, again)
        for number, some in member._parted(mixed, again):
            member.take("outcomes", number, played(repeats(mixed.world, some), mixed, some, "0-"))
        member.predicted(later, 1)
        member.publish()
    assert whole.payloads().keys() == cut.payloads().keys()
    for place, payload in whole.payloads().items():
        one, other = (unpack(each)[WHOLE].rows for each in (payload, cut.payloads()[place]))
        assert one is not None
        assert other is not None
        assert row_sample.pack(one) == row_sample.pack(other), place
        assert len(one) == SAMPLED or place[1] > START
    assert whole.figures(0)["shifted_auc_roc"]["value"] is not None
    names = [name for name in whole.figures(0) if name.startswith("shifted_")]
    assert {name: whole.figures(0)[name] for name in names} == {name: cut.figures(0)[name] for name in names}
    assert whole.card(0, who=WHO)["repeats"] == len(again)


@pytest.mark.slow
def test_what_was_estimated_outlives_a_restart(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards that are told again after a restart have the figures that they had, at no cost; so do those of topics that
    have grown meanwhile.
    """
    member = Played(store=store)
    before(member, 2)
    member.publish()
    told = member.figures(0)
    assert told["shifted_auc_roc"]["value"] is not None
    states = [member.made.snapshot(slot(3, number)) for number in range(2)]
    moved = [streamed(state) for state in moved_parts(states, 3)]
    memos = [{row["memo"] for row in table.to_pylist()} for table in moved if len(table)]
    assert [len(each) for each in memos] == [2], "one for each window of the model"
    member.cards.clear()
    member.restart()
    monkeypatch.delattr("headrace.domain.scorecards.card_builder.shift_figures")  # who estimates anew finds nothing
    member.publish()
    assert member.figures(0) == told


def test_why_there_is_none(store: ModelStore) -> None:
    """A package that is nowhere, or has no rows held out, is named on the card, and nothing is sampled."""
    bare = pack(package().manifest, package().graph)
    store.put(bare)
    mixed = events(40, 0, 100, 0.3)
    for digest, why in (("sha256:" + "0" * 64, "no sound package"), (bare.digest, "no sample.bin")):
        member = Played(store=store)
        member.predicted(mixed, 0, digest=digest)
        member.publish()
        figure = member.figures(0)["shifted_effective_rows"]
        assert figure["value"] is None
        assert why in figure["note"]
        assert all(unpack(payload)[WHOLE].rows is None for payload in member.payloads().values())


def test_parts_of_before(store: ModelStore) -> None:
    """A window of which an earlier version counted a part has a sample of the rest: no estimate is made of it."""
    member = Played(store=store)
    mixed = events(50, 0, 600, 0.3)
    member.predicted(mixed, 0, np.arange(300))
    states = {number: member.made.snapshot(slot(0, number)) for number in range(PARTITIONS)}
    for number, state in states.items():
        table = streamed(state)
        old = [stream(without_rows(streamed(tallies))) for tallies in table["tallies"].to_pylist()]
        place = table.schema.get_field_index("tallies")
        member.made.restore(slot(0, number), stream(table.set_column(place, "tallies", pa.array(old))))
    member.predicted(mixed, 0, np.arange(300, 600))
    member.predicted(events(51, 1, 100, 0.3), 1)
    member.publish()
    assert member.card(0, who=WHO)["predictions"] == 600
    note = member.figures(0)["shifted_effective_rows"]["note"]
    assert note.startswith("of 600 predictions 300 were offered to the sample")


def without_rows(tallies: pa.Table) -> pa.Table:
    """Tallies as an earlier version wrote them."""
    counts = pa.array([told[:-1] for told in tallies["counts"].to_pylist()], tallies.schema.field("counts").type)
    place = tallies.schema.get_field_index("counts")
    return tallies.set_column(place, "counts", counts).drop_columns(["rows"])


def test_a_store_that_is_out_of_reach(tmp_path: Path) -> None:
    """Predictions wait for the package, and nothing of them is counted meanwhile; a card's estimates are still owed."""
    root = tmp_path / "models"
    store = ModelStore(str(root), tmp_path / "cache")
    store.put(package())
    away = tmp_path / "away"
    shutil.move(root, away)
    root.write_text("a file in its place")
    member, mixed = Played(store=store), events(60, 0, 100, 0.3)
    state = member.made.snapshot(slot(0, 0))
    for _ in range(2):
        with pytest.raises(Transient):
            member.predicted(mixed, 0)
        member.offsets.clear()
    assert member.made.snapshot(slot(0, 0)) == state
    root.unlink()
    shutil.move(away, root)
    member.predicted(mixed, 0)
    member.publish()
    assert member.card(0, who=WHO)["predictions"] == 100
    fresh = Played(store=ModelStore(str(tmp_path / "nowhere"), tmp_path / "other"))
    (tmp_path / "nowhere").write_text("no directory")
    for number in range(2):
        fresh.made.restore(slot(3, number), member.made.snapshot(slot(3, number)))
    fresh.made.tick(10_000.0, {})
    assert fresh.made.tick(20_000.0, {}).unfinished, "it still owes what the package is needed for"


def test_samples_by_strange_bins(store: ModelStore) -> None:
    """A part whose sample has other bins than the package's is merged without harm, and no estimate rests on it."""
    member, mixed = Played(store=store), events(70, 0, 300, 0.3)
    member.predicted(mixed, 0)
    member.predicted(events(71, 1, 100, 0.3), 1)
    for emit in member.made.tick(10_000.0, {}).emits:
        if emit.topic == PARTS:
            for row in emit.columns.to_pylist():
                found = unpack(row["payload"])
                if found[WHOLE].rows is not None and row["source_partition"] == 0:
                    strange = replace(found[WHOLE].rows, bins=tuple(size + 1 for size in found[WHOLE].rows.bins))
                    row["payload"] = packed({**found, WHOLE: replace(found[WHOLE], rows=strange)})
                columns = pa.RecordBatch.from_pylist([row], schema=emit.columns.schema)
                member.take(PARTS, 0, columns)
    member.now = 20_000.0
    member.publish()
    assert "other bins" in member.figures(0)["shifted_effective_rows"]["note"]
