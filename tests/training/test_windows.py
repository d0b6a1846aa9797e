"""Windows as candidates: what each is fitted on, what all are judged by, which goes on, and why one is not tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from headrace.domain.models.card import TriedWindow
from headrace.domain.training.dataset import Dataset, split
from headrace.domain.training.job.order import TrainingOrder, WindowCandidate, parse_order
from headrace.domain.training.job.windows import FittedWindow, best_window
from headrace.domain.training.model_build import BasePackage, Cut, Recipe, fit, package_of, train
from headrace.errors import ConfigurationError

MINUTE, HOUR = 60_000, 3_600_000
COUNT, DRIFT = 4_000, 2_500
RECIPE = Recipe("m", "1", trees=10, gap=HOUR)


def rows(seed: int = 0) -> Dataset:
    """Rows a minute apart; from DRIFT on the label is the other one."""
    rng = np.random.default_rng(seed)
    matrix = np.asfortranarray(rng.random((COUNT, 3)).astype(np.float32))
    labels = (matrix[:, 0] > 0.7) != (rng.random(COUNT) < 0.05)
    labels[DRIFT:] = (matrix[DRIFT:, 0] < 0.3) != (rng.random(COUNT - DRIFT) < 0.05)
    return Dataset(("a", "b", "c"), matrix, labels.astype(np.int8), np.arange(COUNT) * MINUTE)


SINCE = WindowCandidate(kind="since", name="drift", start=DRIFT * MINUTE)
SLIDING = WindowCandidate(kind="sliding", name="sliding", length=2_000 * MINUTE)
GROWING = WindowCandidate(kind="growing", name="growing", half_life=6 * HOUR)
ON = WindowCandidate(
    kind="continued", name="on", start=DRIFT * MINUTE, base_version="0", base_digest="sha256:" + "0" * 64, trees=10
)


def base(before: int) -> Callable[[WindowCandidate], BasePackage]:
    """A model of the rows before one."""
    data = rows().part(slice(0, before))
    package = train(data, replace(RECIPE, version="0", holdout=0))
    assert package.continuation is not None
    training = package.manifest.training
    made = BasePackage(package.title, package.digest, package.continuation, training.start, training.end)
    return lambda window: made


def tried(*windows: WindowCandidate, before: int = 2_000) -> tuple[FittedWindow, dict[str, TriedWindow]]:
    """The best of windows, and all by name."""
    best, told = best_window(rows(), RECIPE, windows, base(before))
    return best, {one.name: one for one in told}


def test_the_best_goes_on() -> None:
    """After the world has changed, windows that hold little of the old one do best on the newest rows."""
    best, told = tried(GROWING, SLIDING, SINCE)
    assert best.figures.name == "drift"
    assert told["drift"].metrics["brier"] < told["sliding"].metrics["brier"]
    border = (COUNT - 1) * MINUTE - int(0.25 * 2_000 * MINUTE)
    assert all(one.end is not None and one.end < border - HOUR for one in told.values()), "a gap before the back-test"
    assert told["drift"].start == DRIFT * MINUTE
    assert told["sliding"].start == (COUNT - 2_000) * MINUTE
    assert told["growing"].start == 0
    assert best.data.times[best.cut.judged or 0] == border


def test_older_rows_count_less() -> None:
    """By a half each half-life; so a growing window forgets."""
    best, _ = tried(GROWING)
    assert best.data.weights is not None
    assert best.data.weights[best.cut.fitted - 1] == 1
    assert best.data.weights[best.cut.fitted - 1 - 360] == pytest.approx(0.5)
    _, plain = tried(WindowCandidate(kind="all", name="all"), GROWING)
    assert plain["growing"].metrics["brier"] < plain["all"].metrics["brier"]


def test_by_how_much_the_best_is_better() -> None:
    """Of each other window on the same rows, with an interval; of the best itself there is none."""
    best, told = tried(GROWING, SLIDING, SINCE)
    assert told["drift"].behind is None
    for name in ("growing", "sliding"):
        behind = told[name].behind
        assert behind is not None
        more, low, high = behind
        assert more == pytest.approx(told[name].metrics["brier"] - best.figures.metrics["brier"])
        assert low < more < high
    _, alone = best_window(rows(), replace(RECIPE, holdout=0), (SINCE,), base(2_000))
    assert alone[0].behind is None


@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost", "random_forest"])
def test_a_model_goes_on(trainer: str) -> None:
    """It has the trees of its base and its own on top, knows the rows of both, and its graph says what they say."""
    data = rows()
    recipe = replace(RECIPE, trainer=trainer)
    package = train(data.part(slice(0, 2_000)), replace(recipe, version="0", holdout=0))
    training = package.manifest.training
    assert package.continuation is not None
    known = BasePackage(package.title, package.digest, package.continuation, training.start, training.end)
    best, _ = best_window(data, recipe, (ON,), lambda window: known)
    made = package_of(best.model, best.data, best.cut, best.recipe)
    assert made.manifest.training.start == training.start == 0, "duels leave out the rows of both"
    assert len(made.graph) > 1.1 * len(package.graph)
    alone, _ = best_window(data, recipe, (replace(SINCE, name="on"),), lambda window: known)
    assert best.figures.metrics != alone.figures.metrics
    before = fit(data.part(slice(0, 2_000)), replace(best.cut, fitted=2_000, judged=None), recipe)
    own = best.data.part(slice(best.cut.judged, None))
    wrong = np.mean((before.predict(own.matrix) - own.labels) ** 2)
    # A forest is a mean: half of its trees know the old world alone.
    bar = 0.8 if trainer == "random_forest" else 0.5
    assert best.figures.metrics["brier"] < wrong * bar, "it learnt what its base did not know"


def test_what_is_not_tried() -> None:
    """A window without enough rows, or whose base knows the rows of the back-test, is told with the reason."""
    late = WindowCandidate(kind="since", name="late", start=(COUNT - 1_070) * MINUTE)
    best, told = tried(late, SINCE, ON, before=COUNT)
    assert best.figures.name == "drift"
    assert "rows to fit by" in (told["late"].why or "")
    assert "would judge itself" in (told["on"].why or "")
    with pytest.raises(ConfigurationError, match=r"no window can be fitted: late: .*; on: "):
        tried(late, ON, before=COUNT)


@pytest.mark.parametrize(
    ("trainer", "why"), [("decision_tree", "grown anew"), ("logistic_regression", "would forget all rows before")]
)
def test_a_trainer_that_does_not_go_on(trainer: str, why: str) -> None:
    """Is compared without that window, and says why."""
    recipe = replace(RECIPE, trainer=trainer, trees=None)
    _, told = best_window(rows(), recipe, (SINCE, ON), base(2_000))
    assert f"trainer {trainer} does not go on from a model: " in (told[1].why or "")
    assert why in (told[1].why or "")
    assert told[1].rows == 0


@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost", "random_forest"])
def test_a_form_of_another_model_is_refused(trainer: str) -> None:
    """What is no model of the trainer's is a window that is not tried, not a crash."""
    wrong = BasePackage("m@0", "sha256:0", b"no model", 0, 1)
    _, told = best_window(rows(), replace(RECIPE, trainer=trainer), (SINCE, ON), lambda window: wrong)
    assert f"trainer {trainer}" in (told[1].why or "")


def test_a_forest_goes_on_as_warm_start_does() -> None:
    """Its answers are the mean of the base's trees and its own, as scikit-learn's own continued forest gives them."""
    data, recipe = rows(), replace(RECIPE, trainer="random_forest", trees=8)
    first, second = data.part(slice(0, 2_000)), data.part(slice(2_500, 3_500))
    before = fit(first, Cut(2_000, None), recipe)
    assert before.continuation is not None
    known = BasePackage("m@0", "sha256:0", before.continuation, 0, 1)
    after = fit(second, Cut(1_000, None), replace(recipe, base=known, trees=4))
    library = RandomForestClassifier(n_estimators=4, random_state=8).fit(second.matrix, second.labels)
    expected = (8 * before.predict(data.matrix) + 4 * library.predict_proba(data.matrix)[:, 1]) / 12
    assert np.allclose(after.predict(data.matrix), expected, rtol=0, atol=1e-12)
    assert after.continuation is not None
    again = fit(second, Cut(1_000, None), replace(recipe, base=replace(known, continuation=after.continuation)))
    assert len(again.graph) > len(after.graph) > len(before.graph)


def test_one_window_is_what_train_does() -> None:
    """Without candidates rows are parted as `train` parts them."""
    data = rows()
    best, told = best_window(data, RECIPE, (), base(2_000))
    fitted, later = split(data, 0.25, HOUR)
    assert (best.cut.fitted, best.cut.judged) == (len(fitted), COUNT - len(later))
    assert [one.name for one in told] == ["all"]
    whole, _ = best_window(data, replace(RECIPE, holdout=0), (), base(2_000))
    assert (whole.cut.fitted, whole.cut.judged) == (COUNT, None)


TWICE = '{"kind": "all", "name": "a"}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"pipeline": "p"}', "version"),
        ('{"pipeline": "p", "version": "a b"}', "is no version"),
        ('{"pipeline": "p", "version": "1", "tree": 5}', "tree"),
        ('{"pipeline": "p", "version": "1", "windows": [{"kind": "since", "name": "a"}]}', "since needs start"),
        ('{"pipeline": "p", "version": "1", "windows": [WINDOW, WINDOW]}'.replace("WINDOW", TWICE), "twice"),
        ("nonsense", "JSON"),
    ],
)  # fmt: skip  # a table
def test_orders_that_are_none(text: str, said: str) -> None:
    """What is wrong with an order is said."""
    with pytest.raises(ConfigurationError, match=said):
        parse_order(text)


def test_orders_travel() -> None:
    """An order that was written is the same when it is read."""
    order = TrainingOrder(
        pipeline="p", version="1", offsets={0: (3, 9), 11: (0, 1)}, exchange_partitions=3, parameters={"a": [1, "b"]},
        windows=(SINCE, SLIDING, GROWING, ON), as_of=5, holdout=0.1,
    )  # fmt: skip  # one order
    assert parse_order(order.dump()) == order


def test_a_model_goes_on_where_its_rows_end() -> None:
    """Unless a later start is named: no row is learnt twice."""
    for start in (None, 1_000 * MINUTE):
        best, _ = tried(replace(ON, start=start), before=1_500)
        assert best.figures.start == 1_500 * MINUTE
    best, _ = tried(ON, before=1_500)
    assert best.figures.start == DRIFT * MINUTE
    assert best.figures.base == "m@0"
