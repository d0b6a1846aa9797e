"""Categories as inputs: what a text becomes, what the graph makes of it, and what stands for null and the unseen."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.models.categories import CategoryCodes
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import Input, ModelPackage, load, save
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.categories.spec import ENCODINGS, Category
from headrace.domain.training.categories.encoder import encoder_of
from headrace.domain.training.dataset import Dataset, labelled_rows
from headrace.domain.training.model_build import PARITY, Recipe, train
from headrace.domain.training.trainer import NATIVE, TAKES, TRAINERS, Choice, trainer_of
from headrace.errors import ConfigurationError, ContractError

EMPLOYMENT = Path(__file__).parents[3] / "shared" / "data" / "employment" / "employment_MA_reference.pq"
LATE = 10**15
SECTORS = ("farm", "mine", "mill", "shop", "bank")
RISK = dict(zip(SECTORS, (0.1, 0.2, 0.5, 0.8, 0.9), strict=True))


def events(count: int = 2_000, seed: int = 0, known: int = 5) -> tuple[pa.Table, np.ndarray]:
    """Events a minute apart whose label hangs on their sector, one in ten of them null, and on their district, an
    integer; and the labels.
    """
    rng = np.random.default_rng(seed)
    sector = [None if rng.random() < 0.1 else SECTORS[place] for place in rng.integers(0, known, count)]
    district = rng.integers(0, 30, count)
    amount = rng.normal(size=count)
    chance = [0.5 if name is None else RISK[name] for name in sector]
    chance = np.clip(np.array(chance) + 0.2 * (district % 3 - 1), 0.02, 0.98)
    struct = {"amount": amount, "sector": pa.array(sector, pa.string()), "district": pa.array(district, pa.int32())}
    columns = {
        "event_id": [f"e{at}" for at in range(count)],
        "event_time": pa.array(np.arange(count) * 60_000, pa.timestamp("ms", "UTC")),
        "event": pa.StructArray.from_arrays([pa.array(each) for each in struct.values()], names=[*struct]),
    }
    return pa.table(columns), (rng.random(count) < chance).astype(float)


def rows(encoding: str, **given: int) -> tuple[Dataset, dict[str, Category]]:
    """Training rows, and how their categories are encoded."""
    table, labels = events(**given)
    of = next(each for each in ENCODINGS if each == encoding)
    categories = {"sector": Category(of, buckets=16), "district": Category(of, most=20, buckets=16)}
    return labelled_rows(table, labels, ["sector", "amount", "district"], LATE, None, categories), categories


def trained(trainer: str, encoding: str) -> tuple[ModelPackage, Dataset]:
    """A package of rows, and these."""
    data, categories = rows(encoding)
    trees = None if trainer in ("logistic_regression", "decision_tree") else 8
    small = {"max_depth": 5} if trainer in ("random_forest", "decision_tree") else {}
    return train(data, Recipe("m", "1", trainer=trainer, trees=trees, parameters=small, categories=categories)), data


def scores(package: ModelPackage, table: pa.Table) -> np.ndarray:
    """What a service would answer to events."""
    matrix = FeatureMatrix.resolve(package.manifest.inputs, table.schema, "m").of(table)
    return open_session(package, SessionSettings(device="cpu", rows=256)).run(matrix)


def changed(table: pa.Table, sector: str | None) -> pa.Table:
    """Events that are all of one sector."""
    event = table["event"].combine_chunks()
    values = [event.field("amount"), pa.array([sector] * len(table), pa.string()), event.field("district")]
    struct = pa.StructArray.from_arrays(values, names=["amount", "sector", "district"])
    return table.set_column(table.schema.get_field_index("event"), "event", struct)


@pytest.mark.parametrize(("trainer", "encoding"), [*product(TRAINERS, ENCODINGS)])
def test_every_encoding_of_every_trainer_is_the_graphs(trainer: str, encoding: str) -> None:
    """The graph answers what the library does for what it has seen, not seen, and null, or the training is refused;
    what nobody has seen gets one answer, whatever it is called, and categories tell more than none would.
    """
    if encoding == "native" and NATIVE not in TAKES[trainer]:
        with pytest.raises(ConfigurationError, match="no splits by categories, and sector, district is left to them"):
            trained(trainer, encoding)
        return
    package, _ = trained(trainer, encoding)
    assert package.manifest.parameters["categories"] == {"sector": encoding, "district": encoding}
    table, _ = events(count=200, seed=1)
    for strange in (None, "harbour", "HARBOUR"):
        assert np.isfinite(scores(package, changed(table, strange))).all()
    if encoding != "hash":
        one, other = (scores(package, changed(table, name)) for name in ("harbour", "HARBOUR"))
        assert np.array_equal(one, other)
    farms, banks = (scores(package, changed(table, name)).mean() for name in ("farm", "bank"))
    # How frequent a category is tells a line nothing here, and trees little.
    assert encoding == "frequency" or banks - farms > 0.2


@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost"])
def test_native_sets_of_what_was_not_seen_are_the_librarys(trainer: str) -> None:
    """Categories that training rows lack, null and numbers without meaning go to the library's own side."""
    data, categories = rows("native", known=3)
    fitted = data.part(slice(0, 1_500))
    recipe = Recipe("m", "1", trainer=trainer, trees=8, categories=categories, holdout=0)
    package = train(fitted, recipe)
    strange = np.asfortranarray(data.matrix[:60].copy())
    strange[:, 0] = np.tile(np.array([np.nan, 3, 4, 0, 1, 2], np.float32), 10)
    strange[30:, 2] = np.nan
    beyond = strange.copy()
    beyond[:, 0] = np.where(strange[:, 0] > 2, 1e9, strange[:, 0])
    session = open_session(package, SessionSettings(device="cpu", rows=64))
    encoder = encoder_of(fitted, categories)
    model = trainer_of(trainer)(encoder.training(fitted), Choice({}, 8), lambda trees: None)
    assert np.abs(session.run(strange) - model.predict(encoder.encode(strange))).max() <= PARITY
    assert np.isfinite(session.run(beyond)).all()


def test_the_same_rows_make_the_same_package(tmp_path: Path) -> None:
    """To the digest; it is read as it was written, is admitted, and bins of drift have categories by their names."""
    package, data = trained("lightgbm", "one_hot")
    assert trained("lightgbm", "one_hot")[0].digest == package.digest
    assert admit(package) == ""
    save(package, tmp_path)
    read = load(tmp_path)
    sector = read.manifest.inputs[0]
    assert sector == Input(name="sector", levels=tuple(sorted(SECTORS)))
    assert len(read.manifest.inputs[2].levels or ()) == 20
    reference = read.reference
    assert reference is not None
    assert read.held_out is not None
    bins = reference.inputs["sector"].bins
    assert set(bins.levels) == set(SECTORS)
    assert bins.edges is None
    assert bins.counts[-1] == np.isnan(data.matrix[: bins.rows, 0]).sum()
    assert reference.inputs["amount"].bins.edges is not None


def test_target_encoding_tells_no_row_its_own_label() -> None:
    """Of labels that nothing tells, a model of many categories learns next to nothing, which it would from its own."""
    rng = np.random.default_rng(0)
    matrix = np.asfortranarray(rng.integers(0, 500, (2_000, 1)).astype(np.float32))
    labels = rng.integers(0, 2, 2_000).astype(np.int8)
    declared = {"shop": Input(name="shop", levels=tuple(f"s{at}" for at in range(500)))}
    data = Dataset(("shop",), matrix, labels, np.arange(2_000) * 1_000, declared=declared)
    encoder = encoder_of(data, {"shop": Category("target")})
    told, own = encoder.training(data).matrix[:, 0], encoder.encode(matrix)[:, 0]
    assert abs(np.corrcoef(told, labels)[0, 1]) < 0.1 < np.corrcoef(own, labels)[0, 1]
    unseen = encoder.encode(np.array([[500.0], [np.nan]], np.float32))[:, 0]
    np.testing.assert_allclose(unseen, labels.mean(), rtol=1e-6)


def test_frequencies_are_shares_of_the_rows_that_are_fitted() -> None:
    """Weights count; a category that no row has is 0, and null is the share of nulls."""
    declared = {"c": Input(name="c", levels=("a", "b", "x"))}
    matrix = np.array([[0], [1], [1], [np.nan]], np.float32)
    data = Dataset(("c",), matrix, np.array([0, 1, 0, 1], np.int8), np.arange(4), declared=declared)
    shares = encoder_of(data, {"c": Category("frequency")}).tables[0].rows[:, 0]
    assert shares.tolist() == [0.25, 0.5, 0.0, 0.0, 0.25]


def test_categories_beyond_those_that_are_kept_count_as_unseen() -> None:
    """`most` keeps the most frequent of them by name."""
    table, labels = events()
    data = labelled_rows(table, labels, ["district"], LATE, None, {"district": Category(most=2)})
    levels = data.declared["district"].levels or ()
    counts = np.bincount(table["event"].combine_chunks().field("district").to_numpy())
    assert {int(level) for level in levels} == {*np.argsort(-counts, kind="stable")[:2].tolist()}
    assert set(np.unique(data.matrix)) == {0.0, 1.0, 2.0}


def test_what_is_no_category_is_refused() -> None:
    """A text where a model counts with a number, a number with a point where it takes a category; and going on."""
    table, labels = events(count=300)
    with pytest.raises(ContractError, match=r"sector \(it is string, no number"):
        labelled_rows(table, labels, ["sector"], LATE)
    with pytest.raises(ContractError, match=r"amount \(it is double, no category"):
        labelled_rows(table, labels, ["amount"], LATE, None, {"amount": Category()})
    with pytest.raises(ValueError, match="levels and buckets"):
        Input(name="a", levels=("x",), buckets=4)
    with pytest.raises(ValueError, match="named twice"):
        Input(name="a", levels=("x", "x"))
    assert CategoryCodes(("x",)).of(pa.chunked_array([], pa.string())).tolist() == []


@pytest.mark.skipif(not EMPLOYMENT.exists(), reason="the census data are not here")
def test_the_census_is_learnt_from_its_categories() -> None:
    """15 of its 16 inputs are codes of categories; without them a model knows much less of who is employed."""
    table = pq.read_table(EMPLOYMENT).slice(0, 6_000)
    names = [name for name in table.column_names if name.isupper() or name == "RAC1P"]
    given = {name: table[name].cast(pa.string()) if name != "AGEP" else table[name] for name in names}
    struct = pa.StructArray.from_arrays([each.combine_chunks() for each in given.values()], names=[*given])
    times = pa.array(np.arange(len(table)) * 60_000, pa.timestamp("ms", "UTC"))
    whole = pa.table({"event_id": table["id"].cast(pa.string()), "event_time": times, "event": struct})
    labels = table["employed"].to_numpy().astype(float)
    categories = {name: Category() for name in names if name != "AGEP"}

    def auc(inputs: list[str]) -> float:
        of = {name: each for name, each in categories.items() if name in inputs}
        data = labelled_rows(whole, labels, inputs, LATE, None, of)
        return train(data, Recipe("m", "1", trees=20, categories=of)).manifest.metrics["auc_roc"]

    assert auc(names) > 0.88 > 0.87 > auc(["AGEP"])
