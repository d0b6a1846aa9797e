"""Which column is an event's id, its time, its entity and its truth, by which evidence, and what else could have been.

Only what rows and names show is taken for a role. Where nothing shows it there is none, and the reason says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.classes.names import field_names, whole
from headrace.domain.pipeline.classes.section import MOST_CLASSES, fault_of
from headrace.operations.proposal.column_profile import StreamColumn
from headrace.operations.tables.timestamps import PLAUSIBLE

_TRUTH = re.compile(r"(?:^|_)(?:label|labels|target|class|outcome|truth|ground_truth|y|result|response)(?:_|$)")
_ANSWER = re.compile(
    r"(?:^|_)(?:pred|preds|predict|predicted|prediction|predictions|proba|probability|y_hat|yhat|y_pred)(?:_|$)"
)
YES = frozenset(("yes", "y", "ja", "j", "oui", "o", "si", "sí", "s", "sim", "t", "da", "true"))
NO = frozenset(("no", "n", "nein", "non", "nao", "não", "f", "nee", "nej", "false"))
FEW = 100
"""Different values that a column may have to be held against the truth, value by value."""
EACH = 5
"""Rows that a value of such a column must have on average: of fewer it would tell the truth by chance."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a role is filled by.

    Attributes:
        profile: the column; None where no column can be.
        evidence: what shows it, or that nothing does.
        tie: what else it could have been; empty where nothing could.
        assumed: whether the evidence leaves a doubt that a person should settle.
    """

    profile: StreamColumn | None
    evidence: str
    tie: str = ""
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Roles:
    """All roles, and columns that stay out of the events: column to the reason.

    Attributes:
        entities: further columns that name an entity, with their evidence.
        series: whether all rows are one series, since no column tells entities apart and their times do.
    """

    id: Role
    time: Role
    key: Role
    label: Role
    entities: Sequence[Role]
    series: bool
    left_out: dict[str, str]


def roles(columns: Sequence[StreamColumn]) -> Roles:
    """The roles of a file's columns."""
    left_out = {one.column: one.why for one in columns if one.kind in ("empty", "other")}
    left_out |= {
        one.column: "by its name it is what a model answered, which no event has"
        for one in columns
        if _ANSWER.search(one.words) and one.column not in left_out
    }
    rest = [one for one in columns if one.column not in left_out]
    time = _time(rest)
    rest = [one for one in rest if one is not time.profile]
    label = _label(rest)
    rest = [one for one in rest if one is not label.profile]
    if label.profile is not None:
        told = {one.column: why for one in rest if (why := _tells(one, label.profile))}
        left_out |= told
        rest = [one for one in rest if one.column not in told]
    identity = _identity(rest)
    moments = time.profile.time.moments if time.profile is not None and time.profile.time is not None else None
    fine = moments is None or len(np.unique(moments)) > len(moments) / 2
    entities = _entities([one for one in rest if one is not identity.profile], fine)
    series = not entities and fine
    if entities:
        key = entities[0]
        others = [role.profile.name for role in entities[1:] if role.profile is not None]
        if others:
            key = replace(key, tie=f"{', '.join(others)} could be, too, and has a view of its own", assumed=True)
    elif series:
        key = Role(None, "no column names something that comes again: all rows are taken for one series", "", True)
    else:
        key = Role(
            identity.profile,
            "no column names something that comes again: each event stands for itself, and no view looks back",
            "",
            True,
        )
    return Roles(identity, time, key, label, entities[1:], series, left_out)


def _time(columns: Sequence[StreamColumn]) -> Role:
    """When an event happened: the column in whose order the rows are, else the one that is called a time."""
    able = [one for one in columns if one.time is not None and one.complete]
    able = [one for one in able if _plausible(one)]
    # A number is a time only where its name or its order says so: 1,700,000,000 may be anything.
    shown = [one for one in able if one.time is not None and (one.time.sure or one.called_time or _rises(one))]
    if not shown:
        hint = f"; {able[0].name} could be, by its size alone" if able else ""
        return Role(None, f"no column is a time{hint}", "", True)

    def rank(one: StreamColumn) -> tuple[bool, bool, bool, bool, int]:
        assert one.time is not None, "only those that can be read as times are ranked"
        return (one.time.sure, one.time.ordered, not one.time.day_only, one.called_time, -columns.index(one))

    best = max(shown, key=rank)
    assert best.time is not None, "as above"
    first, last = (
        np.datetime64(int(edge), "us").astype("datetime64[s]")
        for edge in (best.time.moments.min(), best.time.moments.max())
    )
    order = "rows are in its order" if best.time.ordered else "rows are not in its order"
    others = [one for one in shown if one is not best]
    tie = (
        f"{', '.join(one.name for one in others)} {'is a time' if len(others) == 1 else 'are times'}, too"
        if others
        else ""
    )
    evidence = f"{best.time.written}, {first}Z to {last}Z; {order}"
    return Role(best, evidence, tie, bool(others) or not best.time.sure or bool(best.time.ties))


def _plausible(one: StreamColumn) -> bool:
    """Whether all times lie where `headrace publish` takes them."""
    assert one.time is not None, "only those that can be read as times are looked at"
    return bool(PLAUSIBLE[0] <= one.time.moments.min() and one.time.moments.max() < PLAUSIBLE[1])


def _rises(one: StreamColumn) -> bool:
    """Whether a number grows from row to row, as a clock does, and not in steps of one, as a counter does."""
    if one.time is None or not one.time.ordered or len(one.time.moments) < 3 or one.time.layout.unit is None:
        return False
    steps = np.unique(np.diff(one.time.moments))
    return len(steps) > 1


def _identity(columns: Sequence[StreamColumn]) -> Role:
    """The column that is different in every row, and is called an id where several are."""
    able = [one for one in columns if one.unique and one.names]
    called = [one for one in able if one.called_id]
    by_name = bool(called)
    found = called or [one for one in able if one.kind == "string" or _counts_up(one)]
    if not found:
        near = [one for one in columns if one.called_id and one.complete and one.distinct > one.rows / 2]
        hint = (
            f"; {near[0].name} is called one, and is different in {near[0].distinct:,} of {near[0].rows:,} rows alone"
            if near
            else ""
        )
        return Role(None, f"no column is different in every row{hint}", "", True)
    best = found[0]
    others = [one.name for one in found[1:]]
    evidence = f"distinct in {best.distinct:,} of {best.rows:,} rows"
    tie = f"so {'is' if len(others) == 1 else 'are'} {', '.join(others[:5])}" if others else ""
    return Role(best, evidence, tie, bool(others) or not by_name)


def _counts_up(one: StreamColumn) -> bool:
    """Whether whole numbers go up from row to row."""
    if one.kind != "integer" or one.values is None:
        return False
    values = one.values.to_numpy(zero_copy_only=False)
    return bool(np.all(values[1:] > values[:-1]))


def _entities(columns: Sequence[StreamColumn], fine: bool) -> list[Role]:
    """Columns that name something that comes again, those that are called so first, in the file's order.

    `fine`: whether times tell most rows apart. Where they do not, a text alone is no entity: nothing of it comes again.
    """
    found: list[tuple[bool, Role]] = []
    for one in columns:
        often = one.rows / max(one.distinct, 1)
        if not one.complete or one.distinct < 2 or often < 2 or not one.names:
            continue
        many = fine and one.kind == "string" and one.distinct > 20 and _short(one)
        if not one.called_id and not many:
            continue
        name = "by its name; " if one.called_id else ""
        evidence = f"{name}{one.distinct:,} different in {one.rows:,} rows, {often:.1f} rows each"
        found.append((one.called_id, Role(one, evidence, "", not one.called_id)))
    found.sort(key=lambda pair: not pair[0])
    return [role for _, role in found]


def _short(one: StreamColumn) -> bool:
    """Whether texts are as short as names are."""
    if one.values is None:
        return False
    return bool(pc.max(pc.utf8_length(one.values)).as_py() <= 64)


def _label(columns: Sequence[StreamColumn]) -> Role:
    """The truth: of columns with two values the one that is called so, of those with a few that one; else the last one
    of 0 and 1, or yes and no.
    """
    able = [one for one in columns if one.complete and one.distinct == 2 and one.counts and not one.called_id]
    binary = [one for one in able if one.kind == "boolean" or set(one.counts) == {0, 1} or affirmed(one) is not None]
    called = [one for one in able if _TRUTH.search(one.words)]
    called = called or [one for one in columns if _TRUTH.search(one.words) and classes_in(one)]
    if not (called or binary):
        return Role(None, "no column has two values, such as 0 and 1, yes and no, or is called a label and has a few")
    best = called[-1] if called else binary[-1]
    others = [one.name for one in dict.fromkeys([*called, *binary]) if one is not best]
    why = "by its name" if called else "the last column that is 0 or 1, or yes or no"
    counts = ", ".join(
        f"{str(value).lower() if isinstance(value, bool) else value} in {count:,}"
        for value, count in best.counts.items()
    )
    tie = f"{', '.join(others[:5])} could be, too" if others else ""
    return Role(best, f"{why}; {counts} rows", tie, not called or bool(others))


def classes_in(one: StreamColumn) -> list[str | int]:
    """The values of a column that can be more than two classes, in their order; none where they cannot."""
    if one.kind not in ("string", "integer") or one.called_id or not one.complete or not one.counts:
        return []
    if one.distinct < 3 or one.distinct > MOST_CLASSES or one.rows < EACH * one.distinct:
        return []
    values: list[str | int] = sorted(one.counts)
    texts = list(map(str, values))
    mixed = any(map(whole, texts)) and not all(map(whole, texts))
    fine = not mixed and len(set(field_names(texts))) == len(texts) and not any(map(fault_of, texts))
    return values if fine else []


def affirmed(one: StreamColumn) -> str | None:
    """Of a text of two words that mean yes and no, the one that means yes; None for other texts."""
    words = {str(value).lower(): str(value) for value in one.counts} if one.kind == "string" else {}
    yes, no = words.keys() & YES, words.keys() & NO
    return words[yes.pop()] if len(words) == 2 and len(yes) == len(no) == 1 else None


def _tells(one: StreamColumn, label: StreamColumn) -> str:
    """Why a column tells the truth, so that no event can have it; empty where it does not."""
    if not one.counts or one.distinct < 2 or one.distinct > FEW or one.rows < EACH * one.distinct or not one.complete:
        return ""
    pairs = (
        pa.table({"value": one.values, "truth": label.values})
        .group_by("value")
        .aggregate([("truth", "count_distinct")])
    )
    if pc.max(pairs["truth_count_distinct"]).as_py() > 1:
        return ""
    return f"it tells {label.name} in all {one.rows:,} rows, so it is known when the label is and not before"
