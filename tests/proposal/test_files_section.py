"""The section `files`: what files do not say themselves, and how they are read by it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.pipeline.check import check, load
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables
from headrace.operations.tables.event_table import Rows
from headrace.streaming.contracts.schemas import load_schema

SCHEMA = """{"type": "record", "name": "sale", "fields": [
 {"name": "id", "type": "string"}, {"name": "shop", "type": "string"},
 {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
 {"name": "price", "type": ["null", "double"], "default": null},
 {"name": "pieces", "type": ["null", "long"], "default": null}]}"""
PIPELINE = """pipeline: sales
events: {schema: sale, id: id, time: at, key: shop}
model: {name: sales, inputs: [price, pieces]}
labels: {id: id, value: back}
"""
NOON = "2024-05-01T12:00:00Z"
LABEL = Path(__file__).parents[2] / "schemas" / "label.avsc"


class Folder:
    """A project whose pipeline has a `files` section."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "schemas").mkdir()
        (path / "schemas" / "sale.avsc").write_text(SCHEMA)

    def problems(self, files: str) -> list[str]:
        """What `check` finds with a section."""
        (self.path / "sales.yaml").write_text(f"{PIPELINE}files: {files}\n")
        return [f"{problem.message}: {problem.remedy}" for problem in check(self.path / "sales.yaml")]

    def rows(self, files: str, text: str, kind: str = "events") -> Rows:
        """A file's rows as its pipeline reads them."""
        assert self.problems(files) == []
        (self.path / "file.csv").write_text(text)
        pipeline, file = load(self.path / "sales.yaml"), tables.read_table(self.path / "file.csv")
        if kind == "labels":
            return tables.labels(file, pipeline, load_schema(LABEL).arrow, {}, "file")
        return tables.events(file, pipeline, load_schema(self.path / "schemas" / "sale.avsc").arrow, {})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty project."""
    return Folder(tmp_path)


def sale(price: str = "1", pieces: str = "1", at: str = NOON) -> str:
    """A file of one sale, between semicolons."""
    return f"id;shop;at;price;pieces\na;s;{at};{price};{pieces}\n"


@pytest.mark.parametrize(
    ("files", "price", "read"),
    [
        ('{decimal: ","}', "1,5", 1.5),
        ('{decimal: ","}', "-0,25", -0.25),
        ('{decimal: ",", thousands: "."}', "1.234.567,89", 1234567.89),
        ('{decimal: ",", thousands: "."}', "1234,5", 1234.5),
        ('{decimal: ",", thousands: " "}', "1\u00a0234,5", 1234.5),
        ('{thousands: ","}', "1,234.5", 1234.5),
        ('{thousands: "\'"}', "1'234.5", 1234.5),
        ('{decimal: ","}', "", None),
        ('{decimal: ","}', "n/a", None),
    ],
)
def test_numbers_are_read_as_the_file_writes_them(folder: Folder, files: str, price: str, read: float | None) -> None:
    """Signs before the fraction and between thousands are those that the section names."""
    assert folder.rows(files, sale(price)).columns["price"].to_pylist() == [read]


@pytest.mark.parametrize(
    ("files", "price"),
    [
        ('{decimal: ","}', "1.5"),
        ('{decimal: ","}', "1.234,5"),
        ('{decimal: ",", thousands: "."}', "1.5"),
        ('{decimal: ",", thousands: "."}', "12.34,5"),
        ('{thousands: ","}', "1,5"),
    ],
)
def test_a_number_with_other_signs_is_refused(folder: Folder, files: str, price: str) -> None:
    """1.5 in a file of decimal commas is neither 1.5 nor 15: it is refused with its row."""
    with pytest.raises(ConfigurationError, match=r"row 1, column price: .* is no number where files say decimal"):
        folder.rows(files, sale(price))


def test_whole_numbers_have_thousands_too(folder: Folder) -> None:
    """A whole number is read without what stands between its thousands; a fraction is none."""
    files = '{decimal: ",", thousands: "."}'
    assert folder.rows(files, sale(pieces="12.345")).columns["pieces"].to_pylist() == [12345]
    with pytest.raises(ConfigurationError, match="'1,5' is no whole number"):
        folder.rows(files, sale(pieces="1,5"))


@pytest.mark.parametrize(
    ("layout", "written", "utc"),
    [
        ('{format: "%d.%m.%Y %H:%M"}', "01.05.2024 12:00", (5, 1, 12)),
        ('{format: "%d.%m.%Y %H:%M"}', "1.5.2024 12:00", (5, 1, 12)),
        ('{format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}', "01.05.2024 12:00", (5, 1, 10)),
        ('{format: "%m/%d/%Y %I:%M %p"}', "05/01/2024 12:00 PM", (5, 1, 12)),
        ('{format: "%d/%b/%Y:%H:%M:%S %z"}', "01/May/2024:12:00:00 +0200", (5, 1, 10)),
        ('{format: "%Y%m%d"}', "20240501", (5, 1, 0)),
        ('{format: "%Y"}', "2024", (1, 1, 0)),
        ("{unit: seconds}", "1714564800", (5, 1, 12)),
        ("{zone: Europe/Berlin}", "2024-05-01 12:00", (5, 1, 10)),
        ("{zone: Europe/Berlin}", "2024-05-01T12:00:00Z", (5, 1, 12)),
        ("{zone: Europe/Berlin, ambiguous: earliest}", "2024-10-27 02:30", (10, 27, 0)),
        ("{zone: Europe/Berlin, ambiguous: latest}", "2024-10-27 02:30", (10, 27, 1)),
    ],
)
def test_times_are_read_as_the_file_writes_them(
    folder: Folder, layout: str, written: str, utc: tuple[int, int, int]
) -> None:
    """Formats, units and zones are those that the section names."""
    month, day, hour = utc
    (found,) = folder.rows(f"{{times: {{at: {layout}}}}}", sale(at=written)).columns["at"].to_pylist()
    minute = 30 if "02:30" in written else 0
    assert found == datetime(2024, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("layout", "written", "why"),
    [
        ('{format: "%d.%m.%Y"}', "31.02.2024", "is no time in the format"),
        ('{format: "%d.%m.%Y"}', "01.05.2024x", "is no time in the format"),
        ('{format: "%d.%m.%Y"}', "2024-05-01", "is no time in the format"),
        ('{format: "%d.%m.%Y"}', "01.05.1924", "outside of 1980 to 2100"),
        ("{zone: Europe/Berlin}", "2024-03-31 02:30", "is no time in Europe/Berlin"),
        ("{zone: Europe/Berlin}", "2024-10-27 02:30", "ambiguous: earliest"),
        ("{unit: seconds}", "1714564800000", "outside of 1980 to 2100"),
    ],
)
def test_a_time_that_is_none_is_refused(folder: Folder, layout: str, written: str, why: str) -> None:
    """A 31st of February, an hour that a zone does not have or has twice: refused with row and column."""
    with pytest.raises(ConfigurationError, match=rf"row 1, column at: .*{why}"):
        folder.rows(f"{{times: {{at: {layout}}}}}", sale(at=written))


def test_other_names_and_values_of_all_rows(folder: Folder) -> None:
    """A field's column may have another name; a field without one has a value of all rows, which is told."""
    text = "Nr.;when\nx;2024-05-01T12:00:00Z\n"
    rows = folder.rows('{columns: {id: "Nr.", at: when}, values: {shop: web, pieces: 2}}', text)
    assert rows.keys.to_pylist() == ["web"]
    assert rows.columns["pieces"].to_pylist() == [2]
    assert any("shop: it is web in all rows" in note for note in rows.notes)


def test_rows_without_id_and_time(folder: Folder) -> None:
    """Rows are called by their numbers and dated from the first time on; labels of the same file have the same ids."""
    files = "{row_ids: true, first_time: 2024-05-01T12:00:00Z, time_step: 30m}"
    rows = folder.rows(files, "shop,price\ns,1\ns,2\ns,3\n")
    assert rows.columns["id"].to_pylist() == ["1", "2", "3"]
    assert [at.hour * 60 + at.minute for at in rows.columns["at"].to_pylist()] == [720, 750, 780]
    labels = folder.rows(files, "shop,back\ns,1\ns,0\ns,1\n", "labels")
    assert labels.columns["event_id"].to_pylist() == ["1", "2", "3"]
    assert labels.times.tolist() == rows.times.tolist()


def test_words_of_labels(folder: Folder) -> None:
    """A label's words mean what the section says; another word is refused with its row."""
    text = "id,at,back\na,2024-05-01T12:00:00Z,ja\nb,2024-05-01T12:00:00Z,nein\n"
    assert folder.rows("{truths: {ja: 1, nein: 0}}", text, "labels").columns["value"].to_pylist() == [1, 0]
    with pytest.raises(ConfigurationError, match="row 2, column back: 'nein' is none of the words"):
        folder.rows("{truths: {ja: 1, no: 0}}", text, "labels")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ("{decimal: x}", "decimal cannot be x"),
        ('{decimal: ",", thousands: ","}', "before the fraction and between thousands"),
        ("{columns: {nothing: x}}", "neither events nor labels have a field nothing"),
        ("{values: {pieces: many}}", "many is a text, not integer"),
        ("{values: {at: 3}}", "at is time, which no value is written for"),
        ("{times: {price: {unit: seconds}}}", "price is number and no time"),
        ("{times: {at: {unit: h}}}", "unit cannot be h"),
        ('{times: {at: {format: "%H:%M"}}}', "does not say a whole date"),
        ('{times: {at: {format: "%Y", unit: seconds}}}', "a unit is for numbers, a format for texts"),
        ("{times: {at: {zone: Europe/Nowhere}}}", "no zone Europe/Nowhere"),
        ("{first_time: 2024-05-01}", "first_time without time_step"),
        ("{time_step: 30m}", "time_step without first_time"),
        ("{first_time: today, time_step: 30m}", "today is no time"),
        ("{row_ids: true, columns: {id: nr}}", "id would come from columns and from row_ids"),
        ("{values: {shop: a}, columns: {shop: b}}", "shop would come from columns and from values"),
        ("{truths: {ja: yes it is}}", "should be a number"),
        ("{speed: 3}", "unknown key speed"),
        ("[]", "should be a mapping"),
    ],
)
def test_a_wrong_section_is_refused(folder: Folder, files: str, why: str) -> None:
    """Every mistake is told by `check`, with the remedy."""
    assert any(why in problem for problem in folder.problems(files)), folder.problems(files)


def test_columns_of_a_table_are_read_by_it_too(folder: Folder) -> None:
    """Typed times without a zone are of the section's; what has one stays."""
    assert folder.problems("{times: {at: {zone: Europe/Berlin}}}") == []
    pipeline = load(folder.path / "sales.yaml")
    schema = load_schema(folder.path / "schemas" / "sale.avsc").arrow
    noon = datetime(2024, 5, 1, 12)
    for kind, hour in ((pa.timestamp("us"), 10), (pa.timestamp("us", "UTC"), 12)):
        table = pa.table({"id": ["a"], "shop": ["s"], "at": pa.array([noon], kind)})
        (found,) = tables.events(table, pipeline, schema, {}).columns["at"].to_pylist()
        assert found.hour == hour
