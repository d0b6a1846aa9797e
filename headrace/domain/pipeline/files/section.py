"""Reads the `files` section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.document import Node, Problems, Scalar, closest
from headrace.domain.pipeline.events import value_of
from headrace.domain.pipeline.files.spec import THOUSANDS, TIME_UNITS, FileLayout, TimeLayout
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.spec import Event, Field, Labels
from headrace.domain.pipeline.truth import number_of

FILES_KEYS = ("decimal", "thousands", "columns", "values", "times", "truths", "row_ids", "first_time", "time_step")
FILES_EXAMPLE = '{decimal: ",", columns: {price: Price in EUR}}'
TIMES_KEYS = ("unit", "format", "zone", "ambiguous")
TIMES_EXAMPLE = '{format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}'
LABEL_TIME, LABEL_SOURCE = "label_time", "source"
"""Columns that a file of labels may have besides those that the pipeline names."""


def read_files(node: Node, event: Event | None, labels: Labels | None, problems: Problems) -> FileLayout:
    """The `files` section of a pipeline with these events and labels."""
    form = Form(node, problems, FILES_KEYS, FILES_EXAMPLE)
    fields = dict(event.fields) if event is not None else {}
    decimal = form.choice("decimal", (".", ",")) or "."
    thousands = form.choice("thousands", THOUSANDS) or ""
    if thousands == decimal:
        problems.add(
            form.node_of("thousands"),
            f"{thousands!r} would stand before the fraction and between thousands",
            "write another one, or take thousands out",
        )
    known = _known(fields, labels)
    row_ids = bool(form.flag("row_ids"))
    layout = FileLayout(
        decimal=decimal,
        thousands=thousands,
        columns=_columns(form, known, problems),
        values=_values(form, fields, problems),
        times=_times(form, known, fields, problems),
        truths=_truths(form, labels, problems),
        row_ids=row_ids,
        first_time=_first_time(form, problems),
        time_step=form.duration("time_step", least=1),
    )
    for given, other in (("first_time", "time_step"), ("time_step", "first_time")):
        if given in form and other not in form:
            example = "2024-05-31T00:00:00Z" if other == "first_time" else "30m"
            problems.add(form.node_of(given), f"{given} without {other}", f"write {other}: {example}")
    _check_once(form, layout, event, problems)
    return layout


def _known(fields: Mapping[str, Field], labels: Labels | None) -> set[str]:
    """Fields that a file of events or labels has columns for."""
    return set(fields) | ({labels.id, labels.value, LABEL_TIME, LABEL_SOURCE} if labels is not None else set())


def _named(form: Form, key: str, known: set[str], example: str, problems: Problems) -> Mapping[str, Node]:
    """The entries of a mapping from fields; unknown ones are noted."""
    if key not in form:
        return {}
    inner = Form(form.entries[key], problems, None, example)
    for name in inner.entries:
        if known and name not in known:
            problems.add(inner.node.keys[name], f"neither events nor labels have a field {name}", closest(name, known))
    return inner.entries


def _columns(form: Form, known: set[str], problems: Problems) -> dict[str, str]:
    entries = _named(form, "columns", known, "{price: Price in EUR}", problems)
    return {name: text for name, node in entries.items() if (text := forms.text(node, problems)) is not None}


def _values(form: Form, fields: Mapping[str, Field], problems: Problems) -> dict[str, Scalar]:
    entries = _named(form, "values", set(fields), "{market: nsw}", problems)
    found: dict[str, Scalar] = {}
    for name, node in entries.items():
        if name in fields and fields[name].type in ("time", "other"):
            problems.add(node, f"{name} is {fields[name].type}, which no value is written for", "take it out")
        elif (
            value := value_of(node, fields.get(name, Field(name, "other", True, None)), name in fields, problems)
        ) is not None:
            found[name] = value
    return found


def _truths(form: Form, labels: Labels | None, problems: Problems) -> dict[str, float]:
    if "truths" not in form:
        return {}
    inner = Form(form.entries["truths"], problems, None, "{UP: 1, DOWN: 0}")
    if labels is None:
        problems.add(inner.node, "the pipeline has no labels whose words would mean anything", "take it out")
    elif labels.names:
        return dict(_meanings(inner, labels, problems))
    found = {word: forms.number(node, problems) for word, node in inner.entries.items()}
    return {word: number for word, number in found.items() if number is not None}


def _meanings(form: Form, labels: Labels, problems: Problems) -> Iterator[tuple[str, float]]:
    """Words that mean one of several classes, and the number that labels have for it."""
    for word, node in form.entries.items():
        name = forms.text(node, problems)
        number = None if name is None else number_of(name, labels)
        if number is not None:
            yield word, number
        elif name is not None:
            problems.add(node, f"no class {name}", closest(name, labels.names))


def _times(form: Form, known: set[str], fields: Mapping[str, Field], problems: Problems) -> dict[str, TimeLayout]:
    found: dict[str, TimeLayout] = {}
    for name, node in _named(form, "times", known, f"{{at: {TIMES_EXAMPLE}}}", problems).items():
        if name in fields and fields[name].type != "time":
            times = [other for other in fields if fields[other].type == "time"]
            problems.add(
                form.node_of("times"), f"{name} is {fields[name].type} and no time", f"times are {', '.join(times)}"
            )
        found[name] = _layout_of_time(Form(node, problems, TIMES_KEYS, TIMES_EXAMPLE), problems)
    return found


def _layout_of_time(form: Form, problems: Problems) -> TimeLayout:
    unit, pattern, zone = form.choice("unit", TIME_UNITS), form.text("format"), form.text("zone")
    if unit is not None and pattern is not None:
        problems.add(form.node_of("unit"), "a unit is for numbers, a format for texts", "keep one of them")
    if pattern is not None and not _reads_back(pattern):
        problems.add(
            form.node_of("format"),
            f"{pattern} does not say a whole date",
            "write it as Python's strptime does: %Y-%m-%d %H:%M:%S",
        )
    if zone is not None and not _is_zone(zone):
        problems.add(
            form.node_of("zone"), f"no zone {zone}", "write a name of the IANA database, such as Europe/Berlin"
        )
    if unit is not None and zone is not None:
        problems.add(form.node_of("zone"), "numbers since 1970 have no zone", "take zone or unit out")
    return TimeLayout(unit, pattern, zone, form.choice("ambiguous", ("earliest", "latest")))


def _reads_back(pattern: str) -> bool:
    """Whether a format can be read, and tells at least the year."""
    moment = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
    try:
        return datetime.strptime(moment.strftime(pattern), pattern).year == moment.year  # the year alone
    except (ValueError, UnicodeError):
        return False


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        return False
    return True


def _first_time(form: Form, problems: Problems) -> int | None:
    text = form.text("first_time")
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        problems.add(form.node_of("first_time"), f"{text} is no time", "write it in ISO 8601, as 2024-05-31T12:30:00Z")
        return None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _check_once(form: Form, layout: FileLayout, event: Event | None, problems: Problems) -> None:
    """A field comes from one place alone."""
    made = [("values", name) for name in layout.values]
    if event is not None and layout.row_ids:
        made.append(("row_ids", event.id))
    if event is not None and layout.first_time is not None:
        made.append(("first_time", event.time))
    there: dict[str, str] = dict.fromkeys(layout.columns, "columns")
    for place, name in made:
        if name in there:
            problems.add(form.node_of(place), f"{name} would come from {there[name]} and from {place}", "keep one")
        there[name] = place
