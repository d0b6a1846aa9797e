"""Pipeline files that somebody made to hang or break the checker, and files that merely are large."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import check
from headrace.domain.pipeline.document import LARGEST, MOST

CARD = (Path(__file__).parents[2] / "pipelines" / "card_fraud.yaml").read_text()
SOON_S = 10.0
"""Of CPU time; the slowest takes one, and what grows with the square of the file took twenty and more."""


def many(head: str, line: str, tail: str = "") -> str:
    """As many numbered lines as a file may have."""
    room = LARGEST - len(head) - len(tail)
    width = len(line.replace("#", "00000"))
    return head + "".join(line.replace("#", str(number)) for number in range(room // width)) + tail


def listed(before: str, item: str) -> str:
    """The card pipeline with the list behind `before` as long as a file may be."""
    head, _, tail = CARD.partition(before)
    return many(head + before + "[", item, "0]" + tail.partition("]")[2])


HOSTILE = {
    "unknown sections": many(CARD, "k#: {a: 1}\n"),
    "one key again and again": many(CARD, "a: #\n"),
    "a long list": many(CARD + "x: [", "#, ", "1]\n"),
    "brackets": "[" * LARGEST,
    "braces": "{" * LARGEST,
    "dashes": "- " * (LARGEST // 2),
    "lines of dashes": "-\n" * (LARGEST // 2),
    "question marks": "? " * (LARGEST // 2),
    "lists as keys": many("", "? [a]\n: #\n"),
    "an alias bomb": "a: &a [x, x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(30)),
    "aliases": "a: &a 1\nb: [" + "*a, " * (LARGEST // 5) + "*a]\n",
    "anchors": many("", "k#: &a# 1\n"),
    "tags": many("", "k#: !!python/object/apply:os.system [x]\n"),
    "tabs": many("", "\ta: #\n"),
    "documents": many("", "---\na: #\n"),
    "an integer of 5,000 digits": CARD + "x: " + "9" * 5_000,
    "the longest integer": CARD + "x: " + "9" * (LARGEST - len(CARD) - 10),
    "a long hexadecimal": CARD.replace("threshold: 0.5", "threshold: 0x" + "f" * 200_000),
    "sixties": CARD.replace("threshold: 0.5", "threshold: 1" + ":1" * 100_000),
    "many digits": CARD.replace("threshold: 0.5", "threshold: 0." + "9" * 200_000),
    "eights": CARD.replace("minimum: 10000", "minimum: 010000"),
    "a long name": CARD.replace("pipeline: card_fraud", "pipeline: " + "a" * 200_000),
    "a deep expression": CARD.replace("weekday >= 5", "(" * 90_000 + "weekday" + ")" * 90_000 + " >= 5"),
    "a long expression": CARD.replace("weekday >= 5", "weekday" + " + 1" * 50_000 + " >= 5"),
    "windows": listed("windows: ", "#d, "),
    "unknown inputs": listed("inputs: ", "nb_#, "),
    "inputs of a view": listed("inputs: ", "customer.x_#d, "),
    "cuts": listed("cuts: ", "#, "),
    "triggers": listed("on: ", "t#, "),
    "features times windows": CARD.replace(
        "{nb_tx: count, avg_amount: mean(amount)}", "{" + ", ".join(f"f{n}: count" for n in range(7_000)) + "}"
    ).replace("[1d, 7d, 30d]", "[" + ", ".join(f"{n}h" for n in range(1, 9_000)) + "]", 1),
    "unreadable": "a: \x00b\n",
    "half a surrogate": 'a: "\\ud800"\n',
    "nothing": "",
    "spaces": " " * LARGEST,
    "exclamation marks": "!" * LARGEST,
    "quotes": '"' * LARGEST,
    "too large": "# x\n" * (LARGEST // 2) + CARD,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_soon(name: str, tmp_path: Path) -> None:
    """Each is refused with a line and a remedy that a person can read, in time that does not grow with its square."""
    path = tmp_path / "hostile.yaml"
    path.write_bytes(HOSTILE[name].encode())
    begun = time.process_time()
    found = check(path)
    assert time.process_time() - begun < SOON_S
    assert 0 < len(found) <= MOST + 1
    assert all(problem.line >= 1 and problem.remedy for problem in found)
    assert max(len(str(problem)) for problem in found) < 2_000


@pytest.mark.parametrize("name", ["windows", "cuts"])
def test_a_long_list_of_right_values_is_only_long(name: str) -> None:
    """What the lists of the hostile files are refused for is their last entry, not their length."""
    assert HOSTILE[name].count(",") > 10_000


def test_a_large_file_without_mistakes_is_good(tmp_path: Path) -> None:
    """A thousand views over four thousand columns are read in seconds."""
    views = "".join(
        f"  of_{n}:\n    key: terminal_id\n    windows: [1d, 7d]\n    features: {{n: count, sum: sum(amount)}}\n"
        for n in range(1_000)
    )
    path = tmp_path / "large.yaml"
    path.write_text(CARD.replace("\nmodel:", f"{views}\nmodel:", 1))
    begun = time.process_time()
    assert check(path) == []
    assert time.process_time() - begun < SOON_S


def test_the_first_mistakes_are_told_and_that_there_are_more(tmp_path: Path) -> None:
    """Of a file with thousands of mistakes the first are told, and that the rest was not looked at."""
    path = tmp_path / "wrong.yaml"
    path.write_text(HOSTILE["unknown sections"])
    found = check(path)
    assert len(found) == MOST + 1
    assert found[-1].message.endswith("the rest of the file was not looked at")


@pytest.mark.parametrize(
    ("written", "message"),
    [("010", "counts in eights"), ("1:30", "should be a number, not a text"), ("9" * 60, "a number of 60 characters")],
)
def test_numbers_are_what_is_written_or_refused(written: str, message: str, tmp_path: Path) -> None:
    """YAML 1.1 reads 010 as 8 and 1:30 as 90: neither is what a person wrote."""
    path = tmp_path / "number.yaml"
    path.write_text(CARD.replace("minimum: 10000", f"minimum: {written}"))
    (found,) = check(path)
    assert message in found.message
    assert CARD.splitlines()[found.line - 1].strip() == "minimum: 10000"
