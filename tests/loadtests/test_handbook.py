"""The table of the Handbook: how figures stand beside published ones, and that a rehearsal goes all the way."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtests.campaign import FIRST, Played, weeks
from loadtests.entrants import Entry
from loadtests.handbook import CHAMPION, entered
from loadtests.protocol import AS_OF, CONTENDERS, DAY, DAYS, START, TESTED, TRAINED, Figures, judged
from loadtests.standing import Result, results
from loadtests.standing_page import page
from loadtests.stream import DATA
from tests.members import ROOT

MACHINE = {
    "date": "2026-11-21T00:00:00", "cores": 2, "processor": "p", "memory_gib": 4.0, "system": "s", "python": "3.11",
    "libraries": {"numpy": "2"}, "load_before": [1.0, 2.0, 3.0],
}  # fmt: skip  # as bench.machine says it
SECONDS = dict.fromkeys(("history", "training", "plan", "test", "outcomes", "cards"), 2.0)
EVENTS = {"history": 400, "test": 1_000, "scores": 2_000}


@pytest.fixture
def entries() -> list[Entry]:
    """Two models: a forest with two seeds."""
    return [Entry(CONTENDERS[3], seed) for seed in range(2)]


@pytest.fixture
def played(entries: list[Entry]) -> Played:
    """A made-up week of a thousand events."""
    draw = np.random.default_rng(1)
    times = np.sort(draw.integers(*TESTED, 1_000))
    fraud = (draw.random(1_000) < 0.1).astype(np.int64)
    return Played(
        times=times,
        customers=draw.integers(0, 300, 1_000),
        fraud=fraud,
        scores={entry.version: fraud * 0.3 + draw.random(1_000) * 0.7 for entry in entries},
        champion="random-forest-0",
        trained=(67_240, 598),
        outcomes={"labelled": 990, "presumed": 10},
        outcome_labels_differ=0,
        cards={TESTED[0]: {"auc_roc": 0.5, "average_precision": 0.1}},
        events=EVENTS,
        seconds=SECONDS,
    )


def test_within_the_spread() -> None:
    """A published figure is within when it lies between the least and the most over seeds, to its last digit."""
    forest = replace(CONTENDERS[3], published=Figures(0.867, 0.658, 0.287))
    found = Result(forest, (Figures(0.8676, 0.64, 0.28), Figures(0.88, 0.6576, 0.29)))
    assert found.within == (False, True, True)
    assert Result(replace(forest, published=None), found.reached).within == (True, True, True)


def test_each_seed_is_judged_by_its_own_scores(played: Played, entries: list[Entry]) -> None:
    """The spread of a contender is that of its seeds, as the protocol judges them."""
    (found,) = results(played, entries)
    wanted = [judged(played.times, played.customers, played.scores[e.version], played.fraud, e.seed) for e in entries]
    assert found.reached == tuple(wanted)
    least, mean, most = found.spread
    assert (least[:2] < mean[:2]).all()
    assert (mean[:2] < most[:2]).all()


def test_page(played: Played, entries: list[Entry]) -> None:
    """The page has a line for each figure, says plainly what is outside, and how the week's outcomes stand."""
    text = page(results(played, entries), played, MACHINE)
    assert text.count("\n| ") == 1 + 3 + 1 + 1 + 1 + 6, "three headings, three figures, a day, six steps"
    assert "**Outside of the spread: " in text
    assert "990 labelled, 10 presumed, 0 of them with another label" in text
    assert "rehearsal" not in text
    assert "**A rehearsal on one of 20 customers" in page(results(played, entries), played, MACHINE, 20)
    assert max(map(len, text.splitlines())) <= 120


def test_who_takes_part() -> None:
    """Contenders with nothing random in them take part once, the others with as many seeds as asked for."""
    versions = [entry.version for entry in entered(3)]
    assert len(versions) == len(set(versions)) == 3 * 3 + 3
    assert "decision-tree-of-depth-2-2" in versions
    assert CHAMPION in {entry.contender.title for entry in entered(1)}
    assert len(entered(10)) == 33


def test_weeks() -> None:
    """Events and labels are cut by what was known when; a label is known a week after its event."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not on this machine ({DATA})")
    given = weeks(sample=50)
    assert (given.events["customer_id"].to_numpy() % 50 == 0).all()
    assert FIRST <= given.times[0] < FIRST + DAY
    assert given.count(FIRST, TESTED[1]) == given.events.num_rows == given.labels.num_rows
    assert given.labels_of(FIRST, AS_OF).num_rows == given.count(FIRST, TRAINED[1]), "of the training week, to its end"
    assert given.events_of(START, AS_OF).num_rows == given.count(START, AS_OF)


@pytest.mark.rehearsal
def test_a_rehearsal_goes_all_the_way(kafka: str, tmp_path: Path) -> None:
    """Few customers and one seed go through the running system, and a page and figures of all models come out."""
    assert kafka  # Skips, or fails in CI, where no broker can be had; the load test starts one of its own.
    if not DATA.is_dir():
        pytest.skip(f"the real data is not on this machine ({DATA})")
    paths = ["--page", str(tmp_path / "page.md"), "--json", str(tmp_path / "figures.json")]
    command = [sys.executable, "-m", "loadtests.handbook", "--seeds", "1", "--sample", "20", *paths]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850)
    told = ran.stdout[-2000:] + ran.stderr[-4000:]
    assert ran.returncode == 1, "so few customers cannot reach the figures\n" + told
    assert (tmp_path / "figures.json").exists(), told  # a traceback ends with 1 as well
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [each["contender"]["title"] for each in figures["results"]] == [each.title for each in CONTENDERS]
    assert figures["outcomes"] == {"labelled": figures["events"]["test"]}
    assert len(figures["cards"]) == DAYS
    text = (tmp_path / "page.md").read_text()
    assert "0 of them with another label" in text
