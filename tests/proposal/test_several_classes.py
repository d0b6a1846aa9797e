"""`headrace init` proposes classes where a label has more than two values, and files of labels name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from sklearn.datasets import load_digits, load_iris

from headrace.domain.pipeline.check import check
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import truths
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables
from headrace.streaming.contracts.schemas import load_schema
from tests.proposal.test_init import made, published

SPECIES = ("setosa", "versicolor", "virginica")
LABELS = load_schema(Path(__file__).parents[2] / "schemas" / "label.avsc").arrow


def irises(path: Path, names: tuple[object, ...] = SPECIES) -> Path:
    """Irises as a stream, with what each is called."""
    data = load_iris()
    order = np.random.default_rng(0).permutation(150)
    times = pa.array(1_700_000_000_000 + 60_000 * np.arange(150), pa.timestamp("ms"))
    columns = {"flower_id": np.arange(150), "at": times, "bed_id": np.arange(150) % 5}
    measures = {f"measure_{at}": data.data[order, at] for at in range(4)}
    pyarrow.csv.write_csv(pa.table({**columns, **measures, "class": [names[at] for at in data.target[order]]}), path)
    return path


def test_a_label_of_three_words_becomes_classes(tmp_path: Path) -> None:
    """In the order of the words; the same file is read as events and as labels, by name."""
    file = irises(tmp_path / "irises.csv")
    found = made(tmp_path, file)
    pipeline, _ = published(found, file)
    assert (pipeline.model.output, pipeline.model.classes) == ("class", SPECIES)
    assert check(Path(found.file)) == []
    _, labels = published(found, file, "labels")
    rule = pipeline.labels
    assert rule is not None
    places, strange = truths(labels.columns["value"].to_numpy(), rule)
    assert not strange.any()
    target = load_iris().target[np.random.default_rng(0).permutation(150)]
    assert np.array_equal(places, target)
    text = Path(found.file).read_text()
    assert "# guess: class has few values" in text
    assert "all errors cost the same" in text


def test_whole_numbers_are_classes_as_they_are(tmp_path: Path) -> None:
    """1, 2 and 7 stay what they are called, in the file and on the topic."""
    file = irises(tmp_path / "irises.csv", (7, 1, 2))
    pipeline, rows = published(made(tmp_path, file), file, "labels")
    assert pipeline.model.classes == ("1", "2", "7")
    assert set(rows.columns["value"].to_pylist()) == {1.0, 2.0, 7.0}


def test_a_number_of_many_values_is_none(tmp_path: Path) -> None:
    """Of 150 different answers nobody makes classes."""
    table = pa.table(
        {"id": np.arange(150), "at": pa.array(1_700_000_000_000 + np.arange(150)), "target": np.arange(150)}
    )
    pyarrow.csv.write_csv(table, tmp_path / "numbers.csv")
    assert "classes" not in Path(made(tmp_path, tmp_path / "numbers.csv").file).read_text()


def pipeline_of(tmp_path: Path, truths_: str = "") -> Pipeline:
    """The irises' pipeline, with words for its classes."""
    file = irises(tmp_path / "irises.csv")
    found = made(tmp_path, file)
    path = Path(found.file)
    if truths_:
        text = path.read_text().replace("\nmodel:", f"\nfiles: {{truths: {truths_}}}\nmodel:", 1)
        path.write_text(text)
        assert check(path) == []
    return published(found, file)[0]


def labels(*values: object) -> pa.Table:
    """A table of labels."""
    times = pa.array([1_700_000_000_000] * len(values), pa.timestamp("ms"))
    return pa.table({"flower_id": list(range(len(values))), "class": list(values), "at": times})


def test_words_of_files_stand_for_classes(tmp_path: Path) -> None:
    """`files: truths` says which word means which class; names themselves are read beside them."""
    pipeline = pipeline_of(tmp_path, "{S: setosa, V: virginica}")
    rows = tables.labels(labels("V", "S", "versicolor"), pipeline, LABELS, {}, "file")
    assert rows.columns["value"].to_pylist() == [2.0, 0.0, 1.0]


@pytest.mark.parametrize("value", ["sedosa", "Setosa", "1", ""])
def test_what_is_no_class_is_refused_with_its_row(value: str, tmp_path: Path) -> None:
    """The row, the column, the value and all classes are named."""
    pipeline = pipeline_of(tmp_path)
    wanted = (
        "row 2, column class: is empty" if not value else f"row 2, column class: '{value}' is none of the classes set"
    )
    with pytest.raises(ConfigurationError, match=wanted):
        tables.labels(labels("setosa", value), pipeline, LABELS, {}, "file")


def test_digits_are_ten_classes(tmp_path: Path) -> None:
    """Integers called a target."""
    data = load_digits()
    table = pa.table(
        {
            "scan_id": np.arange(len(data.target)),
            "at": pa.array(1_700_000_000_000 + 60_000 * np.arange(len(data.target)), pa.timestamp("ms")),
            "ink": data.data.sum(axis=1),
            "target": data.target,
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "digits.parquet")
    pipeline, _ = published(made(tmp_path, tmp_path / "digits.parquet"), tmp_path / "digits.parquet", "labels")
    assert pipeline.model.classes == tuple(map(str, range(10)))
