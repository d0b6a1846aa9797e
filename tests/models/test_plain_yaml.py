"""A description of a model that a stranger wrote is read within bounds, or refused in words of ours."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.models import plain_yaml
from headrace.domain.models.package import MANIFEST, Manifest, load, pack, parse, save
from headrace.domain.models.store import ModelStore
from headrace.errors import ContractError
from tests.models import graphs

BOMB = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)
)
GOOD = b"name: m\nversion: '1'\ninputs: [{name: amount}, {name: customer.nb_tx_1d}]\n"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "an alias bomb": (BOMB, "line 1: anchors and aliases are not read"),
    "a loop of aliases": (b"a: &a [*a]", "anchors and aliases"),
    "a merged alias": (b"parameters: {<<: *a}", "anchors and aliases"),
    "5,000 digits": (GOOD + b"threshold: " + b"1" * 5000, "line 4: a number of 5,000 digits"),
    "5,000 digits after the point": (GOOD + b"threshold: 0." + b"1" * 5000, "a number of 5,002 digits"),
    "open brackets": (b"[" * 100_000, "more than 16 deep"),
    "closed brackets": (b"name: " + b"[" * 9_000 + b"]" * 9_000, "more than 16 deep"),
    "open braces": (b"{" * 100_000, "more than 16 deep"),
    "deep indentation": (b"".join(b" " * depth + b"a:\n" for depth in range(500)), "more than 16 deep"),
    "dashes": (b"- " * 50_000, "more than 16 deep"),
    "question marks": (b"? " * 50_000, "more than 16 deep"),
    "many values": (b"[" + b"x," * 600_000 + b"]", "more than 250,000 values"),
    "a very long file": (b"#" * (5 << 20), "bytes; 4,194,304 are allowed"),
    "the year 0": (GOOD + b"training: {start: 0000-01-01}", "training.start"),
    "a year that no date has": (GOOD + b"training: {end: 999999999999999999}", "training.end"),
    "a training that ends before it begins": (GOOD + b"training: {start: 5, end: 4}", "older than the first"),
    "an object": (b"!!python/object/apply:os.system [ls]", "object/apply:os.system is not read"),
    "a set": (b"name: !!set {a, b}", "!!set is not read"),
    "bytes": (b"name: !!binary aGk=", "!!binary is not read"),
    "a tag that lies, map": (b"!!map x", "a mapping is expected"),
    "a tag that lies, seq": (b"name: !!seq x", "a list is expected"),
    "a tag that lies, int": (b"name: !!int x", "two ways"),
    "a tag that lies, float": (b"name: !!float x", "no number"),
    "a tag that lies, bool": (b"name: !!bool x", "neither true nor false"),
    "a tag that lies, null": (b"name: !!null {}", "single value"),
    "a tag of its own": (b"name: !mine x", "!mine is not read"),
    "an octal number": (GOOD + b"threshold: 010", "010 may be read in two ways"),
    "minutes": (GOOD + b"threshold: 1:30", "two ways"),
    "a name twice": (GOOD + b"name: n", "line 4: name stands there twice"),
    "a list for a name": (b"? [a]\n: b", "cannot be a name"),
    "two documents": (GOOD + b"---\n" + GOOD, "another document"),
    "half a surrogate": (b'name: "\\ud800"', "not plain YAML"),
    "orders for a terminal": (GOOD + b'revision: "\\x1b[2J"', "cannot be shown"),
    "a nul": (b"name: \x00", "not YAML"),
    "UTF-16": ("name: m".encode("utf-16"), "not UTF-8"),
    "bytes that are no text": (b"\xff\xfe\xfd", "not UTF-8"),
    "nothing": (b"", "model.yaml: Input should be a valid dictionary"),
    "a list": (b"[1, 2]", "valid dictionary"),
    "a number for a version": (
        GOOD.replace(b"'1'", b"1"),
        "version: .*; write a text that looks like a number in quotes",
    ),
    "a name as long as a path": (GOOD.replace(b"name: m", b"name: " + b"m" * 500), "at most 100"),
    "thousands of faults": (b"inputs: [" + b"7," * 9_000 + b"]", "and 8,99[0-9] more faults"),
    "a metric that is none": (GOOD + b"metrics: {auc_roc: .nan}", "metrics.auc_roc"),
    "a profile without end": (GOOD + b"reference: {amount: [.inf]}", "reference.amount.0"),
    "a negative offset": (GOOD + b"training: {offsets: {t: {0: [-1, 2]}}}", "offsets"),
}


@pytest.mark.parametrize(("text", "because"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_descriptions(text: bytes, because: str, tmp_path: Path) -> None:
    """Whatever a file holds, it is refused soon, in a sentence, wherever it is read."""
    begin = time.process_time()
    with pytest.raises(ContractError, match=because) as refused:
        parse(text, "folder")
    assert time.process_time() - begin < 10
    assert len(str(refused.value)) < 2_500
    assert str(refused.value).isprintable()
    save(graphs.package(), tmp_path)
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(ContractError):
        load(tmp_path)


def test_a_store_does_not_read_what_is_too_long(tmp_path: Path) -> None:
    """A list of packages is not held up by a description that somebody made endless."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    uri = store.put(graphs.package())
    (Path(uri.removeprefix("file://")) / MANIFEST).write_bytes(b"#" * (plain_yaml.LARGEST + 1))
    (stored,) = store.packages()
    with pytest.raises(ContractError, match="are allowed"):
        store.manifest(stored)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from([*Manifest.model_fields, "other"]), PLAIN), st.booleans())
@settings(max_examples=300, deadline=None)
def test_values_of_any_type(said: dict[str, Any], sound: bool) -> None:
    """A description with values of any type in any place is one, or is refused with what is wrong."""
    whole = {**yaml.safe_load(GOOD), **said} if sound else said
    with suppress(ContractError):
        parse(yaml.safe_dump(whole, allow_unicode=True).encode(), "folder")


@given(st.binary(max_size=30), st.integers(0, len(GOOD)), st.integers(0, 8))
@settings(max_examples=500, deadline=None)
def test_bytes_of_any_kind(piece: bytes, place: int, gone: int) -> None:
    """A description with any bytes in any place is one, or is refused."""
    with suppress(ContractError):
        parse(GOOD[:place] + piece + GOOD[place + gone :], "folder")


@given(st.text(alphabet=st.sampled_from("[]{}:,-?&*!|>'\"%@`#= \n\tab01.~<")))
@settings(max_examples=500, deadline=None)
def test_signs_of_the_language(text: str) -> None:
    """Signs that mean something in YAML, in any order, are plain data or a refusal."""
    with suppress(ContractError):
        plain_yaml.read(text.encode(), "text")


def test_what_is_written_is_read() -> None:
    """A package of ours reads back as it was, with a profile of every input, in little time."""
    names = [f"v.f{place}" for place in range(500)]
    profile = {name: tuple(place / 7 for place in range(41)) for name in names}
    made = pack(
        graphs.manifest(names, reference=profile, revision="2020-01-01", parameters={"a": [1, {"b": None}]}), b""
    )
    assert parse(made.text, "folder") == made.manifest
