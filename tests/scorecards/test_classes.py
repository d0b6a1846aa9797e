"""Cards of models of several classes, held against scikit-learn on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn import metrics

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.contracts import outcomes, predictions
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.class_sums import ClassSums, decided_sums, merged, outcome_sums, pack, unpack
from headrace.domain.scorecards import partial_aggregate
from headrace.domain.scorecards.card import card
from headrace.domain.scorecards.partial_aggregate import NOTHING, Tally, counted
from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch
from tests.scorecards.made import DAY, PARTITIONS, START, Member, pieces, pipeline
from tests.several import NAMES, chances, decisions, of_classes

Floats = npt.NDArray[np.float64]
Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rows:
    """A day of a model of several classes; `truth` and `former` are places, NaN where nobody ever says anything."""

    times: npt.NDArray[np.int64]
    amounts: Floats
    scores: Floats
    truth: Floats
    former: Floats

    def some(self, at: Any) -> Rows:
        """Some of them."""
        return Rows(self.times[at], self.amounts[at], self.scores[at], self.truth[at], self.former[at])


def made(rows: int, classes: int, draw: np.random.Generator, digits: int | None = 3) -> Rows:
    """Truths follow the chances, some are unknown, and some were said otherwise before."""
    scores = chances(rows, classes, draw, digits)
    truth = np.array([draw.choice(classes, p=each / each.sum()) for each in scores], np.float64)
    truth[draw.random(rows) < 0.1] = np.nan
    former = np.where(draw.random(rows) < 0.2, draw.integers(0, classes, rows).astype(np.float64), truth)
    former[draw.random(rows) < 0.05] = np.nan
    times = START + np.sort(draw.integers(0, DAY, rows))
    return Rows(times, draw.lognormal(3.5, 1, rows), scores, truth, former)


def told(of: Pipeline, logical: str, rows: Rows, label: Floats | None = None, **said: Any) -> pa.RecordBatch:
    """Rows as records of a topic."""
    schema = load_schema((predictions if logical == "predictions" else outcomes)(of)).arrow
    places, score, decision = decisions(rows.scores, of)
    count = len(rows.times)
    model = {"name": "m", "version": "1", "digest": "d" * 8}
    columns: dict[str, Any] = {
        "event_id": [f"e{time}" for time in rows.times],
        "entity": ["x"] * count,
        "event_time": rows.times,
        "ingest_time": rows.times,
        "predicted_time": rows.times + 20,
        "arm": ["champion"] * count,
        "model": pa.array([model] * count, schema.field("model").type),
        "score": score,
        "decision": decision,
        "class": [of.model.classes[place] for place in places],
        "scores": pa.StructArray.from_arrays(list(rows.scores.T), fields=list(schema.field("scores").type)),
        "event": pa.StructArray.from_arrays([pa.array(rows.amounts)], names=["amount"]),
        "compute_micros": np.full(count, 3.0),
        "state": ["labelled"] * count,
        "revision": np.zeros(count, np.int32),
        **said,
    }
    if label is not None:
        columns["label"] = pa.array(label, from_pandas=True)
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            arrays.append(blank(field.type, count))
        else:
            arrays.append((column if isinstance(column, pa.Array) else pa.array(column)).cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def blank(kind: pa.DataType, rows: int) -> pa.Array:
    """Nothing, of a type."""
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([blank(part.type, rows) for part in kind], fields=list(kind))
    if pa.types.is_string(kind):
        return pa.array([""] * rows)
    if pa.types.is_boolean(kind):
        return pa.array([False] * rows)
    return pa.nulls(rows, kind) if pa.types.is_floating(kind) else pa.array(np.zeros(rows)).cast(pa.int64()).cast(kind)


def of_card(classes: int, draw: np.random.Generator, threshold: float = 0.5) -> Pipeline:
    """The card pipeline with classes, random costs and the segment of amounts."""
    costs = draw.integers(1, 6, (classes, classes)) * (1 - np.eye(classes))
    return of_classes(pipeline(), NAMES[:classes], costs.tolist(), threshold)


def assert_like_scikit_learn(figures: Figures, rows: Rows, of: Pipeline) -> None:
    """Every figure is theirs."""
    names, count = field_names(of.model.classes), len(of.model.classes)
    places, score, decision = decisions(rows.scores, of)
    known = ~np.isnan(rows.truth)
    truth, places = rows.truth[known].astype(np.int64), places[known]
    scores = rows.scores[known]

    def is_figure(name: str, wanted: float | None) -> None:
        found = figures[name]["value"]
        assert found == (None if wanted is None else pytest.approx(wanted, abs=1e-9)), name

    is_figure("accuracy", metrics.accuracy_score(truth, places))
    is_figure("decided_accuracy", (truth == places)[decision[known]].mean())
    is_figure("balanced_accuracy", metrics.balanced_accuracy_score(truth, places))
    is_figure("mcc", metrics.matthews_corrcoef(truth, places))
    whole: dict[str, Any] = {"average": "macro", "zero_division": 0}
    is_figure("macro_precision", metrics.precision_score(truth, places, **whole))
    is_figure("macro_recall", metrics.recall_score(truth, places, **whole))
    is_figure("macro_f1", metrics.f1_score(truth, places, **whole))
    summed = scores / scores.sum(axis=1, keepdims=True)
    is_figure(
        "log_loss",
        metrics.log_loss(truth, scores, labels=range(count))
        if np.allclose(summed, scores)
        else -np.log(np.clip(scores[np.arange(len(truth)), truth], 2.220446049250313e-16, 1)).mean(),
    )
    is_figure("brier_score", 0.5 * ((scores - np.eye(count)[truth]) ** 2).sum(axis=1).mean())
    costs = np.array(of.model.costs)
    is_figure("cost", costs[truth, places].sum())
    is_figure("cost_per_prediction", costs[truth, places].mean())
    is_figure("calibration_bias", score[known].mean() - (truth == places).mean())
    support = metrics.precision_recall_fscore_support(truth, places, labels=range(count), zero_division=np.nan)
    areas, averages = [], []
    for place, name in enumerate(names):
        precision, recall, f1, rows_of = (each[place] for each in support)
        is_figure(f"support_{name}", float(rows_of))
        is_figure(f"precision_{name}", None if np.isnan(precision) else precision)
        is_figure(f"recall_{name}", None if np.isnan(recall) else recall)
        is_figure(f"f1_{name}", None if np.isnan(f1) else f1)
        is_figure(f"class_rate_{name}", rows_of / len(truth))
        is_figure(f"decided_rate_{name}", (decisions(rows.scores, of)[0] == place).mean())
        if 0 < rows_of < len(truth):
            areas.append(metrics.roc_auc_score(truth == place, scores[:, place]))
            averages.append(metrics.average_precision_score(truth == place, scores[:, place]))
            is_figure(f"auc_roc_{name}", areas[-1])
            is_figure(f"average_precision_{name}", averages[-1])
        elif not rows_of:
            is_figure(f"auc_roc_{name}", None)
    is_figure("macro_auc_roc", float(np.mean(areas)))
    if len(averages) == count:
        is_figure("macro_average_precision", float(np.mean(averages)))


@pytest.mark.parametrize("seed", range(7))
def test_cards_are_those_of_scikit_learn(seed: int) -> None:
    """Two to eight classes; in all and in each group; labels that are unknown, corrected late, and predictions that
    were published again; cut at random over partitions, by members that restart.
    """
    draw = np.random.default_rng(seed)
    classes = seed + 2
    of = of_card(classes, draw)
    rows = made(900, classes, draw)
    member = Member(of=of)
    for piece in pieces(np.arange(900), draw):
        if not len(piece):
            continue
        part, partition = rows.some(piece), int(draw.integers(PARTITIONS))
        member.take("predictions", partition, told(of, "predictions", part))
        member.take("outcomes", partition, told(of, "outcomes", part, part.former))
    again = rows.some(draw.choice(900, 50, replace=False))
    member.take("predictions", 0, told(of, "predictions", again))
    repeated = told(of, "outcomes", again, revision=np.full(50, -1, np.int32), state=["repeated"] * 50)
    member.take("outcomes", 1, repeated)
    if seed % 2:
        member.restart()
    changed = rows.some(~((rows.truth == rows.former) | (np.isnan(rows.truth) & np.isnan(rows.former))))
    count = len(changed.times)
    former = pa.array(changed.former, from_pandas=True)
    said = {"revision": np.ones(count, np.int32), "former_label": former, "former_state": ["labelled"] * count}
    member.take("outcomes", 2, told(of, "outcomes", changed, changed.truth, **said))
    member.publish()
    window = member.card(0)
    assert (window["predictions"], window["repeats"], window["mature"], window["exact"]) == (900, 50, True, True)
    assert_like_scikit_learn(window["figures"], rows, of)
    for name, low, high in (("<10", 0, 10), ("50-200", 50, 200)):
        inside = rows.some((rows.amounts >= low) & (rows.amounts < high))
        group = member.card(0, "amount_band", name)
        assert group["predictions"] == len(inside.times)
        assert_like_scikit_learn(group["figures"], inside, of)


def test_the_macro_mean_says_over_which_classes_it_is() -> None:
    """A class that never occurs is not in it, and is named; without a label nothing is told."""
    of = of_classes(pipeline(), NAMES[:4])
    scores = np.eye(4)[[0, 1, 2, 0]] * 0.7 + 0.075
    sums = outcome_sums(scores, np.array([0, 1, 2, 0]), np.array([0.0, 1.0, 1.0, 0.0]), of.model.classes, 65_536)
    tally = Tally(counted(predictions=4, outcomes=4, labelled=4), classes=sums)
    figures = card(tally, of).figures
    assert figures["macro_recall"].note == "over 3 of 4 classes: été did not occur"
    assert figures["macro_recall"].value == pytest.approx(0.5)  # as scikit-learn: 1, 1/2 and 0
    assert figures["recall_u00e9tu00e9"].value is None
    nothing = card(replace(NOTHING, counts=counted(predictions=2, outcomes=2)), of).figures
    assert nothing["accuracy"].value is nothing["log_loss"].value is nothing["macro_f1"].value is None


def test_too_many_classes_say_why_there_are_no_areas() -> None:
    """A table of 4,096 scores a class has to fit in distinct_scores; what to set is named."""
    names = [f"k{number}" for number in range(17)]
    of = of_classes(pipeline(), names)
    draw = np.random.default_rng(0)
    scores = chances(50, 17, draw)
    sums = outcome_sums(scores, scores.argmax(1), draw.integers(0, 17, 50).astype(float), tuple(names), 65_536)
    known = partial_aggregate.score_table.tabulated(scores.max(1), np.ones(50))
    tally = Tally(counted(predictions=50, outcomes=50, labelled=50), classes=sums, known=known)
    area = card(tally, of).figures["macro_auc_roc"]
    assert area.value is None
    assert area.note is not None
    assert area.note.endswith("too many to keep their scores: set distinct_scores of scorecards to 69,632 or more")


@pytest.mark.parametrize("cap", [4_096, 65_536])
def test_sums_add_up_bit_for_bit(cap: int) -> None:
    """However rows are split, merged, packed and taken back: the same bytes."""
    draw = np.random.default_rng(1)
    names = NAMES[:5]
    scores = chances(40_000, 5, draw)
    truth = np.where(draw.random(40_000) < 0.1, np.nan, draw.integers(0, 5, 40_000))
    decided = scores.argmax(axis=1)

    def of(rows: Any) -> ClassSums:
        return outcome_sums(scores[rows], decided[rows], truth[rows], names, cap)

    whole = merged([of(slice(None)), decided_sums(decided, names)], cap)
    parts: list[ClassSums] = []
    for rows in pieces(draw.permutation(40_000), draw):
        parts += [unpack(pack(of(rows))), decided_sums(decided[rows], names)]
    draw.shuffle(parts)  # type: ignore[arg-type]  # a list of anything
    assert pack(merged([merged(parts[:5], cap), *parts[5:]], cap)) == pack(whole)
    assert len(whole.tables) == (5 if cap > 20_000 else 0)


def test_sums_of_other_classes_do_not_add_up() -> None:
    """They are of a file that was changed: the message names both, and what to do."""
    sums = [decided_sums(np.zeros(3, np.int64), names) for names in (("a", "b"), ("b", "a"))]
    with pytest.raises(ContractError, match=r"of the classes a, b, and of b, a: .* change the file back"):
        merged(sums, 65_536)
    with pytest.raises(ContractError):
        unpack(pack(sums[0])[:-1])


def test_a_part_of_other_models_is_as_it_was() -> None:
    """No column of classes stands in what is told of models without them."""
    tallies = {("", ""): NOTHING}
    assert "classes" not in partial_aggregate.streamed(partial_aggregate.pack(tallies)).column_names
    several = {("", ""): replace(NOTHING, classes=decided_sums(np.zeros(3, np.int64), ("a", "b")))}
    found = partial_aggregate.unpack(partial_aggregate.pack(several))["", ""].classes
    assert (found.classes, found.decided.tolist()) == (("a", "b"), [3, 0])


def test_what_cannot_be_counted_is_refused() -> None:
    """A class that is none, a chance beyond 1, a label that is no place: each with its field."""
    draw = np.random.default_rng(3)
    of = of_card(3, draw)
    rows = made(5, 3, draw)
    member = Member(of=of)
    batch = told(of, "outcomes", rows, np.array([0.0, 1.0, 3.0, 0.5, 2.0]))
    found = refused(member, batch)
    assert found == {"label": 2}
    broken = replace(rows, scores=np.where(np.arange(5)[:, None] == 1, [1.5, 0.0, -0.5], rows.scores))
    assert refused(member, told(of, "outcomes", broken, np.zeros(5))) == {"scores": 1}
    strange = told(of, "predictions", rows)
    at = strange.schema.get_field_index("class")
    strange = strange.set_column(at, strange.schema.field(at), pa.array(["unicorn", *strange["class"].to_pylist()[1:]]))
    assert refused(member, strange, "predictions") == {"class": 1}


def refused(member: Member, rows: pa.RecordBatch, logical: str = "outcomes") -> dict[str, int]:
    """How many rows of a batch are refused, by reason."""
    places = np.arange(rows.num_rows)
    batch = Batch(logical, rows, pa.nulls(len(places), pa.binary()), np.zeros(len(places), np.int32), places, places)
    counts: dict[str, int] = {}
    for reject in member.made.admit(batch, 0.0).rejects:
        counts[reject.reason] = counts.get(reject.reason, 0) + 1
    return counts


def test_gaps_between_groups_name_the_class() -> None:
    """A group in which a class is never found differs most in its recall."""
    draw = np.random.default_rng(5)
    of = of_card(3, draw)
    rows = made(3_000, 3, draw)
    small = rows.amounts < 10
    truth = np.where(np.isnan(rows.truth), 0.0, rows.truth)
    scores = np.eye(3)[truth.astype(int)] * 0.8 + 0.1 - 0.1 / 3
    scores[small & (truth == 1)] = [0.9, 0.05, 0.05]
    rows = replace(rows, scores=scores, truth=truth, former=truth)
    member = Member(of=of)
    member.take("predictions", 0, told(of, "predictions", rows))
    member.take("outcomes", 0, told(of, "outcomes", rows, truth))
    member.publish()
    gaps = member.card(0, "amount_band")["figures"]
    gap = gaps["gap_recall_dog"]
    assert gap["value"] == pytest.approx(1.0)
    assert gap["low"] > 0.8
    assert "gap_accuracy" in gaps
    assert "gap_cost" in gaps
    assert "gap_true_positive_rate" not in gaps


def names_of(figures: Sequence[str], prefix: str) -> list[str]:
    """Those that begin so."""
    return [name for name in figures if name.startswith(prefix)]


def test_nothing_of_two_classes_is_told() -> None:
    """No figure that a positive class is needed for, and no estimate without labels."""
    draw = np.random.default_rng(6)
    of = of_card(3, draw)
    rows = made(300, 3, draw)
    member = Member(of=of)
    member.take("predictions", 0, told(of, "predictions", rows))
    member.take("outcomes", 0, told(of, "outcomes", rows, rows.truth))
    member.publish()
    figures = [*member.card(0)["figures"]]
    for prefix in ("estimated_", "shifted_", "positive_rate", "precision_at", "entity_", "value", "best_threshold"):
        assert not names_of(figures, prefix), prefix
