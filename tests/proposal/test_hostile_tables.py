"""Files with any names and values: what is proposed passes `check`, and takes its own file."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.domain.pipeline.check import check, load
from headrace.errors import ConfigurationError
from headrace.operations.proposal.initialisation import initialise
from headrace.operations.proposal.sample import sample_file
from headrace.operations.tables import event_table as tables
from headrace.operations.topics.schema_ids import check_schemas
from headrace.streaming.contracts.schemas import load_schema

LABEL = Path(__file__).parents[2] / "schemas" / "label.avsc"
NAMES = (
    "id", "Id", "event", "event_id", "entity", "event_time", "score", "label", "target", "class", "hour", "month",
    "null", "and", "in", "where", "user id", "User-ID", "päivä", "日付", "1st", "a.b", "a b", "x: y", "# hash",
    "'q'", '"dq"', "- dash", "{brace}", "[br]", "&a", "*b", "!t", "%p", "@at", "`t`", "true", "no", "amount", "ts",
    "time", "created_at", "date", "prediction", "y", "customer_age", "customer_id", "clock", "min", "log",
    "  pad ", "tab\tname", "_", "type",
)  # fmt: skip  # one list
WORDS = ("a", "c: d", "e#f", "no", "1", '"q"', "it's", "x\\y", " lead", "", "ü")


def cell(kind: str, row: int, at: int, draw: random.Random) -> Any:
    """A value of a column of some kind."""
    moment = datetime.fromtimestamp(at, UTC)
    return {
        "number": lambda: row,
        "whole": lambda: draw.randrange(-5, 9),
        "float": lambda: draw.gauss(0, 10) ** 3,
        "word": lambda: draw.choice(WORDS),
        "pair": lambda: draw.choice(["UP", "DOWN"]),
        "hexadecimal": lambda: f"{draw.getrandbits(64):x}",
        "local": lambda: f"{moment:%Y-%m-%d %H:%M:%S}",
        "zoned": lambda: f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": lambda: at,
        "millis": lambda: at * 1000,
        "date": lambda: f"{moment:%Y-%m-%d}",
        "european": lambda: f"{moment:%d/%m/%Y}",
        "binary": lambda: draw.randrange(2),
        "two": lambda: draw.randrange(1, 3),
        "yes": lambda: draw.choice(["yes", "no"]),
        "empty": lambda: "",
        "constant": lambda: 7,
        "text": lambda: "lorem " * draw.randrange(1, 30),
        "comma": lambda: f"{draw.random() * 1000:.2f}".replace(".", ","),
        "zeros": lambda: f"{row:07d}",
        "year": lambda: draw.randrange(2000, 2020),
        "mixed": lambda: draw.choice(["1", "x", "2.5", ""]),
        "missing": lambda: draw.choice(["", "NA", "3"]),
        "large": lambda: 10**20 + row,
    }[kind]()


KINDS = (
    "number", "whole", "float", "word", "pair", "hexadecimal", "local", "zoned", "seconds", "millis", "date",
    "european", "binary", "two", "yes", "empty", "constant", "text", "comma", "zeros", "year", "mixed", "missing",
    "large",
)  # fmt: skip  # one list


def written(path: Path, seed: int) -> None:
    """A file of strange names and values."""
    draw = random.Random(seed)
    rows, names = draw.choice([2, 3, 10, 60, 300]), draw.sample(NAMES, draw.randrange(1, 14))
    kinds = [draw.choice(KINDS) for _ in names]
    at = draw.randrange(10**9, 17 * 10**8)
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, delimiter=draw.choice(",;\t|"))
        lines.writerow(names)
        for row in range(rows):
            at += draw.randrange(5_000)
            blank = ["" if draw.random() < 0.01 else None for _ in names]
            lines.writerow(
                [cell(kind, row, at, draw) if no is None else no for kind, no in zip(kinds, blank, strict=True)]
            )


@pytest.mark.parametrize("seeds", [range(low, low + 25) for low in range(0, 100, 25)], ids=lambda seeds: f"{seeds[0]}-")
def test_what_is_proposed_of_any_file_can_be_used(tmp_path: Path, seeds: range) -> None:
    """It passes `check` and `schemas check`, and all rows are events of it, unless they have no time."""
    proposed = published = 0
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        written(folder / "file.csv", seed)
        try:
            sample = sample_file(folder / "file.csv", 1_000)
        except ConfigurationError:
            continue  # no CSV at all, such as one with a name twice once blanks are taken off
        made = initialise("found", sample, folder, "headrace init")
        path = Path(made.file)
        assert check(path) == [], seed
        assert check_schemas(made.file, folder / "schemas", None).problems == [], seed
        proposed += 1
        if made.undated:
            continue
        pipeline, file = load(path), tables.read_table(folder / "file.csv")
        schema = load_schema(folder / "schemas" / "found_event.avsc").arrow
        assert tables.events(file, pipeline, schema, {}).columns.num_rows == sample.rows, seed
        if made.labels:
            tables.labels(file, pipeline, load_schema(LABEL).arrow, {}, "file")
        published += 1
    assert proposed > len(seeds) / 2
    assert published > len(seeds) / 4
