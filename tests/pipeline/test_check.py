"""The checker: each kind of mistake, its line, its remedy; all of them at once; nothing from a stranger runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.domain.pipeline.check import Problem, check, load
from headrace.domain.pipeline.document import Problems, parse
from headrace.domain.pipeline.language.aggregation import LABEL
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.errors import ConfigurationError

from .conftest import SMALL, STRANGER

ProblemsOf = Callable[[str], list[Problem]]
ROOT = Path(__file__).resolve().parents[2]

VIEW = "  rider: {key: rider, windows: [1h], features: {trips: count, ridden: sum(minutes)}}"
LABELLED = (
    "  station: {key: station, windows: [1h], delay: 1d, features: {faults: mean(label)}}\n"
    "labels: {id: trip, value: faulty, matures_after: 1d, unlabelled_is: 0}"
)
EVENTS = "{schema: bike_trip, id: trip, time: returned_at, key: rider}"
MODEL = "{name: small, inputs: [minutes, rider.*]}"

# What is replaced in SMALL, what it is replaced by, the line of the mistake, and parts of the message and the remedy.
CLASSES = "{name: m, inputs: [minutes], output: class, classes: "
LONG_WAIT = "labels: {id: trip, value: x, matures_after: 7d, expires_after: 1d}"
MISTAKES = [
    ("pipeline: small", "pipelin: small", 1, "pipeline is missing", "pipeline: card_fraud"),
    ("pipeline: small", "pipelin: small", 1, "unknown key pipelin", "did you mean pipeline?"),
    ("pipeline: small", "pipeline: My Pipe", 1, "not a legal name", "such as my_pipe"),
    ("pipeline: small", "pipeline: [a]", 1, "should be a text, not a list", "write a word"),
    ("pipeline: small", "pipeline:", 1, "should be a text, not empty", "write a word"),
    (EVENTS, "bike_trip", 2, "should be a mapping, not a text", "{schema: card_transaction"),
    ("schema: bike_trip", "schema: bike_tripp", 2, "no schema bike_tripp", "did you mean bike_trip?"),
    ("schema: bike_trip", "schema: ../schemas/bike_trip", 2, "no schema", ""),
    ("schema: bike_trip, ", "", 2, "schema is missing", "name a file of schemas/"),
    ("id: trip", "id: tripp", 2, "the event has no field tripp", "did you mean trip?"),
    ("id: trip", "id: charge", 2, "charge is number, an id has to be integer or string", "trip"),
    ("time: returned_at", "time: minutes", 2, "minutes is integer, an event time has to be time", "returned_at"),
    ("key: rider}\n", "key: electric}\n", 2, "electric is boolean, a key", "rider"),
    (EVENTS, EVENTS[:-1] + ", allowed_lateness: 10}", 2, "10 is not a duration", "10m"),
    (EVENTS, EVENTS[:-1] + ", allowed_lateness: 1.5h}", 2, "1.5h is not a duration", "half a day is 12h"),
    (EVENTS, EVENTS[:-1] + ", allowed_lateness: 99999999d}", 2, "not a duration", "at most a century"),
    (EVENTS, EVENTS[:-1] + ", late: drop}", 2, "late cannot be drop", "reject, score"),
    (MODEL, MODEL + "\nscorecards: {window: 1d, keep: 8d}", 6, "beside the 8 windows before it", "9d"),
    (EVENTS, EVENTS[:-1] + ", repeats: ignore}", 2, "repeats cannot be ignore", "drop, keep"),
    (EVENTS, EVENTS[:-1] + ", repeats_within: 0s}", 2, "0s is too short", "at least 1ms"),
    (EVENTS, EVENTS[:-1] + ", allowed_lateness: 2h, repeats_within: 1h}", 2, "2h late and be counted twice", "2h"),
    (EVENTS, EVENTS[:-1] + ", repeats: keep, repeats_within: 1h}", 2, "no use where repeats are kept", "repeats: drop"),
    (VIEW, VIEW.replace("key: rider", "kye: rider"), 4, "unknown key kye", "did you mean key?"),
    (VIEW, VIEW.replace("key: rider", "kye: rider"), 4, "key is missing", "key: customer_id"),
    (VIEW, VIEW.replace("[1h]", "[1h, 60m]"), 4, "the window 60m is there already", "once"),
    (VIEW, VIEW.replace("[1h]", "[1h, 5m]"), 4, "5m comes after a longer one, 1h", "short to long"),
    (VIEW, VIEW.replace("[1h]", "[1h, 10 in 1x]"), 4, "1x is not a duration", "7d"),
    (VIEW, VIEW.replace("[1h]", "[10 in 1h, 10 in 60m]"), 4, "the window 10 in 60m is there already", "once"),
    (VIEW, VIEW.replace("key: rider", "key: [rider, charge]"), 4, "charge is number, an entity", "station"),
    (VIEW, VIEW.replace("key: rider", "key: [rider, rider]"), 4, "or one twice", "each field once"),
    (VIEW, VIEW + "\n  more: {ratio: rider.tripz_1h / 2}", 5, "unknown name rider.tripz_1h", "rider.trips_1h"),
    (VIEW, VIEW.replace("[1h]", "[]"), 4, "no window is named", "[1d]"),
    (VIEW, VIEW.replace("[1h]", "1h"), 4, "should be a list, not a text", "[1d, 7d, 30d]"),
    (VIEW, VIEW.replace("[1h]", "[0s]"), 4, "0s is too short", "at least 1ms"),
    (VIEW, VIEW.replace("sum(minutes)", "mean(tariff)"), 4, "mean of tariff, which is string", "minutes"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(minuts)"), 4, "no field minuts", "did you mean minutes?"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(minutes where tariff)"), 4, "where needs a condition", "compare it"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(minutes where tarif == 'guest')"), 4, "unknown name tarif", "tariff"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(minutes where )"), 4, "where without a condition", "device =="),
    (VIEW, VIEW.replace("sum(minutes)", "sum(minutes * tariff)"), 4, "arithmetic on a string", "numbers"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(log(minutes, 2))"), 4, "cut short", "quotes around"),
    (VIEW, VIEW.replace("sum(minutes)", "'sum(minutes, 2)'"), 4, "sum takes one value", "take 2 out"),
    (VIEW, VIEW.replace("sum(minutes)", "sum(os(minutes))"), 4, "a function call is not allowed: os", "log"),
    (VIEW, VIEW.replace("sum(minutes)", "top(tariff)"), 4, "a value among those listed", "tariff: {one_of"),
    (VIEW, VIEW.replace("sum(minutes)", "quantile(minutes)"), 4, "needs a share", "'quantile(amount, 0.95)'"),
    (VIEW, VIEW.replace("sum(minutes)", "'quantile(minutes, 95)'"), 4, "95 is not a share", "between 0 and 1"),
    (VIEW, VIEW.replace("sum(minutes)", "'decayed_sum(minutes, 1)'"), 4, "1 is not a duration", "30s"),
    (VIEW, VIEW.replace("sum(minutes)", "time_since_last(minutes)"), 4, "takes no value", "time_since_last(where"),
    (VIEW, VIEW.replace("sum(minutes)", "avg(minutes)"), 4, "unknown function avg", "count, sum, mean, min, max"),
    (VIEW, VIEW.replace("sum(minutes)", "sum"), 4, "sum needs a field", "sum(FIELD)"),
    (VIEW, VIEW.replace("sum(minutes)", "mean(label)"), 4, "the pipeline has no labels", "where truth comes from"),
    (VIEW, LABELLED.replace("key: station", "key: rider"), 4, "rider keys the events", "a view of another key"),
    (VIEW, LABELLED.replace("mean(", "max("), 4, "max of labels is not kept", "count, sum, mean"),
    (VIEW, LABELLED.replace("(label)", "(faulty)"), 4, "no field faulty", "mean(label)"),
    (VIEW, LABELLED.replace("delay: 1d", "delay: 1h"), 4, "when a missing label does not mean 0 yet", "delay: 1d"),
    (VIEW, LABELLED.replace(", delay: 1d", ""), 4, "windows end 0s before the event", "delay: 1d"),
    (VIEW, VIEW.replace("sum(minutes)", "a + b"), 4, "not an aggregation", "mean(amount)"),
    (VIEW, VIEW.replace("trips: count", "Trips: count"), 4, "not a legal name", "such as trips"),
    (VIEW, VIEW.replace("{trips: count, ridden: sum(minutes)}", "{}"), 4, "no features", "nb_tx: count"),
    (VIEW, VIEW[:-1] + ", missing: none}", 4, "should be a number, not a text", "write a number"),
    (VIEW, VIEW[:-1] + ", version: 0}", 4, "0 is out of bounds", "at least 1"),
    (VIEW, VIEW[:-1] + ", version: 1.5}", 4, "should be a whole number", "write 1"),
    (VIEW, VIEW[:-1] + ", idle_after: 1ms}", 4, "too short", "at least 1s"),
    (VIEW, "  score: {rush: hour > 7}", 4, "cannot be called score", "score_view"),
    (VIEW, "  rider: {rush: hor > 7}", 4, "unknown name hor", "hour"),
    (VIEW, "  rider: {rush: hour > 7, timezone: Mars}", 4, "unknown timezone", "Europe/Paris"),
    (VIEW, "  rider: {}", 4, "the view has no features", "weekend"),
    (VIEW, VIEW + "\n  rider_age: {rush: hour > 7}", 5, "also the name of the age of rider", "something else"),
    (VIEW, VIEW + "\n" + VIEW, 5, "rider is written twice, first on line 4", "keep one"),
    (MODEL, "{inputs: [minutes]}", 5, "name is missing", "name: card_fraud"),
    (MODEL, "{name: m, inputs: []}", 5, "the model reads nothing", "at least one"),
    (MODEL, "{name: m, inputs: [minuts]}", 5, "no field minuts", "did you mean minutes?"),
    (MODEL, "{name: m, inputs: [minutes, minutes]}", 5, "there already", "once"),
    (MODEL, "{name: m, inputs: [ridr.*]}", 5, "no view ridr", "did you mean rider?"),
    (MODEL, "{name: m, inputs: [rider.trips_2h]}", 5, "no feature column rider.trips_2h", "rider.trips_1h?"),
    (MODEL, "{name: m, inputs: [minutes], categories: {tariff: one_hot}}", 5, "tariff is no input", "minutes"),
    (MODEL, "{name: m, inputs: [tariff], categories: {tariff: onehot}}", 5, "no encoding is called onehot", "one_hot"),
    (MODEL, "{name: m, inputs: [charge], categories: {charge: one_hot}}", 5, "charge is number, and a", "take it out"),
    (MODEL, "{name: m, inputs: [tariff], categories: [tariff]}", 5, "should be a mapping, not a list", "{sector:"),
    (MODEL, "{name: m, inputs: [tariff], categories: {tariff: {most: 0}}}", 5, "0 is out of bounds", "1"),
    (
        MODEL,
        "{name: m, inputs: [tariff], categories: {tariff: {encoding: hash, most: 5}}}",
        5,
        "most has no use: hashes know no category by name",
        "take it out",
    ),
    (
        MODEL,
        "{name: m, inputs: [tariff], categories: {tariff: native}}\nlabels: {id: trip, value: x}\n"
        "retrain: {trainer: random_forest}",
        7,
        "random_forest has no splits by categories, and tariff is left to them",
        "lightgbm or xgboost",
    ),
    (
        MODEL,
        "{name: m, inputs: [minutes], output: value, threshold: 3}\nlabels: {id: trip, value: x}\n"
        "retrain: {trainer: logistic_regression}",
        7,
        "logistic_regression fits classes, not quantities",
        "lightgbm",
    ),
    (MODEL, "{name: m, inputs: [minutes], classes: [a, b, c]}", 5, "only output: class has classes", "output: class"),
    (MODEL, "{name: m, inputs: [minutes], costs: {a: {b: 2}}}", 5, "only output: class has costs", "take costs out"),
    (MODEL, "{name: m, inputs: [minutes], output: class}", 5, "classes is missing", "as labels say them"),
    (MODEL, CLASSES + "[a]}", 5, "among two classes at least", "list all"),
    (MODEL, CLASSES + "[a, b, a]}", 5, "the class a is there already", "each class once"),
    (MODEL, CLASSES + "[a b, a-b]}", 5, "would both be the field a_b", "call one of them otherwise"),
    (MODEL, CLASSES + "[1, 2, other]}", 5, "1 is a number and others are texts", "or none of them"),
    (MODEL, CLASSES + "[1, 2, 2.5]}", 5, "2.5 is no class", "texts in quotes"),
    (MODEL, CLASSES + "[1, 2, 1_000]}", 5, "1_000 is no class", "plainly"),
    (MODEL, CLASSES + "[a, ' b']}", 5, "' b' is no class", "without blanks"),
    (MODEL, CLASSES + "[a, null]}", 5, "should be a text, not empty", "write a word"),
    (MODEL, CLASSES + f"[{', '.join(map(str, range(51)))}]}}", 5, "51 classes, at most 50", "join some"),
    (MODEL, CLASSES + "[a, b], interval: 0.9}", 5, "a class has no interval", "output: value"),
    (MODEL, CLASSES + "[a, b], threshold: 2}", 5, "2 is out of bounds", "between 0 and 1"),
    (MODEL, CLASSES + "[good, bad], costs: {god: {bad: 2}}}", 5, "no class god", "did you mean good?"),
    (MODEL, CLASSES + "[good, bad], costs: {good: {bat: 2}}}", 5, "no class bat", "did you mean bad?"),
    (MODEL, CLASSES + "[a, b], costs: {a: {b: -1}}}", 5, "-1 is out of bounds", "between 0 and"),
    (MODEL, CLASSES + "[a, b], costs: {a: {a: 1}}}", 5, "deciding for a where it is true costs nothing", "take it"),
    (MODEL, CLASSES + "[a, b], costs: [1, 2]}", 5, "should be a mapping, not a list", "virginica"),
    (MODEL, CLASSES + "[a, b]}\nlabels: {id: trip, value: x, positive: 1}", 6, "none of several classes", "take it"),
    (MODEL, CLASSES + "[good, bad]}\nlabels: {id: trip, value: x, unlabelled_is: god}", 6, "no class god", "good?"),
    (MODEL, CLASSES + "[a, b]}\nvalue: {true_positive: 1}", 6, "neither positive nor negative", "costs"),
    (MODEL, "{name: m, inputs: [minutes], interval: 0.9}", 5, "a probability has no interval", "output: value"),
    (MODEL, "{name: m, inputs: [returned_at]}", 5, "is a time", "weekday"),
    (MODEL, "{name: m, inputs: [minutes], output: classes}", 5, "output cannot be classes", "class"),
    (MODEL, "{name: m, inputs: [minutes], threshold: 2}", 5, "2 is out of bounds", "between 0 and 1"),
    (MODEL, "{name: m, inputs: [minutes], output: value}", 5, "threshold is missing", "decision is yes"),
    (MODEL, MODEL + "\nrules: {minuts: {required: true}}", 6, "no field minuts", "minutes?"),
    (MODEL, MODEL + "\nrules: {minutes: {}}", 6, "the rule checks nothing", "range"),
    (MODEL, MODEL + "\nrules: {minutes: {range: [5, 1]}}", 6, "the range is empty", "[1, 5]"),
    (MODEL, MODEL + "\nrules: {minutes: {range: [5]}}", 6, "two ends, not 1", "[0, 100000]"),
    (MODEL, MODEL + "\nrules: {tariff: {range: [1, 5]}}", 6, "tariff is string: it has no range", "one_of"),
    (MODEL, MODEL + "\nrules: {minutes: {type: string, required: true}}", 6, "is integer in the event's", "integer"),
    (MODEL, MODEL + "\nrules: {minutes: {one_of: [a]}}", 6, "a is a text, not integer", "integer"),
    (MODEL, MODEL + "\nrules: {minutes: {range: [0, 9], else: impute}}", 6, "value is missing", "value: 0"),
    (MODEL, MODEL + "\nrules: {minutes: {range: [0, 9], else: impute, value: 10}}", 6, "breaks the very rule", ""),
    (MODEL, MODEL + "\nrules: {minutes: {range: [0, 9], value: 1}}", 6, "without else: impute", "else: impute"),
    (MODEL, MODEL + "\nrules: {minutes: {range: [0, 9], else: drop}}", 6, "else cannot be drop", "reject"),
    (MODEL, MODEL + "\nlabels: {value: x}", 6, "id is missing", "id: transaction_id"),
    (MODEL, MODEL + f"\n{LONG_WAIT}", 6, "labels expire after 1d, before events have matured", "at least 7d"),
    (MODEL, MODEL + "\nlabels: {id: trip, value: x, unlabelled_is: 0.3}", 6, "0.3 is neither 0 nor 1", "positive: 2"),
    (MODEL, MODEL + "\nlabels: {id: trip, value: x, positive: yes}", 6, "should be a number", ""),
    (
        MODEL,
        MODEL.replace("name: small", "name: small, output: value, threshold: 3")
        + "\nlabels: {id: trip, value: x, positive: 2}",
        6,
        "a quantity has no positive class",
        "output: probability",
    ),
    (MODEL, MODEL + "\nlabels: {id: trip, value: x, sources: [a, a]}", 6, "a stands there twice", "the most trusted"),
    (MODEL, MODEL + "\nsegments: {band: {of: minutes, cuts: [3, 2]}}", 6, "2 does not come after 3", "low to high"),
    (MODEL, MODEL + "\nsegments: {band: {of: minutes}}", 6, "either cuts or values", "cuts: [10, 50]"),
    (MODEL, MODEL + "\nsegments: {band: {of: tariff, cuts: [1]}}", 6, "cannot be cut", "values: [a, b]"),
    (MODEL, MODEL + "\nsegments: {band: {of: rider.tripz_1h, cuts: [1]}}", 6, "neither a field", "rider.trips_1h?"),
    (MODEL, MODEL + "\nvalue: {true_positiv: 1}", 6, "unknown key true_positiv", "true_positive?"),
    (MODEL, MODEL + "\ndrift: {false_alarms_per_month: 0}", 6, "out of bounds", "between"),
    (MODEL, MODEL + "\ndrift: {mode: prooved}", 6, "mode cannot be prooved", "proved?"),
    (MODEL, MODEL + "\ndrift: {accept_after: 1h}", 6, "1h is too short", "at least 1d"),
    (MODEL, MODEL + "\ndrift: {tolerance: -0.1}", 6, "out of bounds", "between 0 and 10"),
    (MODEL, MODEL + "\ndrift: {tolerance: 10%}", 6, "should be a number", "between 0 and 10"),
    (MODEL, MODEL + "\nretrain: {on: [moon]}", 6, "moon that could start", "drift"),
    (MODEL, MODEL + "\nretrain: {trainer: xgbost}", 6, "cannot be xgbost", "xgboost"),
    (MODEL, MODEL + "\nretrain: {on: [drift]}", 6, "a training needs labels", "write the section labels"),
    (MODEL, MODEL + "\nretrain: {on: [schedule]}", 6, "nothing says when", 'schedule: "0 3 * * 1"'),
    (MODEL, MODEL + "\nretrain: {on: [volume]}", 6, "nothing says when", "volume: 50000"),
    (MODEL, MODEL + "\nretrain: {schedule: 0 3 * * 1}", 6, "schedule starts nothing", "add schedule to on"),
    (MODEL, MODEL + '\nretrain: {on: [schedule], schedule: "61 3 * * 1"}', 6, "no cron expression", "Mondays"),
    (MODEL, MODEL + '\nretrain: {on: [schedule], schedule: "0 0 30 2 *"}', 6, "no cron expression", "Mondays"),
    (MODEL, MODEL + "\nretrain: {settle: 0s}", 6, "0s is too short", "at least 1ms"),
    (MODEL, MODEL + "\nrelease: {canary: [25%, 5%, 100%]}", 6, "no larger than the last", "low to high"),
    (MODEL, MODEL + "\nrelease: {canary: [5%]}", 6, "last share is not 100%", "end with 100%"),
    (MODEL, MODEL + "\nrelease: {canary: [0.05]}", 6, "not a percentage", "25%"),
    (MODEL, MODEL + "\nrelease: {fairness: {segment: band, gap: 0.1}}", 6, "no segment band", "none"),
    (MODEL, MODEL + "\nrelease: {gates: {averge_precision: better}}", 6, "no figure averge_precision", "average_prec"),
    (MODEL, MODEL + "\nrelease: {gates: {auc_roc: good}}", 6, "good is no gate", "not worse by 0.01"),
    (MODEL, MODEL + "\nrelease: {gates: {auc_roc: better by -1}}", 6, "better by -1 is no gate", "at least 0.3"),
    (MODEL, MODEL + "\nrelease: {gates: {r2: better}}", 6, "no figure r2", "auc_roc"),
    (MODEL, MODEL + "\nrelease: {groups: {band: {auc_roc: at least 1}}}", 6, "no segment band", "none"),
    (MODEL, MODEL + "\nrelease: {approvals: 3}", 6, "out of bounds", "between 0 and 2"),
    (MODEL, MODEL + "\nrelease: {approvals: 2, people: {approve: [ana]}}", 6, "1 may approve, and 2", "more people"),
    (MODEL, MODEL + "\nrelease: {people: {approve: [ana, ana]}}", 6, "ana stands there twice", "once"),
    (MODEL, MODEL + "\nrelease: {people: {aprove: [ana]}}", 6, "unknown key aprove", "approve?"),
    (MODEL, MODEL + "\nrelease: {margin: 0%}", 6, "0% is no margin", "above 0"),
    (MODEL, MODEL + "\nrelease: {margin: wide}", 6, "wide is no margin", "5%"),
    (MODEL, MODEL + "\nrelease: {bound: 4}", 6, "chances have a bound", "take it out"),
    (MODEL, MODEL.replace("small", "small, output: value, threshold: 3") + "\nrelease: {}", 6, "bound is missing", ""),
    (MODEL, MODEL + "\nrelease: {releases_per_year: 1}", 6, "leave chance to decide", "at least 2 releases_per_year"),
    (MODEL, MODEL + "\nrelease: {alpha_advance: 1}", 6, "out of bounds", "0.5"),
    (MODEL, MODEL + "\nrelease: {golden_rows: {memory: 300}}", 6, "300 is no memory", "300MB"),
    (MODEL, MODEL + "\nrelease: {explanations: {share: 0.6}}", 6, "not a percentage", "25%"),
    (MODEL, MODEL + "\nlatency: {target: soon}", 6, "soon is not a duration", "500ms"),
    (MODEL, MODEL + "\nlatency: 50ms", 6, "should be a mapping", "{target: 50ms}"),
    # What YAML itself allows and we do not, or what is no YAML.
    (VIEW, VIEW.replace("  rider", "\trider", 1), 4, "a tab in the indentation", "spaces"),
    (MODEL, "!!python/object/apply:os.system [echo]", 5, "a tag, tag:yaml.org,2002:python/object", "not read"),
    (MODEL, "&a {name: m, inputs: [minutes]}\nlabels: *a", 6, "an alias, *a", "write the value out"),
    (MODEL, MODEL + "\n---\npipeline: two", 6, "a second document", "one pipeline a file"),
    (MODEL, "{name: small, inputs: [minutes}", 5, "not YAML", "brackets"),
    (MODEL, MODEL + "\n? [a]\n: b", 6, "a key that is not a word", "name: value"),
    (MODEL, "[" * 5000, 5, "nested too deeply", "shape"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message", "remedy"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_remedy(
    problems_of: ProblemsOf, old: str, new: str, line: int, message: str, remedy: str
) -> None:
    """Exactly where it is, in words that say what is wrong and what to write."""
    assert old in SMALL
    found = problems_of(SMALL.replace(old, new))
    told = [problem for problem in found if message in problem.message]
    assert told, "\n".join(map(str, found))
    assert told[0].line == line
    assert remedy in told[0].remedy
    assert all(problem.remedy for problem in found)


def test_a_good_file_has_no_problems(problems_of: ProblemsOf) -> None:
    """The file that every mistake above is made in is good itself."""
    assert problems_of(SMALL) == []


def test_silence_is_written_as_labels_are(project: Path) -> None:
    """`unlabelled_is` is a label like any other: where 2 is the positive class, 2 is 1 and all else 0."""
    for rest, silence in (("unlabelled_is: 1", 0.0), ("unlabelled_is: 2", 1.0), ("matures_after: 1d", None)):
        path = project / "pipelines" / "small.yaml"
        path.write_text(SMALL.replace(MODEL, MODEL + f"\nlabels: {{id: trip, value: x, positive: 2, {rest}}}"))
        labels = load(path).labels
        assert labels is not None
        assert (labels.classes, labels.positive, labels.unlabelled_is) == (True, 2.0, silence)


def test_views_read_labels_by_one_name(project: Path, problems_of: ProblemsOf) -> None:
    """`label` is what came true; an event's own field of that name is one only where the pipeline has no labels."""
    text = SMALL.replace(VIEW, VIEW + "\n" + LABELLED)
    assert problems_of(text) == []
    schema = project / "schemas" / "bike_trip.avsc"
    schema.write_text(schema.read_text().replace('"minutes"', '"label"'))
    text = text.replace("minutes", LABEL)
    (found,) = {problem.message for problem in problems_of(text)}
    assert "the event has a field label" in found
    assert problems_of(SMALL.replace("minutes", LABEL)) == []


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "pipelines").glob("*.yaml")), STRANGER / "pipelines" / "bike_demand.yaml"],
    ids=lambda p: p.stem,
)
def test_our_own_pipelines_are_good(path: Path) -> None:
    """Every pipeline that comes with headrace, and the stranger's, pass their own checker."""
    assert check(path) == []


def test_all_mistakes_are_told_at_once(problems_of: ProblemsOf) -> None:
    """Mistakes in different sections do not hide each other, and come in the order of their lines."""
    text = SMALL.replace("id: trip", "id: tripp").replace("[1h]", "[1h, 1x]").replace("minutes, ", "minuts, ")
    found = problems_of(text + "latency: {target: soon}\nextra: 1\n")
    assert [problem.line for problem in found] == [2, 4, 5, 6, 7]


def test_a_missing_schema_does_not_flood(problems_of: ProblemsOf) -> None:
    """Where the event's schema is not found, nothing is said about its fields: one cause, one problem."""
    assert len(problems_of(SMALL.replace("bike_trip", "nothing_like_it"))) == 1


def test_a_hostile_schema_is_refused(project: Path, problems_of: ProblemsOf) -> None:
    """An event schema that would be dangerous to decode cannot be used."""
    hostile = '{"type": "record", "name": "a", "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]}'
    (project / "schemas" / "hostile.avsc").write_text(hostile)
    found = problems_of(SMALL.replace("bike_trip", "hostile"))
    assert "the schema cannot be used" in found[0].message
    assert len(found) == 1


def test_load_raises_with_all_problems_rendered(project: Path) -> None:
    """The error of `load` is what a person reads: file, line, column, entry, message and remedy of each."""
    path = project / "pipelines" / "bad.yaml"
    path.write_text(SMALL.replace("id: trip", "id: tripp").replace("[1h]", "[1x]"))
    with pytest.raises(ConfigurationError) as error:
        load(path)
    first, second = str(error.value).splitlines()
    assert first == f"{path}:2:33: events.id: the event has no field tripp (did you mean trip?)"
    assert second.startswith(f"{path}:4:33: views.rider.windows[0]: 1x is not a duration")


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """A missing, binary, empty or giant file is told like any other mistake."""
    cases = {
        "missing": None,
        "binary": b"\xff\xfe\x00",
        "empty": b"",
        "comment": b"# nothing",
        "giant": b"#" * (2 << 20),
    }
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        assert len(check(path)) == 1, name


def test_exploding_yaml_is_refused_at_once() -> None:
    """Nested aliases that stand for a billion nodes, and deep nesting, cost no time."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    started = time.perf_counter()
    for text in (bomb, "{a: " * 2000, "a: 1" + "0" * 100_000):
        parse(text, Problems())
    assert time.perf_counter() - started < 5


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edit_of_a_file_breaks_the_checker(problems_of: ProblemsOf, data: st.DataObject) -> None:
    """Cut, doubled or garbled anywhere, a file is good or has problems: it never crashes the checker."""
    text = (STRANGER / "pipelines" / "bike_demand.yaml").read_text()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 40, len(text))))
    junk = data.draw(
        st.one_of(st.text(max_size=5), st.sampled_from(["{", "]", ": ", "[]", "null", "1e400", "0x1F", "'"]))
    )
    for problem in problems_of(text[:start] + junk + text[stop:]):
        assert problem.line >= 1
        assert problem.remedy


def test_schemas_of_the_project_come_first(project: Path) -> None:
    """A user's schema hides ours of the same name, and ours are found where the user has none."""
    (project / "schemas" / "label.avsc").write_text('{"type": "record", "name": "mine", "fields": []}')
    workspace = Workspace.of(project / "pipelines" / "bike_demand.yaml")
    assert workspace.schema("label")["name"] == "mine"
    assert workspace.schema("plan")["name"] == "plan"
    with pytest.raises(ConfigurationError, match="did you mean plan"):
        workspace.schema("plann")


def test_a_bare_name_means_a_pipeline(project: Path) -> None:
    """`card_fraud` is the user's file if there is one, else ours; an unknown name gets a hint."""
    assert resolve("bike_demand", project) == project / "pipelines" / "bike_demand.yaml"
    assert resolve("pipelines/bike_demand.yaml", project) == project / "pipelines" / "bike_demand.yaml"
    assert resolve("card_fraud", project) == ROOT / "pipelines" / "card_fraud.yaml"
    with pytest.raises(ConfigurationError, match="did you mean card_fraud"):
        resolve("card_fruad", project)


@pytest.mark.parametrize("line", ['views: {"\\ud800": {x: hour}}', 'labels: {id: "\\udfff", value: y}'])
def test_half_a_character_is_refused(problems_of: ProblemsOf, line: str) -> None:
    """A lone surrogate, which no record could carry, is shown with its place, whichever of YAML's parsers reads it."""
    found = problems_of(f"pipeline: small\n{line}\n")
    told = ("half of a character", "invalid Unicode character")
    assert any(problem.line == 2 and any(part in problem.message for part in told) for problem in found)


def test_half_a_character_in_a_schema_is_refused(project: Path, problems_of: ProblemsOf) -> None:
    """A schema with one is named, with the reason."""
    path = project / "schemas" / "bike_trip.avsc"
    text = path.read_text()
    path.write_text(text.replace('"fields"', '"aliases": ["\\ud800"], "fields"', 1))
    assert any("half of a character" in p.message for p in problems_of(SMALL))


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ("segments: {band: {of: minutes, values: [1, a]}}", "a is a text"),
        ("segments: {band: {of: minutes, values: [1.5, true]}}", "true is a boolean"),
        ("segments: {band: {of: rider.trips_1h, values: [9223372036854775808]}}", "does not fit"),
        ("segments: {band: {of: rider.trips_1h, values: [0.5]}}", "not integer"),
        ("rules: {minutes: {one_of: [a]}}", "a is a text"),
    ],
)
def test_a_listed_value_has_the_type_of_its_field(problems_of: ProblemsOf, section: str, part: str) -> None:
    """What no record can hold is refused in the file, not by the first record that is compared with it."""
    assert any(part in problem.message for problem in problems_of(SMALL + section + "\n")), section


def test_a_text_is_listed_as_it_is_written(project: Path) -> None:
    """A value of a text field that looks like a number stays the text that was written."""
    path = project / "pipelines" / "small.yaml"
    path.write_text(SMALL + 'segments: {tariffs: {of: tariff, values: ["007", yes, 1.50]}}\n')
    assert load(path).segments["tariffs"].values == ("007", "yes", "1.50")
