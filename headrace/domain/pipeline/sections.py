"""Reads the sections on models and what becomes of their answers: `model`, `labels`, `segments` and all that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.categories.section import native, read_categories
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.classes.section import RECORD_FIELDS, names_in, read_classes, read_costs
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.drift.spec import DRIFT_MODES, Drift
from headrace.domain.pipeline.events import value_of
from headrace.domain.pipeline.feed.section import LABELS_FEED_KEYS
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.kpi.section import kpis_example, read_kpis
from headrace.domain.pipeline.kpi.spec import SCORECARD
from headrace.domain.pipeline.kpi.watchable import watchable
from headrace.domain.pipeline.notification.section import NOTIFY_EXAMPLE, NOTIFY_KEYS, read_notify
from headrace.domain.pipeline.registry.section import REGISTRY_EXAMPLE, REGISTRY_KEYS, read_registry
from headrace.domain.pipeline.release.section import RELEASE_KEYS, read_release
from headrace.domain.pipeline.retrain.section import (
    NATIVE_TRAINERS,
    RETRAIN_EXAMPLE,
    RETRAIN_KEYS,
    TRAINERS,
    read_retrain,
)
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.pipeline.scorecards.spec import ScorecardsSection, Worth
from headrace.domain.pipeline.spec import Column, Field, Labels, Latency, Model, Segment, Value, View, expanded

OUTPUTS = ("probability", "value", "class")
MODEL_EXAMPLE = "{name: card_fraud, inputs: [amount, customer.*], threshold: 0.5}"
DAY = 86_400_000
LABELS_EXPIRE = 90 * DAY
KEPT, LEAST_WINDOWS = 400 * DAY, 9
"""For how long windows of scorecards are kept, and how many at the least."""


def read_model(form: Form, fields: Mapping[str, Field], views: Mapping[str, View], problems: Problems) -> Model:
    """The `model` section; its inputs must be fields of the event or columns of a view."""
    form.require("name", "write what the model is called, such as name: card_fraud")
    form.require("inputs", "write what the model reads, such as inputs: [amount, customer.*]")
    inputs: dict[str, None] = {}
    columns = {name: [c.path for c in view.columns] for name, view in views.items()}
    known = {name: frozenset(paths) for name, paths in columns.items()}
    for node in form.items("inputs", "[amount, customer.*]"):
        text = forms.text(node, problems)
        if text is None:
            continue
        if text in inputs:
            problems.add(node, f"the input {text} is there already", "write each input once")
        inputs[text] = None
        name, dot, column = text.partition(".")
        if dot and name not in views:
            problems.add(node, f"no view {name}", closest(name, views))
        elif dot and column != "*" and columns[name] and text not in known[name]:
            problems.add(node, f"no feature column {text}", closest(text, columns[name]))
        elif not dot and fields:
            _check_field(node, name, fields, columns, problems)
    if form.node_of("inputs").items == ():
        problems.add(form.node_of("inputs"), "the model reads nothing", "write at least one input")
    types: dict[str, str] = {column.path: column.type for view in views.values() for column in view.columns}
    types |= {name: each.type for name, each in fields.items()}
    read = {name: types[name] for name in expanded(list(inputs), views) if name in types}
    output = form.choice("output", OUTPUTS)
    names = read_classes(form, output, problems)
    top = 1 if output != "value" else 1e300
    threshold = form.number("threshold", 0 if output != "value" else -1e300, top)
    if output == "value":
        form.require("threshold", "write the value from which on the decision is yes")
    held = form.number("interval", 0.5, 0.999)
    if held is not None and output != "value":
        form.problems.add(
            form.node_of("interval"), f"a {output or OUTPUTS[0]} has no interval", "take it out, or write output: value"
        )
    return Model(
        name=form.name("name") or "",
        inputs=tuple(inputs),
        output="value" if output == "value" else "class" if output == "class" else "probability",
        threshold=threshold if threshold is not None else 0.0 if output == "class" else 0.5,
        categories=read_categories(form.entries.get("categories"), read, problems),
        interval=0.9 if held is None else held,
        classes=names,
        costs=read_costs(form, names, problems) if names else (),
    )


def classes(root: Form) -> bool:
    """Whether the file's model gives the probability of a class, or of each of several."""
    node = root.entries.get("model")
    output = (node.entries or {}).get("output") if node is not None else None
    return output is None or output.text != "value"


def _check_field(
    node: Node, name: str, fields: Mapping[str, Field], columns: Mapping[str, list[str]], problems: Problems
) -> None:
    if name in columns and name not in fields:
        problems.add(node, f"{name} is a view, not a column", f"write {name}.* for all its columns")
    elif name not in fields:
        every = [path for paths in columns.values() for path in paths]
        problems.add(node, f"the event has no field {name}", closest(name, [*fields, *every]))
    elif fields[name].type == "time":
        problems.add(
            node, f"{name} is a time, and models read numbers", "make a calendar feature of it: weekend: weekday >= 5"
        )
    elif fields[name].type == "other":
        problems.add(node, f"{name} is not a number", "use another field")


def _check_trainer(form: Form, retrain: Retrain, model: Model | None, problems: Problems) -> None:
    """Not every trainer takes categories that are left to its library, or quantities; of others' nobody knows."""
    if model is not None and model.output == "value" and retrain.trainer == "logistic_regression":
        problems.add(
            form.node_of("trainer"), "logistic_regression fits classes, not quantities", "write trainer: lightgbm"
        )
    left = native(model.categories) if model is not None else ()
    if left and retrain.trainer in TRAINERS and retrain.trainer not in NATIVE_TRAINERS:
        problems.add(
            form.node_of("trainer"),
            f"{retrain.trainer} has no splits by categories, and {', '.join(left)} is left to them",
            f"write one_hot in model.categories, or trainer: {' or '.join(NATIVE_TRAINERS)}",
        )


def read_labels(form: Form, classes: bool, names: tuple[str, ...] = ()) -> Labels:
    """The `labels` section; `classes`: whether the model gives the probability of one; `names`: of several."""
    form.require("id", "name the column of label files that holds the event's id, such as id: transaction_id")
    form.require("value", "name the column of label files that holds the truth, such as value: fraud")
    unlabelled, positive = None, None
    if "unlabelled_is" in form and form.node_of("unlabelled_is").value is not None:
        unlabelled = _place_of_silence(form, names) if names else form.number("unlabelled_is")
    if names and "positive" in form:
        form.problems.add(form.node_of("positive"), "none of several classes is the positive one", "take it out")
    else:
        positive = form.number("positive")
    if positive is not None and not classes:
        form.problems.add(
            form.node_of("positive"), "a quantity has no positive class", "take it out, or write output: probability"
        )
    unlabelled = _class_of_silence(form, unlabelled, positive) if classes and not names else unlabelled
    matures, expires = form.duration("matures_after") or 0, form.duration("expires_after", least=1)
    if expires is not None and expires < matures:
        form.problems.add(
            form.node_of("expires_after"),
            f"labels expire after {units.duration(expires)}, before events have matured",
            f"write at least {units.duration(matures)}, which is matures_after",
        )
    sources: dict[str, None] = {}
    for node in form.items("sources", "[chargeback, analyst]"):
        name = forms.text(node, form.problems)
        if name in sources:
            form.problems.add(node, f"{name} stands there twice", "name each source once, the most trusted first")
        elif name is not None:
            sources[name] = None
    return Labels(
        form.text("id") or "",
        form.text("value") or "",
        matures,
        unlabelled,
        max(matures, LABELS_EXPIRE) if expires is None else expires,
        tuple(sources),
        classes,
        positive,
        names=names,
    )


def _place_of_silence(form: Form, names: tuple[str, ...]) -> float | None:
    """The place of the class that `unlabelled_is` names."""
    name = form.text("unlabelled_is")
    if name is not None and name not in names:
        form.problems.add(form.node_of("unlabelled_is"), f"no class {name}", closest(name, names))
    return float(names.index(name)) if name in names else None


def _class_of_silence(form: Form, unlabelled: float | None, positive: float | None) -> float | None:
    """`unlabelled_is` as 0 or 1: written as labels are, where the file says which of them is positive."""
    if unlabelled is None or (positive is None and unlabelled in (0, 1)):
        return unlabelled
    if positive is not None:
        return float(unlabelled == positive)
    form.problems.add(
        form.node_of("unlabelled_is"),
        f"{unlabelled:g} is neither 0 nor 1, and the model gives a probability",
        "write 0 or 1, or say which label is the positive class, such as positive: 2",
    )
    return unlabelled


def read_segments(
    node: Node, fields: Mapping[str, Field], views: Mapping[str, View], problems: Problems
) -> dict[str, Segment]:
    """The `segments` section, by name."""
    segments: dict[str, Segment] = {}
    columns = {c.path: c for view in views.values() for c in view.columns}
    for name, entry in Form(node, problems, None, "amount_band: {of: amount, cuts: [10, 50]}").named():
        form = Form(entry, problems, ("of", "cuts", "values"), "{of: amount, cuts: [10, 50]}")
        form.require("of", "name the field or feature column that is cut into groups, such as of: amount")
        of = form.text("of") or ""
        cuts = _ascending(form, problems)
        values: list[Value] = []
        for listed in form.items("values", "[web, shop]"):
            field = fields.get(of) or _as_field(of, columns, listed)
            value = value_of(listed, field, field.type not in ("time", "other"), problems)
            values += [] if value is None else [value]
        if entry.entries is not None and ("cuts" in form) == ("values" in form):
            problems.add(entry, "a segment has either cuts or values", "write cuts: [10, 50] or values: [web, shop]")
        if of and fields:
            _check_segment(form.node_of("of"), of, "cuts" in form, fields, columns.keys(), problems)
        segments[name] = Segment(name, of, cuts, tuple(values))
    return segments


def _as_field(of: str, columns: Mapping[str, Column], listed: Node) -> Field:
    """A feature column as if it were a field of the event; one that nobody knows has a type that nobody checks.

    A yes or no among features is 1 or 0, and may be listed either way.
    """
    if of not in columns:
        return Field(of, "other", True, None)
    kind = columns[of].type
    if kind == "boolean" and not isinstance(listed.value, bool):
        return Field(of, "integer", True, "int")
    return Field(of, kind, True, "long" if kind == "integer" else None)


def _check_segment(
    node: Node, of: str, cut: bool, fields: Mapping[str, Field], columns: Set[str], problems: Problems
) -> None:
    if of not in fields and of not in columns:
        problems.add(node, f"neither a field of the event nor a feature column: {of}", closest(of, [*fields, *columns]))
    elif of in fields and (fields[of].type in ("time", "other") or (cut and fields[of].type == "string")):
        remedy = "list its values instead: values: [a, b]" if fields[of].type == "string" else "use another field"
        problems.add(node, f"{of} is {fields[of].type} and cannot be cut", remedy)


def _ascending(form: Form, problems: Problems) -> tuple[float, ...]:
    cuts: list[float] = []
    for node in form.items("cuts", "[10, 50, 200]"):
        cut = forms.number(node, problems)
        if cut is not None and cuts and cut <= cuts[-1]:
            problems.add(node, f"the cut {cut:g} does not come after {cuts[-1]:g}", "write cuts from low to high")
        elif cut is not None:
            cuts.append(cut)
    return tuple(cuts)


def read_scorecards(form: Form, problems: Problems, names: Sequence[str] = ()) -> ScorecardsSection:
    """The `scorecards` section; `names`: of several classes."""
    if names and "precision_at" in form:
        problems.add(
            form.node_of("precision_at"),
            "none of several classes is the positive one, so there is no precision among the highest scores",
            "take it out; cards have precision_CLASS and recall_CLASS of every class",
        )
    depths: list[int] = []
    for node in form.items("precision_at", "[100]"):
        depth = forms.number(node, problems)
        if depth is not None and (depth < 1 or depth != int(depth)):
            problems.add(node, f"{node.text} is no number of rows", "write a whole number, such as precision_at: [100]")
        elif depth is not None:
            depths.append(int(depth))
    window = form.duration("window", least=60_000) or DAY
    least = LEAST_WINDOWS * window
    keep = form.duration("keep") or max(KEPT, least)
    if keep < least:
        problems.add(
            form.node_of("keep"),
            f"a card is told beside the {LEAST_WINDOWS - 1} windows before it, more than {units.duration(keep)}",
            f"write {units.duration(least)} or more, or leave keep out",
        )
    return ScorecardsSection(window, tuple(depths) or (100,), keep)


def read_value(form: Form) -> Worth:
    """The `value` section: what each kind of decision is worth."""
    return Worth(**{key: form.number(key) or 0 for key in SECTIONS["value"][0]})


def read_drift(form: Form) -> Drift:
    """The `drift` section."""
    budget = form.number("false_alarms_per_month", 0.001, 1000)
    mode = form.choice("mode", DRIFT_MODES) or DRIFT_MODES[0]
    accepted = form.duration("accept_after", least=DAY)
    tolerance = form.number("tolerance", 0, 10)
    return Drift(1 if budget is None else budget, mode, accepted, 0.1 if tolerance is None else tolerance)


def read_latency(form: Form) -> Latency:
    """The `latency` section."""
    return Latency(form.duration("target", least=1) or 50)


SECTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "model": (("name", "inputs", "categories", "output", "threshold", "interval", "classes", "costs"), MODEL_EXAMPLE),
    "labels": (
        ("id", "value", "positive", "matures_after", "unlabelled_is", "expires_after", "sources", *LABELS_FEED_KEYS),
        "{id: transaction_id, value: fraud}",
    ),
    "scorecards": (("window", "precision_at", "keep"), "{window: 1d, precision_at: [100]}"),
    "value": (("true_positive", "false_positive", "true_negative", "false_negative"), "{true_positive: 100}"),
    "drift": (("false_alarms_per_month", "mode", "accept_after", "tolerance"), "{false_alarms_per_month: 1}"),
    "retrain": (RETRAIN_KEYS, RETRAIN_EXAMPLE),
    "release": (RELEASE_KEYS, "{approvals: 1}"),
    "notify": (NOTIFY_KEYS, NOTIFY_EXAMPLE),
    "registry": (REGISTRY_KEYS, REGISTRY_EXAMPLE),
    "latency": (("target",), "{target: 50ms}"),
}
"""Keys of each section that is a plain mapping, and how it is written."""


def _key(root: Form) -> str:
    """The field that keys events, as it is written; empty where it is not."""
    events = root.entries.get("events")
    key = (events.entries or {}).get("key") if events is not None else None
    return "" if key is None or key.text is None else key.text


def _check_views(root: Form, views: Mapping[str, View], problems: Problems) -> None:
    """Records of classes have fields of their own, and views are fields beside them."""
    for name in set(RECORD_FIELDS) & views.keys():
        node = root.entries["views"].keys[name]
        problems.add(node, f"a view cannot be called {name}: records have a field of that name", f"call it {name}_view")


def read_rest(root: Form, fields: Mapping[str, Field], views: Mapping[str, View], problems: Problems) -> dict[str, Any]:
    """All sections below the views, as arguments of `Pipeline`; those that the file leaves out are left out."""
    found: dict[str, Any] = {}

    def section(name: str) -> Form | None:
        keys, example = SECTIONS[name]
        node = root.entries.get(name)
        return None if node is None else Form(node, problems, keys, example)

    if (form := section("model")) is not None:
        found["model"] = read_model(form, fields, views, problems)
        if found["model"].classes:
            _check_views(root, views, problems)
    if (form := section("labels")) is not None:
        found["labels"] = read_labels(form, classes(root), names_in(root))
    segments: dict[str, Segment] = {}
    if (node := root.entries.get("segments")) is not None:
        segments = found["segments"] = read_segments(node, fields, views, problems)
    if (form := section("scorecards")) is not None:
        found["scorecards"] = read_scorecards(form, problems, names_in(root))
    if (form := section("value")) is not None:
        found["value"] = read_value(form)
        if names_in(root):
            remedy = "take value out; model: {costs: ...} says what each error costs"
            problems.add(form.node, "decisions among several classes are neither positive nor negative", remedy)
    if (form := section("drift")) is not None:
        found["drift"] = read_drift(form)
    if (form := section("retrain")) is not None:
        found["retrain"] = read_retrain(form, "labels" in root, problems)
        _check_trainer(form, found["retrain"], found.get("model"), problems)
    if (form := section("release")) is not None:
        names = field_names(found["model"].classes) if "model" in found else ()
        found["release"] = read_release(form, segments, found.get("labels"), classes(root), names)
    if (form := section("notify")) is not None:
        found["notify"] = read_notify(form, problems)
    if (form := section("registry")) is not None:
        read = expanded(found["model"].inputs, views) if "model" in found else []
        found["registry"] = read_registry(form, read, problems)
    if (form := section("latency")) is not None:
        found["latency"] = read_latency(form)
    if (node := root.entries.get("kpis")) is not None:
        found["kpis"] = read_kpis(node, watchable(_key(root), views, found, classes(root)), problems)
    breaching = any(rule.retrain for rule in found.get("kpis", {}).values())
    if "retrain" in found and SCORECARD in found["retrain"].on and not breaching:
        output = found["model"].output if "model" in found else OUTPUTS[0]
        problems.add(
            root.entries["retrain"],
            "scorecard is to start trainings, and no rule of kpis asks for any",
            f"write retrain: true at one: {kpis_example(output, ', retrain: true')}",
        )
    return found
