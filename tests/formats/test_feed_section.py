"""What a pipeline file may say of a producer's topic, and each mistake with its line and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import check, load
from headrace.errors import ConfigurationError
from tests.formats import shop

MISTAKES = {
    "no topic": ({"topic: shop.clicks, ": ""}, "topic is missing", "name the topic that the producer writes"),
    "a topic's name": ({"shop.clicks": '"a b"'}, "'a b' is no name of a topic", "use letters"),
    "our own": ({"shop.clicks": "web.events"}, "are headrace's own", "call the pipeline something else"),
    "a format": ({"format: json": "format: jsno"}, "format cannot be jsno", "did you mean json?"),
    "no schema": ({"schema: click": "schema: clack"}, "no clack.schema.json or clack.avsc", "did you mean click?"),
    "a path": ({"basket.price": "basket.prise"}, "basket.prise is not in the schema", "name a single value"),
    "a group": ({"price: basket.price": "price: basket"}, "basket is a record", "name a single value"),
    "a name": ({"price: basket.price": "pri-ce: basket.price"}, "no name of a field", "use letters, digits and _"),
    "a unit": ({"at: micros": "at: microns"}, "microns is no unit of times", "did you mean micros?"),
    "a text as micros": ({"times: {at: micros}": "times: {at: micros, id: micros}"}, "no time in micros", "name a"),
    "no unit": ({", times: {at: micros}": ""}, "nothing says how it tells a time", "times: {at: millis}"),
    "a zone": ({"{at: micros}": "{at: {unit: micros, zone: Europe/Pariss}}"}, "unknown zone", "IANA name"),
    "a time of nothing": ({"{at: micros}": "{at: micros, then: micros}"}, "then is none of the fields", "known are"),
    "a cast": ({"times:": "as: {mobile: number}, times:"}, "is boolean, which cannot be read as number", "name a"),
    "an envelope": ({"times:": "envelope: debezium, times:"}, "the schema has no text op", "describe the envelope"),
    "a message": ({"times:": "message: shop.Click, times:"}, "records in json are no messages", "take it out"),
    "others": ({"times:": "others: skip, times:"}, "only a subject tells records", "subject: record"),
    "a subject": ({"times:": "subject: record, times:"}, "read without a look at their ids", "take it out"),
}  # fmt: skip  # one table


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_remedy(tmp_path: Path, name: str) -> None:
    """And is the only one that is told."""
    changes, message, remedy = MISTAKES[name]
    with pytest.raises(ConfigurationError) as told:
        shop.contracts(tmp_path, "json", **changes)
    assert message in str(told.value)
    assert remedy in str(told.value)
    assert len(check(tmp_path / "pipelines" / "web.yaml")) == 1


def test_without_fields_a_record_is_read_whole(tmp_path: Path) -> None:
    """All single values at its top are fields; what cannot be read is named only by whoever asks for it."""
    fields = shop.FIELDS.replace("PRE", "")
    pipeline = shop.contracts(tmp_path, "avro", **{f", fields: {fields}": "", "sum(price)": "sum(visitor)",
                                                   "[price, ": "[visitor, "}).pipeline  # fmt: skip  # one call
    assert list(pipeline.events.fields) == ["id", "at", "visitor", "mobile", "hash"]
    assert pipeline.events.fields["mobile"].nullable
    assert not pipeline.events.fields["id"].nullable
    path = tmp_path / "pipelines" / "web.yaml"
    path.write_text(path.read_text().replace("key: visitor, format", "key: seen, format", 1))
    with pytest.raises(ConfigurationError, match="seen cannot be read: it is an array"):
        load(tmp_path / "pipelines" / "web.yaml")


def test_a_message_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    """A descriptor set may hold many; one that is none is refused."""
    with pytest.raises(ConfigurationError, match=r"no message shop\.Clack in the descriptors: there are .*shop\.Click"):
        shop.contracts(tmp_path, "protobuf", **{"shop.Click": "shop.Clack"})
    (tmp_path / "schemas" / "click.desc").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigurationError, match="protoc --descriptor_set_out"):
        load(tmp_path / "pipelines" / "web.yaml")


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"anyOf": [{"$ref": "#/a"}], "a": {"$ref": "#"}}, [], {}, 5])
def test_hostile_schemas_end_in_a_word(tmp_path: Path, schema: object) -> None:
    """One that refers to itself, or describes nothing, is refused."""
    with pytest.raises(ConfigurationError, match="the schema cannot be used"):
        shop.contracts(tmp_path, "json", {"json": schema})


@pytest.mark.parametrize("form", ["debezium", "connect"])
def test_what_was_deleted_has_a_verdict(tmp_path: Path, form: str) -> None:
    """Creations, updates and rows of snapshots are events; a deletion and its tombstone are refused, or counted."""
    row = {"id": "x", "at": "2024-06-01T10:00:00", "visitor": 1, "basket": None}
    changes = [{"op": op, "before": row, "after": row} for op in "cur"]
    others = [{"op": "d", "before": row, "after": None}, {"op": "t"}, {"after": row}, {"op": "c", "after": None}]
    told = [{"schema": {}, "payload": change} if form == "connect" else change for change in (*changes, *others)]
    values = [*(json.dumps(change).encode() for change in told), None]
    found = shop.codec(tmp_path / "a", form).decode(values)
    assert found.rows.tolist() == [0, 1, 2]
    assert [bad.reason for bad in found.bad] == ["deleted", "malformed", "malformed", "malformed", "null_value"]
    assert [bad.row for bad in found.bad] == [3, 4, 5, 6, 7]
    skips = shop.codec(tmp_path / "b", form, **{"format: json": "format: json, deletes: skip"})
    found = skips.decode(values)
    assert ([bad.row for bad in found.bad], found.skipped) == ([4, 5, 6], {"deleted": 2})


TIMES = {
    "iso": ('{"type": "string"}', '"2024-06-01T12:00:00.1239+02:00"', "2024-06-01T10:00:00.123"),
    "seconds": ('{"type": "integer"}', "1717236000", "2024-06-01T10:00:00.000"),
    "{unit: seconds}": ('{"type": "number"}', "1717236000.1236", "2024-06-01T10:00:00.124"),
    "micros": ('{"type": "integer"}', "1717236000123999", "2024-06-01T10:00:00.123"),
    "nanos": ('{"type": "integer"}', "1717236000123999999", "2024-06-01T10:00:00.123"),
    "millis": ('{"type": "integer"}', "-1", "1969-12-31T23:59:59.999"),
    "days": ('{"type": "integer"}', "19875", "2024-06-01T00:00:00.000"),
    "{unit: iso, zone: Europe/Paris}": ('{"type": "string"}', '"2024-06-01 12:00"', "2024-06-01T10:00:00.000"),
    "{unit: iso, zone: Europe/Paris, ambiguous: latest}": (
        '{"type": "string"}', '"2024-10-27T02:30"', "2024-10-27T01:30:00.000",
    ),
    "{unit: iso, zone: Europe/Paris, ambiguous: earliest}": (
        '{"type": "string"}', '"2024-10-27T02:30"', "2024-10-27T00:30:00.000",
    ),
    "{unit: millis, zone: Asia/Kolkata}": ('{"type": "integer"}', "1717236000000", "2024-06-01T04:30:00.000"),
}  # fmt: skip  # one table
NO_TIMES = {
    "iso": ('{"type": "string"}', ['"2024-06-01T12:00:00"', '"2024-13-01T00:00Z"', '"2023-02-29"', '"now"', '""']),
    "seconds": ('{"type": "integer"}', ["1717236000000000", "-99999999999999"]),
    "millis": ('{"type": "integer"}', ["1717236000000000000"]),
    "{unit: iso, zone: Europe/Paris}": ('{"type": "string"}', ['"2024-10-27T02:30"', '"2024-03-31T02:30"']),
}


def timed(directory: Path, form: str, kind: str) -> object:
    """The codec of clicks whose time is told in a form."""
    schema = {**shop.JSON, "properties": {**shop.JSON["properties"], "at": json.loads(kind)}}
    changes = {"times: {at: micros}": f"times: {{at: {form}}}"}
    return shop.contracts(directory, "json", {"json": schema}, **changes).channel("events-feed").codec


def click(time: str) -> bytes:
    """A click at a time."""
    return f'{{"id":"x","at":{time},"visitor":1,"basket":null}}'.encode()


@pytest.mark.parametrize("form", TIMES)
def test_times_are_read_as_they_are_declared(tmp_path: Path, form: str) -> None:
    """Whatever the unit and the zone; what is below a millisecond is cut off, of a floating-point number rounded."""
    kind, written, wanted = TIMES[form]
    found = timed(tmp_path, form, kind).decode([click(written)])  # type: ignore[attr-defined]
    assert found.bad == []
    assert found.columns.column("at")[0].as_py().isoformat(timespec="milliseconds").removesuffix("+00:00") == wanted


@pytest.mark.parametrize("form", NO_TIMES)
def test_what_is_no_time_is_refused_alone(tmp_path: Path, form: str) -> None:
    """Without a zone, in another unit, of no calendar, or of an hour that comes twice or never: with the remedy."""
    kind, wrong = NO_TIMES[form]
    good = {"iso": '"2024-06-01T12:00:00Z"'}.get(form, '"2024-06-01T12:00"' if "iso" in form else "1717236000")
    found = timed(tmp_path, form, kind).decode([click(each) for each in (*wrong, good)])  # type: ignore[attr-defined]
    assert found.rows.tolist() == [len(wrong)]
    assert all(bad.reason == "malformed" and "`at` is" in bad.detail for bad in found.bad)
