"""The text of a pipeline file that is proposed, each line with its reason above it.

What rows show is a comment that begins with `seen:`, what they leave open one that begins with `guess:`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable

from headrace.domain.pipeline.files.spec import TimeLayout
from headrace.domain.pipeline.units import duration
from headrace.operations.proposal import choices
from headrace.operations.proposal.column_profile import StreamColumn, shown_value
from headrace.operations.proposal.proposal import Proposal
from headrace.operations.proposal.roles import Role, affirmed, classes_in
from headrace.operations.proposal.sample import TopicForm
from headrace.operations.proposal.time_form import TimeForm

WIDTH = 116
SEEN, GUESS = "seen:", "guess:"
LATENESS = 600_000
"""Milliseconds of `allowed_lateness` where rows show none that is longer."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class FileText:
    """Lines of a YAML file and the comments above them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: str, *reasons: str, indent: int = 2) -> None:
        """A line, below what is said of it; empty reasons are left out."""
        self.note(*reasons, indent=indent)
        self.lines.append(" " * indent + text)

    def note(self, *reasons: str, indent: int = 2) -> None:
        """Comments alone."""
        before = " " * indent + "# "
        for reason in filter(None, reasons):
            self.lines += textwrap.wrap(
                reason, WIDTH - indent, initial_indent=before, subsequent_indent=before + "  ", break_on_hyphens=False,
                break_long_words=False,
            )  # fmt: skip  # one call

    def section(self, text: str, *reasons: str) -> None:
        """A line at the margin, after an empty one."""
        self.lines.append("")
        self.add(text, *reasons, indent=0)

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def scalar(value: object) -> str:
    """A value as YAML reads it back.

    >>> scalar("web"), scalar("1"), scalar("no"), scalar(True), scalar(0.5)
    ('web', '"1"', '"no"', 'true', '0.5')
    """
    if isinstance(value, str):
        return (
            value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value, ensure_ascii=False)
        )
    if isinstance(value, float):
        return f"{value:.10g}" if value != int(value) or abs(value) >= 1e15 else str(int(value))
    return json.dumps(value)


def listed(values: Iterable[object]) -> str:
    """A list in one line."""
    return f"[{', '.join(map(scalar, values))}]"


def mapped(pairs: Iterable[tuple[str, object]]) -> str:
    """A mapping in one line."""
    return f"{{{', '.join(f'{scalar(name)}: {value}' for name, value in pairs)}}}"


def pipeline_text(proposal: Proposal, command: str) -> str:
    """The pipeline file; `command` made it."""
    text = FileText()
    text.note(
        f"{proposal.name}: made by `{command}` from {proposal.sample.source}: {proposal.sample.kind}, "
        f"{proposal.sample.looked_at}.",
        f'Comments with "{SEEN}" say what the rows show, those with "{GUESS}" what they leave open: look at these.',
        indent=0,
    )
    text.lines.append(f"pipeline: {proposal.name}")
    _events(text, proposal)
    _files(text, proposal)
    _rules(text, proposal)
    _views(text, proposal)
    _model(text, proposal)
    _labels(text, proposal)
    _segments(text, proposal)
    return str(text)


def reasons(role: Role) -> list[str]:
    """What is said of a role: what shows it, and what else could have filled it."""
    found = [f"{GUESS if role.profile is None else SEEN} {role.evidence}."]
    return [*found, f"{GUESS} {role.tie}."] if role.tie else found


def _events(text: FileText, proposal: Proposal) -> None:
    roles = proposal.roles
    text.section("events:")
    topic = proposal.sample.topic
    if topic is None:
        text.add(f"schema: {proposal.schema}  # schemas/{proposal.schema}.avsc")
    else:
        _topic(text, proposal, topic)
    own = "; rows are called by their numbers, see files" if roles.id.profile is None else ""
    text.add(f"id: {proposal.id}", *_with(reasons(roles.id), own))
    said = reasons(roles.time)
    time = roles.time.profile.time if roles.time.profile is not None else None
    if time is not None and time.ties:
        said.append(f"{GUESS} it could as well be {' or '.join(time.ties)}: see files.")
    if time is not None and not time.sure and roles.time.profile is not None:
        shown = "its name says so" if roles.time.profile.called_time else "they grow from row to row"
        said.append(f"{GUESS} numbers are taken for times, since {shown}.")
    if time is not None and time.local and topic is not None:
        said.append(f"{GUESS} no zone is written, so it is taken for UTC: see times.")
    elif time is not None and time.local:
        said.append(
            f"{GUESS} no zone is written, so it is taken for UTC; where it is local, say its zone (such as zone: "
            f"Europe/Berlin) for {proposal.time} under times of the section files."
        )
    text.add(f"time: {proposal.time}", *said)
    text.add(f"key: {proposal.key}", *reasons(roles.key))
    behind = 0 if time is None else time.behind
    seen = f"{SEEN} a row is up to {_about(behind)} older than one before it." if behind else ""
    lateness = max(LATENESS, _rounded_up(behind)) if behind < 30 * 86_400_000 else LATENESS
    open_ = f"{GUESS} how late events of a live stream come is not in a file; {duration(lateness)} is a habit."
    text.add(f"allowed_lateness: {duration(lateness)}", seen, open_)


def _topic(text: FileText, proposal: Proposal, topic: TopicForm) -> None:
    """The producer's topic, its fields by path, and how they tell times."""
    text.add(f"topic: {topic.topic}  # read, and never written to; `intake` takes events from it")
    text.add(f"format: {topic.format}")
    text.add(f"schema: {proposal.schema}  # feeds/{proposal.schema}{topic.ending}, as the records showed it")
    wrapping = topic.wrapping
    if wrapping.envelope is not None:
        updates = f"; {wrapping.updates:,} of them say that a row is another now" if wrapping.updates else ""
        open_ = "an event is a row that came; where it changes, the change is refused as a repeat (changed_repeat)"
        text.add(
            f"envelope: {wrapping.envelope}", f"{SEEN} records tell changes of rows{updates}.", f"{GUESS} {open_}."
        )
    if wrapping.deletions:
        seen = f"{SEEN} {wrapping.deletions:,} records say that a row was deleted."
        text.add("deletes: skip", seen, f"{GUESS} they are no events, and counted; reject makes dead letters of them.")
    text.add("fields:")
    for one in proposal.fields:
        text.add(f"{one.name}: {scalar(wrapping.prefix + proposal.columns[one.name].column)}", indent=4)
    times = {one.name: proposal.columns[one.name].time for one in proposal.fields if one.type == "time"}
    told = [(name, _notation(form)) for name, form in times.items() if form is not None and not form.typed]
    if told:
        text.add(f"times: {mapped(told)}")


def _notation(form: TimeForm) -> str:
    """What `times` of a topic says of a column."""
    if form.layout.unit is not None:
        return form.layout.unit
    return "{unit: iso, zone: UTC}" if form.local else "iso"


def _with(said: list[str], more: str) -> list[str]:
    return [f"{said[0].removesuffix('.')}{more}.", *said[1:]] if more else said


def _about(length: int) -> str:
    return duration(length) if length < 1000 else duration(length // 1000 * 1000)


def _rounded_up(length: int) -> int:
    """To whole minutes."""
    return -(-length // 60_000) * 60_000


def _files(text: FileText, proposal: Proposal) -> None:
    """What the file does not say itself, for `headrace publish`; topics say theirs under `events`."""
    if proposal.sample.topic is not None:
        return
    roles, form, label = proposal.roles, proposal.form, proposal.label
    renamed = {one.name: one.column for one in proposal.columns.values() if one.name != one.column}
    if label is not None and label.name != label.column:
        renamed[label.name] = label.column
    words = label is not None and label.kind == "string" and not classes_in(label)
    plain = form.decimal == "." and not form.thousands
    made = roles.id.profile is None or roles.time.profile is None or (roles.key.profile is None and roles.series)
    if plain and not renamed and not proposal.times and not made and not words:
        return
    text.section("files:", "How `headrace publish` reads files of these events and labels.")
    if not plain:
        tie = f"{GUESS} {form.tie}." if form.tie else ""
        text.add(f"decimal: {scalar(form.decimal)}", f"{SEEN} {form.evidence}.", tie)
        if form.thousands:
            text.add(f"thousands: {scalar(form.thousands)}")
    if renamed:
        text.add("columns:", f"{SEEN} names that a field cannot have: field: column.")
        for name, column in renamed.items():
            text.add(f"{name}: {json.dumps(column, ensure_ascii=False)}", indent=4)
    if proposal.times:
        text.add("times:")
        for name, layout in proposal.times.items():
            text.add(f"{name}: {_layout(layout)}", f"{SEEN} {_written(proposal.columns[name])}.", indent=4)
    if words and label is not None:
        _truths(text, label)
    if roles.id.profile is None:
        text.add("row_ids: true", f"{GUESS} rows are called by their numbers, so only one file can be published.")
    if roles.time.profile is None:
        text.note(
            f"{GUESS} rows have no time, and none is made up: say when the first row was and how far rows are apart. "
            "`headrace publish` refuses the file until both lines are there."
        )
        text.lines += ["  # first_time: 2024-05-31T00:00:00Z", "  # time_step: 30m"]
        text.note("Then windows have a length, too: views: {recent: {key: ..., windows: [1d], features: ...}}.")
    if roles.key.profile is None and roles.series:
        text.add(f"values: {mapped([(proposal.key, 'all')])}", f"{SEEN} no column tells series apart: all are one.")


def _written(one: StreamColumn) -> str:
    assert one.time is not None, "only times have a layout"
    return one.time.written


def _layout(layout: TimeLayout) -> str:
    pairs: list[tuple[str, object]] = []
    if layout.unit is not None:
        pairs.append(("unit", layout.unit))
    if layout.format is not None:
        pairs.append(("format", json.dumps(layout.format)))
    return mapped(pairs)


def _truths(text: FileText, label: StreamColumn) -> None:
    """The rarer word is taken for what is looked for."""
    said = affirmed(label)
    yes = said if said is not None else str(list(label.counts)[-1])
    pairs = [(str(word), 1 if word == yes else 0) for word in label.counts]
    open_ = f"{GUESS} which of the two words is what a model looks for is not in a file: the rarer one is taken."
    text.add(f"truths: {mapped(pairs)}", f"{SEEN} {yes} means yes." if said is not None else open_)


def _rules(text: FileText, proposal: Proposal) -> None:
    lines: list[tuple[str, str]] = []
    for name, one in proposal.columns.items():
        if name in proposal.inputs and one.kind != "boolean" and (found := choices.bounds(one)) is not None:
            lines.append((f"{name}: {{range: {listed(found)}, else: warn}}", f"{SEEN} {one.spread}; {one.gaps}."))
        elif name in proposal.categories:
            rule = f"{name}: {{one_of: {listed(proposal.categories[name])}, else: warn}}"
            lines.append((rule, f"{SEEN} {one.spread}; {one.gaps}."))
    if not lines:
        return
    text.section(
        "rules:",
        f"{GUESS} what is beyond these was not seen; it is counted and scored all the same (warn), for a file of the "
        "past cannot say that it is wrong. else: reject or impute are for those who know.",
    )
    for rule, why in lines:
        text.add(rule, why)


def _views(text: FileText, proposal: Proposal) -> None:
    if not (proposal.clock or proposal.views):
        return
    text.section("views:")
    if proposal.clock:
        text.add(f"clock: {mapped(proposal.clock.items())}")
    for view in proposal.views:
        other = (
            "It is of another entity than the events' key: the service `views` keeps it, and it is read through Redis."
            if view.key != proposal.key
            else ""
        )
        text.add(f"{view.name}:", *view.why, other)
        text.add(f"key: {view.key}", indent=4)
        text.add(f"windows: [{', '.join(map(duration, view.windows))}]", indent=4)
        text.add(f"features: {mapped(view.features.items())}", indent=4)
        if view.key != proposal.key and proposal.label is not None and not classes_in(proposal.label):
            text.note("With labels: add `known: mean(label)` to features, what its events turned out to be.", indent=4)


def _model(text: FileText, proposal: Proposal) -> None:
    inputs = [*proposal.inputs]
    inputs += ["clock.*"] if proposal.clock else []
    inputs += proposal.categories
    inputs += [f"{view.name}.*" for view in proposal.views]
    text.section("model:")
    text.add(f"name: {proposal.name}")
    label, left = proposal.label, proposal.roles.left_out
    said = [f"{SEEN} {column} is left out of the events: {why}." for column, why in left.items()]
    if label is not None:
        said.append(f"{SEEN} {label.column} is left out of the events: it is the label.")
    said += [f"{SEEN} {name} has one value in all rows, so it is no input." for name in proposal.constant]
    names = [
        name
        for name, one in proposal.columns.items()
        if name not in (*proposal.inputs, *proposal.constant, *proposal.categories, proposal.time)
        and one.kind in ("integer", "number", "string")
        and name not in (proposal.id, proposal.key)
    ]
    said += [f"{SEEN} {', '.join(names)}: no input, a name or a text of too many values."] if names else []
    text.add("inputs:", *said)
    for name in inputs:
        text.add(f"- {name}", indent=4)
    if label is None:
        text.note(f"{GUESS} {proposal.roles.label.evidence}: without labels no model is trained here; bring one.")
    elif classes := classes_in(label):
        text.add("output: class", f"{GUESS} {label.name} has few values, so each is a class; of a quantity say value.")
        text.add(f"classes: {listed(classes)}", f"{SEEN} {label.spread}.")
        text.note(
            f"{GUESS} all errors cost the same; to say what taking one class for another costs: "
            f"costs: {{{scalar(classes[0])}: {{{scalar(classes[1])}: 5}}}}"
        )
    else:
        text.add(
            "threshold: 0.5", f"{GUESS} from which probability on the decision is yes depends on what errors cost."
        )


def _labels(text: FileText, proposal: Proposal) -> None:
    label = proposal.label
    if label is None:
        text.section(
            "# labels: {id: " + proposal.id + ", value: COLUMN}",
            f"{SEEN} {proposal.roles.label.evidence}. With a file of labels, say which of its columns is the truth:",
        )
        return
    text.section("labels:")
    text.add(f"id: {proposal.id}")
    text.add(f"value: {scalar(label.name)}", *reasons(proposal.roles.label))
    if label.kind in ("integer", "number") and set(label.counts) != {0, 1} and not classes_in(label):
        text.add(
            f"positive: {scalar(list(label.counts)[-1])}",
            f"{GUESS} which of the two values is what a model looks for is not in a file: the rarer one is taken.",
        )
    text.add(
        "matures_after: 1d",
        f"{GUESS} when a label becomes known is not in the file: a day after its event, unless a column label_time "
        "says otherwise.",
    )


def _segments(text: FileText, proposal: Proposal) -> None:
    lines: list[tuple[str, str]] = []
    for name, cuts in proposal.bands.items():
        of = f"{choices.feature_name(name)}_band: {{of: {name}, cuts: {listed(cuts)}}}"
        lines.append((of, f"{SEEN} about a quarter of the rows in each band."))
    for name, values_seen in proposal.categories.items():
        one = proposal.columns[name]
        if len(values_seen) <= 8:
            shown = ", ".join(f"{shown_value(value)} {count:,}" for value, count in list(one.counts.items())[:8])
            values = f"{choices.feature_name('by', name)}: {{of: {name}, values: {listed(values_seen)}}}"
            lines.append((values, f"{SEEN} {shown}."))
    if lines:
        text.section("segments:", "Figures of each group are told apart on scorecards.")
        for line, why in lines[: choices.BANDS]:
            text.add(line, why)
