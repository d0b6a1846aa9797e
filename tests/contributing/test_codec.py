"""The page that adds a codec: a file and an entry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.contributing.page import files
from tests.contributing.tree import Tree

FILES = files("codec")
FILE, ENTRIES = "headrace/streaming/records/arrow_codec.py", "headrace/streaming/kafka/bindings.py"
IMPORT = "from headrace.streaming.records.arrow_codec import ArrowCodec\n"

USED = """
import pyarrow as pa

from headrace.domain.pipeline.wiring import read_contracts
from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import CODECS
from headrace.streaming.process.settings import Settings

contracts = read_contracts(Settings(pipeline="card_fraud"))
schema = contracts.channel("labels").codec.reader
codec = CODECS["arrow"]("labels-value", schema, contracts.ids, 10_000)
given = (("a", -0.0), ("ü", 1e-300))
labels = [{"event_id": name, "value": value, "label_time": 2**52, "source": ""} for name, value in given]
rows = pa.RecordBatch.from_pylist(labels, schema=schema.arrow)
values = codec.encode(rows)
again = codec.decode(values)
assert again.columns.equals(rows) and again.rows.tolist() == [0, 1] and not again.bad
assert codec.encode(again.columns) == values
json = CODECS["json"]("labels-value", schema, contracts.ids, 99).encode(rows)[0]
mixed = codec.decode([None, values[1], b"", values[0][:-20], b"x" * 10_001, json])
assert mixed.columns.equals(rows.slice(1, 1)) and mixed.rows.tolist() == [1]
print(*(f"{each.row}:{each.reason}" for each in mixed.bad))
try:
    codec.encode(rows.select(["event_id"]))
except ContractError as error:
    print("refused")
"""


def test_a_codec_is_a_file_and_an_entry(tmp_path: Path) -> None:
    """It is chosen by its name, exact both ways, and judges each record by itself."""
    tree = Tree(tmp_path / "tree")
    tree.add(FILE, FILES[FILE])
    tree.enter(ENTRIES, "from headrace.streaming.records.avro_codec import AvroCodec\n", IMPORT)
    tree.enter(ENTRIES, "CODECS: Mapping[str, Callable[[str, Schema, SchemaIds, int], Codec]] = {\n", FILES[ENTRIES])
    env = {**os.environ, "PYTHONPATH": str(tree.directory), "PYTHONSAFEPATH": "1"}
    ran = subprocess.run([sys.executable, "-c", USED], cwd=tree.directory, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    assert ran.stdout.split("\n")[:2] == ["0:tombstone 2:malformed 3:malformed 4:oversize 5:malformed", "refused"]
