"""What a revision may not take away from the models of the live plan, and whom commands ask about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import features
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.plans.plans import Plan
from headrace.operations.revision.changes import refusals, unreadable
from headrace.operations.services import inputs
from headrace.streaming.contracts.schemas import load_schema
from tests.models import graphs
from tests.models.parts import arm
from tests.sources import ROOT

FILE = ROOT / "pipelines" / "card_fraud.yaml"


def revision(pipeline: Pipeline, **customer: object) -> Pipeline:
    """The next one, with something else of the view of customers."""
    views = {**pipeline.views, "customer": replace(pipeline.views["customer"], **customer)}  # type: ignore[arg-type]
    return replace(pipeline, revision=2, views=views)


def test_a_column_that_a_live_model_reads_cannot_go(tmp_path: Path) -> None:
    """It is refused with the model's name and the column's, dark models too; what no model reads may go."""
    pipeline, store, package = load(FILE), ModelStore(str(tmp_path / "models"), tmp_path / "cache"), graphs.package()
    assert graphs.NAMES == ("amount", "customer.nb_tx_1d")
    nobody = Plan("card_fraud", 1, ())
    found = {role: Plan("card_fraud", 1, (arm(package, store.put(package), role),)) for role in ("champion", "shadow")}
    unread = revision(pipeline, features={"nb_tx": Aggregation("count")})
    gone = revision(pipeline, features={"avg_amount": pipeline.views["customer"].features["avg_amount"]})
    for after, plan, names in (
        (unread, found["champion"], ()),
        (gone, found["champion"], (package.manifest.name, "customer.nb_tx_1d")),
        (gone, found["shadow"], (package.manifest.name, "customer.nb_tx_1d")),
        (gone, nobody, ()),
        (gone, None, ()),
    ):
        assert list(refusals(pipeline, after)) == []
        told = list(unreadable(plan, store, load_schema(features(after)).arrow))
        assert len(told) == bool(names)
        assert all(name in told[0] for name in names)


def test_a_model_that_is_not_in_the_store_is_told(tmp_path: Path) -> None:
    """What it reads is not known, so nothing says that it could go on."""
    pipeline, store, package = load(FILE), ModelStore(str(tmp_path / "models"), tmp_path / "cache"), graphs.package()
    plan = Plan("card_fraud", 1, (arm(package, "elsewhere"),))
    (told,) = unreadable(plan, store, load_schema(features(replace(pipeline, revision=2))).arrow)
    assert "is in the plan and not in the model store" in told


def test_lag_is_that_of_the_revision() -> None:
    """The group of a revision before has ended, and falls behind for ever."""
    pipeline = load(FILE)
    assert [name for name in inputs(pipeline) if "enrich" in name] == ["card_fraud.enrich"]
    assert [name for name in inputs(replace(pipeline, revision=3)) if "enrich" in name] == ["card_fraud.enrich.r3"]
