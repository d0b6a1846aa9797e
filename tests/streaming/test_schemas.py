"""Schemas, their pins, their examples, and the command that holds them together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.cli.pipeline.schemas import app
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.topics.schema_ids import pin
from headrace.streaming.contracts.examples import sweep
from headrace.streaming.contracts.schemas import PinnedIds, Schema, breaks, load_schema, read_pins, undocumented, unsafe

SCHEMAS = Path(__file__).parents[2] / "schemas"


def record(*kinds: Any, name: str = "thing", **more: Any) -> dict[str, Any]:
    """A record of fields f0, f1, ... of these types; a dict with a `default` or a `doc` is a whole field."""
    whole = {"default", "doc"}
    listed = [
        kind if isinstance(kind, dict) and whole & kind.keys() and "name" in kind and "symbols" not in kind
        else {"name": f"f{i}", "type": kind}
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    return {"type": "record", "name": name, "namespace": "headrace", "fields": listed, **more}


LOOP = {"type": "record", "name": "node", "fields": [{"name": "next", "type": ["null", "node"]}]}
WIDE = {"type": "record", "name": "wide", "fields": [{"name": f"f{i}", "type": "long"} for i in range(40)]}


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (LOOP, "contains itself"),
        ({"type": "array", "items": "null"}, "takes no bytes"),
        ({"type": "map", "values": "null"}, "takes no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "e", "fields": []}}, "takes no bytes"),
        ("null", "takes no bytes"),
        ({"type": "array", "items": ["null", WIDE]}, "could claim"),
        (["int", "string"], "null and one other"),
        (["null", "int", "string"], "null and one other"),
        ({"type": "fixed", "name": "f", "size": 4}, "not supported"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "not supported"),
        ({"type": "int", "logicalType": "timestamp-millis"}, "not supported"),
        ({"type": "enum", "name": "k", "symbols": []}, "symbols"),
        ({"type": "enum", "name": "k", "symbols": ["a", "a"]}, "differ"),
        ({"type": "enum", "name": "k", "symbols": ["a"], "default": "b"}, "none of its symbols"),
        ("elsewhere", "unknown type"),
        ({"type": "array"}, "unknown type `array`"),
        (7, "not an Avro type"),
    ],
)
def test_what_could_be_abused_is_refused(kind: Any, complaint: str) -> None:
    """A schema that a small hostile payload could abuse, or that we cannot read, is refused with the place and why."""
    [problem] = unsafe(record(kind))
    assert complaint in problem
    assert "thing.f0" in problem
    with pytest.raises(ContractError, match="thing"):
        load_schema(record(kind))


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Every problem of a schema is listed, not only the first."""
    assert len(unsafe(record("null", "nowhere", {"name": "x", "type": "long", "default": "a"}))) == 3


def test_a_schema_may_not_multiply_itself() -> None:
    """A few lines that spell billions of fields by using named types over and over are refused, quickly."""
    definition: Any = {"type": "record", "name": "r0", "fields": [{"name": "x", "type": "long"}]}
    for level in range(1, 30):
        fields = [{"name": "a", "type": definition}, *({"name": f"b{i}", "type": f"r{level - 1}"} for i in range(9))]
        definition = {"type": "record", "name": f"r{level}", "fields": fields}
    assert any("spells more than" in problem for problem in unsafe(definition))


def test_documentation_makes_no_new_version() -> None:
    """Two schemas that differ in documentation alone are equal; a default or a logical type makes another."""
    bare, told = load_schema(record("long")), load_schema(record({"name": "f0", "type": "long", "doc": "d"}, doc="d"))
    assert bare == told
    assert bare.fingerprint == told.fingerprint
    assert bare != load_schema(record({"name": "f0", "type": "long", "default": 0}))
    assert bare != load_schema(record({"type": "long", "logicalType": "timestamp-millis"}))
    assert undocumented(bare) == ["thing", "thing.f0"]
    assert undocumented(told) == []


def test_a_missing_or_broken_file_is_a_mistake_of_the_person() -> None:
    """A path that is not there is named."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.avsc is not there"):
        load_schema("nowhere.avsc")


def test_ids_are_given_once_and_for_all(tmp_path: Path) -> None:
    """Pinning is deterministic and only ever adds: old versions keep their ids and stay readable."""
    path = tmp_path / "ids.json"
    first, other = load_schema(record("long")), load_schema(record("string", name="other"))
    assert pin(path, {"b-value": first, "a-value": other}) == ({"a-value": 1, "b-value": 2}, ["a-value", "b-value"])
    text = path.read_text()
    assert pin(path, {"a-value": other, "b-value": first}) == ({"a-value": 1, "b-value": 2}, [])
    assert path.read_text() == text
    second = load_schema(record("long", {"name": "new", "type": "int", "default": 0}))
    assert pin(path, {"b-value": second, "c-value": other})[0] == {"b-value": 3, "c-value": 1}
    ids = PinnedIds(path)
    assert dict(ids.writers("b-value")) == {2: first, 3: second}
    assert (ids.id_of("b-value", second), ids.id_of("c-value", other)) == (3, 1)
    assert dict(ids.writers("nobody")) == {}
    with pytest.raises(ContractError, match="headrace schemas register PIPELINE"):
        ids.id_of("b-value", other)


def test_a_version_that_cannot_read_its_elders_is_not_pinned(tmp_path: Path) -> None:
    """A new field without a default, a narrower type or a field no longer nullable is refused; nothing is written."""
    path = tmp_path / "ids.json"
    pin(path, {"s": load_schema(record("long", ["null", "string"]))})
    text = path.read_text()
    for worse in (
        record("long", ["null", "string"], "int"),
        record("int", ["null", "string"]),
        record("long", "string"),
    ):
        with pytest.raises(ContractError, match="cannot read id 1 of s"):
            pin(path, {"s": load_schema(worse)})
    assert path.read_text() == text


def test_an_edited_pin_is_found(tmp_path: Path) -> None:
    """A pinned schema that was changed by hand, or an id that stands for two, is a broken contract."""
    path = tmp_path / "ids.json"
    pin(path, {"s": load_schema(record("long")), "t": load_schema(record("string"))})
    pins = json.loads(path.read_text())
    edited = json.loads(path.read_text())
    edited["s"][0]["schema"]["fields"][0]["type"] = "double"
    path.write_text(json.dumps(edited))
    with pytest.raises(ContractError, match="was edited"):
        read_pins(path)
    pins["s"][0]["id"] = pins["t"][0]["id"]
    path.write_text(json.dumps(pins))
    with pytest.raises(ContractError, match="stands for two schemas"):
        read_pins(path)


def test_our_schemas_and_examples_hold() -> None:
    """Every schema is safe and documented, its good examples survive both Avro libraries, its bad ones are refused."""
    assert sweep(SCHEMAS) == []
    files = {path.stem: load_schema(path) for path in SCHEMAS.glob("*.avsc")}
    assert breaks(read_pins(SCHEMAS / "ids.json"), files) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of our schemas, to be spoiled."""
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


def test_a_seeded_fault_is_found(copy: Path) -> None:
    """The sweep fails for each kind of bad file that is put in: it does look."""
    label = {"event_id": "1", "value": 1.0, "label_time": 0, "source": ""}
    faults: dict[str, tuple[str, Any]] = {
        "examples/good/label/seeded.json": ("`value` is missing", {"event_id": "1", "label_time": 0, "source": ""}),
        "examples/bad/label/seeded.json": ("is accepted", {"json": label, "why": "it is fine"}),
        "examples/bad/label/bytes.json": ("is accepted", {"hex": "0231" + "00" * 8 + "0000", "why": "it is fine"}),
        "examples/bad/label/shape.json": ("is not {", {"bytes": "00"}),
        "examples/good/stranger/seeded.json": ("there is no stranger.avsc", {}),
        "lonely.avsc": ("no good example", record({"name": "x", "type": "long", "doc": "d"}, name="lonely", doc="d")),
        "silent.avsc": ("thing.f0 has no doc", record("long")),
        "unsafe.avsc": ("takes no bytes", record("null")),
    }
    for name, (complaint, content) in faults.items():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        found = sweep(copy)
        assert any(complaint in problem for problem in found), name
        path.unlink()
        if name.startswith("examples/good/stranger"):
            path.parent.rmdir()
    assert sweep(copy) == []


def test_the_command_says_what_is_wrong_and_ends_with_its_code(copy: Path) -> None:
    """`schemas check` ends with 0 when all is well, 1 with every problem on standard error when it is not."""
    run = CliRunner().invoke
    fine = run(app, ["check", "--schemas", str(copy), "--json"])
    assert fine.exit_code == 0, fine.output
    assert json.loads(fine.stdout)["problems"] == []
    (copy / "examples" / "good" / "label" / "seeded.json").write_text("{}")
    bad = run(app, ["check", "--schemas", str(copy)])
    assert bad.exit_code == 1
    assert "seeded.json: `event_id` is missing" in bad.stderr
    assert run(app, ["check", "no_such_pipeline"]).exit_code == 2


def test_a_pipeline_s_schemas_are_pinned_by_a_command(tmp_path: Path) -> None:
    """`schemas register PIPELINE` pins all its subjects, and a second time adds nothing."""
    path = tmp_path / "ids.json"
    run = CliRunner().invoke
    first = run(app, ["register", "card_fraud", "--pins", str(path), "--json"])
    assert first.exit_code == 0, first.output
    ids = json.loads(first.stdout)["ids"]
    assert "card_fraud.predictions-value" in ids
    again = run(app, ["register", "card_fraud", "--pins", str(path), "--json"])
    assert json.loads(again.stdout) == {"ids": ids, "added": []}
    known = PinnedIds(path)
    assert all(isinstance(schema, Schema) for subject in ids for schema in known.writers(subject).values())
    checked = run(app, ["check", "card_fraud", "--pins", str(path)])
    assert checked.exit_code == 0, checked.output
