"""Revisions as facts: who follows whom, and what a revision is held to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.revisions.former import exchange_views
from headrace.domain.revisions.revision import (
    ABANDONED,
    ANSWERING,
    BUILDING,
    SWITCHING,
    Revision,
    Revisions,
    definition_of,
    digest_of,
)
from headrace.errors import ConfigurationError, ContractError, HeadraceError
from headrace.operations.local.pipeline_file import refuse_silent
from headrace.operations.revision.changes import changes, refusals
from headrace.stores.online import MemoryStore
from headrace.streaming.task.service import Succession
from services.enrich.service import Enrich
from tests.sources import ROOT

FILE = Path(__file__).parents[1] / "pipeline" / "stranger" / "pipelines" / "bike_demand.yaml"
RIDER = "features: {trips: count, longest: max(minutes), shortest: min(minutes)}"


def known(*states: tuple[int, str, int]) -> Revisions:
    """What the topic says after records of (number, state, the one that it follows)."""
    found = Revisions("p")
    found.take(
        [Revision(number, state, follows, "d", "", 0, "who", "why").row("p") for number, state, follows in states]
    )
    return found


@pytest.mark.parametrize(
    ("states", "number", "wanted"),
    [
        ((), 1, Succession()),
        (((2, BUILDING, 1),), 1, Succession()),
        (((2, BUILDING, 1),), 2, Succession(follows="p.enrich")),
        (((2, SWITCHING, 1),), 1, Succession(ends_for="p.enrich.r2")),
        (((2, SWITCHING, 1),), 2, Succession(follows="p.enrich")),
        (((2, ANSWERING, 1),), 1, Succession(ends_for="p.enrich.r2")),
        (((2, ANSWERING, 1),), 2, Succession()),
        (((2, ANSWERING, 1), (3, BUILDING, 2)), 3, Succession(follows="p.enrich.r2")),
        (((2, ABANDONED, 1), (3, SWITCHING, 1)), 1, Succession(ends_for="p.enrich.r3")),
        (((2, ANSWERING, 1), (3, SWITCHING, 2)), 2, Succession(ends_for="p.enrich.r3")),
    ],
)
def test_who_follows_whom(states: tuple[tuple[int, str, int], ...], number: int, wanted: Succession) -> None:
    """One that is built follows the one whose place it takes, which ends once it is told to."""
    assert known(*states).succession(number, "d") == wanted


@pytest.mark.parametrize(
    ("states", "number", "digest", "says"),
    [
        ((), 2, "d", "was not announced"),
        (((2, ABANDONED, 1),), 2, "d", "was abandoned (why)"),
        (((2, BUILDING, 1),), 2, "another", "is not what was announced"),
        (((2, BUILDING, 1),), 3, "d", "was not announced"),
    ],
)
def test_a_revision_that_may_not_run(
    states: tuple[tuple[int, str, int], ...], number: int, digest: str, says: str
) -> None:
    """Nobody announced it, it was given up, or its file is another by now."""
    with pytest.raises(ContractError, match=says.replace("(", r"\(").replace(")", r"\)")):
        known(*states).succession(number, digest)


def test_the_one_that_answers() -> None:
    """It is the last that took a place, or is taking it."""
    assert [known(*states).answering for states in (
        (), ((2, BUILDING, 1),), ((2, SWITCHING, 1),), ((2, ANSWERING, 1), (3, ABANDONED, 2)), ((5, ANSWERING, 4),),
    )] == [1, 1, 2, 2, 5]  # fmt: skip  # states in a line


def changed(tmp_path: Path, old: str, new: str) -> Pipeline:
    """The stranger's pipeline with other words."""
    text = FILE.read_text()
    assert old in text
    project = tmp_path / "project"
    (project / "pipelines").mkdir(parents=True, exist_ok=True)
    if not (project / "schemas").exists():
        (project / "schemas").symlink_to(FILE.parents[1] / "schemas")
    path = project / "pipelines" / "bike_demand.yaml"
    path.write_text(text.replace(old, new))
    return load(path)


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        (RIDER, RIDER, []),
        ("max(minutes)", "max(minutes where electric)", ["rider.longest_30m", "rider.longest_6h"]),
        ("max(minutes)", '"quantile(minutes, 0.9)"', ["rider.longest_30m", "rider.longest_6h"]),
        ("trips: count,", "", ["rider.trips_30m", "rider.trips_6h"]),
        ("range: [0, 1440]", "range: [0, 1441]", ["rules.minutes"]),
        ("{range: [0, 1], else: warn}", "{range: [0, 2], else: warn}", []),
        ("{of: tariff, values: [member, guest]}", "{of: tariff, values: [guest]}", []),
        ("{of: tariff, values: [member, guest]}", "{of: electric, values: [true]}", ["event.electric"]),
        ("inputs: [minutes, charge,", "inputs: [charge,", ["event.minutes"]),
        ("allowed_lateness: 1m", "allowed_lateness: 2m", ["events.allowed_lateness"]),
        ("hour >= 7", "hour >= 6", ["clock.rush"]),
        ("timezone: Europe/Paris", "timezone: Europe/Rome", ["clock.month", "clock.rush"]),
        ("threshold: 0.3", "threshold: 0.4", []),
    ],
)
def test_what_a_revision_changes(tmp_path: Path, old: str, new: str, paths: list[str]) -> None:
    """Each thing that features depend on is told by its place; the digest is another exactly then."""
    before, after = load(FILE), changed(tmp_path, old, new)
    found = sorted(each.path for each in changes(before, after) if not each.path.startswith("clock.guest"))
    assert found == paths
    assert (digest_of(before) != digest_of(after)) == bool(paths)


def test_two_parameters_of_one_function_are_two_features(tmp_path: Path) -> None:
    """A quantile says which."""
    first, second = (changed(tmp_path, "max(minutes)", f'"quantile(minutes, {share})"') for share in (0.5, 0.9))
    assert digest_of(first) != digest_of(second)
    assert definition_of(replace(first, revision=2)) == definition_of(first)


def test_the_same_file_says_the_same_in_every_version() -> None:
    """Else checkpoints of running services are refused by the version that says it otherwise.

    Where features are made otherwise, another digest is right: then the changelog has to say that state is built anew.
    """
    assert digest_of(load(FILE)) == "d9d3ead6cd6718845d765967a32875ee34c13b9e250729555d98dbc228bf7847"


def test_views_of_others_say_since_when_they_are_so(tmp_path: Path) -> None:
    """One that changes, or is told other events, is refused with its name and the remedy; so is another stream."""
    before = load(FILE)

    def said(old: str, new: str, since: int = 1) -> str:
        after = replace(changed(tmp_path, old, new), revision=2)
        views = {name: replace(v, revision=since) if name == "station" else v for name, v in after.views.items()}
        return " ".join(refusals(before, replace(after, views=views)))

    wider = "windows: [10m, 1h]", "windows: [10m, 2h]"
    assert "the view station changes" in said(*wider)
    assert "write revision: 2 into it" in said(*wider)
    assert said(*wider, since=2) == ""
    assert "told what passes by rules.minutes" in said("range: [0, 1440]", "range: [0, 1000]")
    assert said("range: [0, 1440]", "range: [0, 1000]", since=2) == ""
    assert said("[30m, 6h]", "[30m, 5h]") == ""
    new = "  hall: {key: station, windows: [10m], features: {seen: count}}\n  rider:"
    assert "the view hall is new" in said("  rider:", new)
    moved = replace(before, events=replace(before.events, key="station"))
    assert any("events.key" in each and "another stream" in each for each in refusals(before, moved))


def test_whom_the_first_exchange_tells() -> None:
    """Views of the first revision, as long as it answers; those of later ones have exchanges of their own."""
    file = ROOT / "pipelines" / "card_fraud.yaml"
    first, workspace, pipeline = file.read_text(), Workspace.of(file), load(file)
    later = {**pipeline.views, "terminal": replace(pipeline.views["terminal"], revision=2)}
    second = replace(pipeline, revision=2, views=later)
    assert [view.exchange for view in second.label_views] == ["exchange.terminal.r2"]

    def told(state: str) -> tuple[list[str], list[str]]:
        found = Revisions(pipeline.name)
        found.take([Revision(2, state, 1, "d", "", 0, "who", "why", first).row(pipeline.name)])
        views = exchange_views(second, found, workspace)
        return list(views.kept), [view.topic for view in views.told]

    assert told(BUILDING) == told(SWITCHING) == (["terminal"], ["view.terminal"])
    assert told(ANSWERING) == (["terminal"], [])
    alone = exchange_views(pipeline, Revisions(pipeline.name), workspace)
    assert [view.topic for view in alone.told] == ["view.terminal"]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("    key: station", "    key: station\n    revision: 2", "is of revision 2, and the file is revision 1"),
        ("rider: {key: rider,", "rider: {key: rider, revision: 2,", "is kept where the events are"),
    ],
)
def test_a_view_is_of_no_later_revision_than_its_file(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    """Nor does one that is kept where the events are say anything of it."""
    with pytest.raises(ConfigurationError, match=wanted):
        changed(tmp_path, old, new)


def test_what_does_not_answer_is_not_started() -> None:
    """Services of a revision that is built, or was followed by another, would be up while no event is answered."""
    pipeline = load(FILE)

    def told(number: int, *states: tuple[int, str, int]) -> str:
        found = Revisions(pipeline.name)
        digest = digest_of(pipeline)
        found.take([Revision(n, state, f, digest, "", 0, "who", "why").row(pipeline.name) for n, state, f in states])
        try:
            refuse_silent(found, replace(pipeline, revision=number))
        except HeadraceError as refusal:
            return str(refusal)
        return ""

    building, switching, answering = ((2, state, 1) for state in (BUILDING, SWITCHING, ANSWERING))
    assert [told(1), told(1, building), told(1, switching), told(2, answering)] == [""] * 4
    assert "is building, and revision 1 answers" in told(2, building)
    assert "is switching, and revision 1 answers" in told(2, switching)
    assert "revision 2 of bike_demand answers, and the file is revision 1" in told(1, answering)
    assert "was not announced" in told(3, answering)
    assert "was abandoned" in told(2, (2, ABANDONED, 1))


def test_a_checkpoint_of_another_definition_is_refused(tmp_path: Path) -> None:
    """A file that was changed without a revision does not go on with windows that another one built."""
    before, after = load(FILE), changed(tmp_path, "[30m, 6h]", "[30m, 12h]")
    snapshot = Enrich(before, MemoryStore()).snapshot(0)
    assert snapshot is not None
    Enrich(before, MemoryStore()).restore(0, snapshot)
    with pytest.raises(ContractError, match=r"rider.trips_6h.*rider.trips_12h.*headrace revise bike_demand"):
        Enrich(after, MemoryStore()).restore(0, snapshot)
