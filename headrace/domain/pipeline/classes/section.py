"""Reads what `model` says of more than two classes: which there are, and what it costs to take one for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.classes.decision import Costs, equal_costs
from headrace.domain.pipeline.classes.names import field_name, whole
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form

CLASSES_EXAMPLE = "[setosa, versicolor, virginica]"
COSTS_EXAMPLE = "{versicolor: {virginica: 5}} (the truth, then the decision)"
MOST_CLASSES, LONGEST_CLASS = 50, 100
MOST_COST = 1e9
RECORD_FIELDS = ("class", "scores", "label_class")
"""Of predictions and outcomes of classes, beside those that all have: no view can be called so."""


def read_classes(form: Form, output: str | None, problems: Problems) -> tuple[str, ...]:
    """The classes, as texts; none where the model gives something else."""
    if output != "class":
        for key in ("classes", "costs"):
            if key in form:
                problems.add(
                    form.node_of(key), f"only output: class has {key}", f"write output: class, or take {key} out"
                )
        return ()
    form.require("classes", f"list them as labels say them: classes: {CLASSES_EXAMPLE}")
    found: dict[str, Node] = {}
    for node in form.items("classes", CLASSES_EXAMPLE):
        name = _name(node, problems)
        if name is None:
            continue
        if name in found:
            problems.add(node, f"the class {name} is there already", "write each class once")
            continue
        alike = next((other for other in found if field_name(other) == field_name(name)), None)
        if alike is not None:
            said = f"{alike!r} and {name!r} would both be the field {field_name(name)} of records"
            problems.add(node, said, "call one of them otherwise, in labels and models too")
        found[name] = node
    names = tuple(found)
    listed = form.node_of("classes")
    if listed.items is not None and len(listed.items) < 2:
        problems.add(listed, "a decision is among two classes at least", f"list all: classes: {CLASSES_EXAMPLE}")
    if len(names) > MOST_CLASSES:
        problems.add(listed, f"{len(names)} classes, at most {MOST_CLASSES} are told apart", "join some of them")
    if any(map(whole, names)) and not all(map(whole, names)):
        number = next(name for name in names if whole(name))
        said = f"{number} is a number and others are texts: a label of {number} could be a number or a place"
        problems.add(found[number], said, "write all classes as whole numbers, or none of them")
    return names


def names_in(form: Form) -> tuple[str, ...]:
    """The classes of a file whose `model` is read elsewhere, where problems are told: nothing is noted here."""
    node = form.entries.get("model")
    if node is None or node.entries is None:
        return ()
    quiet = Problems()
    model = Form(node, quiet, None, "")
    output = node.entries["output"].text if "output" in node.entries else None
    return read_classes(model, output, quiet) if output == "class" else ()


def _name(node: Node, problems: Problems) -> str | None:
    """One class, as a text."""
    text = forms.text(node, problems)
    if text is None:
        return None
    if isinstance(node.value, int | float) and not isinstance(node.value, bool) and not whole(text):
        remedy = "write whole numbers of at most 15 digits plainly, such as 3, and texts in quotes"
        problems.add(node, f"{text} is no class: neither a text nor a whole number", remedy)
        return None
    if remedy := fault_of(text):
        problems.add(node, f"{text!r} is no class", remedy)
        return None
    return text


def fault_of(text: str) -> str:
    """What to do about a text that can be no class; empty where it can."""
    if text.isprintable() and text == text.strip() and 0 < len(text) <= LONGEST_CLASS:
        return ""
    return f"write at most {LONGEST_CLASS} characters that can be seen, without blanks around them"


def read_costs(form: Form, names: Sequence[str], problems: Problems) -> Costs:
    """What each decision costs: [truth][decision], in the order of the classes."""
    costs = [list(row) for row in equal_costs(len(names))]
    node = form.entries.get("costs")
    places = {name: place for place, name in enumerate(names)}
    for truth, decisions, entry in _rows(node, places, problems):
        for decision, written in decisions.items():
            if decision not in places:
                problems.add(entry.keys[decision], f"no class {decision}", closest(decision, names))
                continue
            cost = forms.number(written, problems, 0, MOST_COST)
            if decision == truth and cost is not None and cost != 0:
                problems.add(written, f"deciding for {truth} where it is true costs nothing", "take it out")
            elif cost is not None:
                costs[places[truth]][places[decision]] = cost
    return tuple(map(tuple, costs))


def _rows(
    node: Node | None, places: Mapping[str, int], problems: Problems
) -> list[tuple[str, Mapping[str, Node], Node]]:
    """The truths that the file names, with what it says of each."""
    if node is None or not places:
        return []
    found: list[tuple[str, Mapping[str, Node], Node]] = []
    form = Form(node, problems, None, COSTS_EXAMPLE)
    for truth, entry in form.entries.items():
        if truth not in places:
            problems.add(form.node.keys[truth], f"no class {truth}", closest(truth, places))
        else:
            found.append((truth, Form(entry, problems, None, COSTS_EXAMPLE).entries, entry))
    return found
