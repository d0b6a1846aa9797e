"""Harm on paper: bars, why something is not known, which column and group costs how much."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from headrace.cli.render.drift import incident_sheet
from headrace.cli.render.harm.sheet import harm_note, loss_line
from headrace.operations.drift.harm import GroupLoss, LossReport
from headrace.operations.drift.report import ChangedColumn, Incident

HARM = LossReport(
    model="m@7", digest="d", incident="predictions/1", since=1_522_544_400_000, until=None, reference=0.1,
    tolerated=0.112, outcomes=1_000, loss=0.13, loss_error=0.004, expected=0.11, rest_error=0.004, evidence=0.01,
    proved=None, predictions=2_000, estimate=0.12, estimate_error=0.001, estimate_tolerated=0.111,
    estimate_evidence=3.0, estimate_proved=1_522_548_000_000, kind="unknown", concept_evidence=0.3, concept_proved=None,
    enough=1_500, discerned=0.1, unknown=["of what kind it is is not known before 1,500 outcomes: so far 1,000"],
    groups=[
        GroupLoss("model loss (band <10)", 300, 0.2, 0.1, 0.1),
        GroupLoss("model loss (band 10-50)", 700, 0.1, 0.1, 0.11),
    ],
)  # fmt: skip  # a record's fields
COLUMN = ChangedColumn(
    "amount", "m@7", "d", 1_522_544_000_000, None, False, 0.9, "shift +1",
    [1.0], [0.5, 0.5, 0.0], [0.2, 0.8, 0.0], False, 0.123,
)  # fmt: skip  # a record's fields
INCIDENT = Incident(
    "predictions/1", "predictions", 1_522_544_000_000, None, None, "", 1.0, [COLUMN], harms=[HARM]
)  # fmt: skip  # a record's fields


def paper(incident: Incident) -> str:
    """Its sheet."""
    out = StringIO()
    console = Console(width=160, file=out)
    for part in incident_sheet(incident):
        console.print(part)
    return out.getvalue()


def test_an_incident_says_whether_it_harms_and_of_what_kind_it_is() -> None:
    """Both bases with their evidence, the parts of the change, groups and columns, and what is not known."""
    text = " ".join(paper(INCIDENT).split())
    assert "by labels 1,000 0.13 ± 0.008 130% ██████████ 1%" in text
    assert "by estimate 2,000 0.12 ± 0.002 120% ████████████████████ proved at 2018-04-01 02:00" in text
    assert "tolerated 0.112 112%" in text
    assert "of the change of +30%, scores that moved explain +10%, and not +20% ± 8%" in text
    assert "model loss (band <10) 300 0.1 0.2 100%" in text
    assert "(band 10-50)" not in text
    assert "amount +12% 90%" in text
    assert "not known before 1,500 outcomes: so far 1,000" in text
    assert harm_note(INCIDENT) == "harm by estimate"
    assert INCIDENT.kind == "unknown"
    assert INCIDENT.harmful


def test_what_is_proved_is_said_for_good() -> None:
    """By both bases, and another concept."""
    both = replace(HARM, proved=1_522_548_000_000, kind="concept", concept_proved=1_522_551_600_000)
    incident = replace(INCIDENT, harms=[both])
    assert harm_note(incident) == "harm by labels and by estimate"
    assert incident.kind == "concept"
    assert "concept shift: the same scores stand for other chances" in paper(incident)


def test_what_is_not_known_is_said_to_be() -> None:
    """No outcome, no table, no record."""
    nothing = replace(HARM, outcomes=0, loss=None, loss_error=None, expected=None, estimate=None, estimate_proved=None)
    text = paper(replace(INCIDENT, harms=[nothing]))
    assert text.count("not known") >= 3
    assert harm_note(replace(INCIDENT, harms=[])) == "not known"
    assert harm_note(replace(INCIDENT, harms=[nothing])) == "none proved"
    assert loss_line(nothing) == nothing.unknown[0]
    assert loss_line(HARM) == "loss of the last 7 days 0.13 ± 0.008, 130% of the reference's"
