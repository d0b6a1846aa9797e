"""Features of random pipelines held against SQL: `python -m tests.features.sql_features --seeds 2000 [--first 0]`.

Each pipeline is a file that goes through the check; its events are answered by enrich and views, joined without a
broker, whose members are killed and restored from their checkpoints meanwhile; and every feature of every event is held
against what DuckDB finds among all events.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from headrace.domain.features.event_gate import Passed
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.language.aggregation import ValueColumn
from headrace.domain.pipeline.language.expressions import compile
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.stores.online import MemoryStore
from services.enrich.service import Enrich
from tests.enrich.simulation import World
from tests.features.random_pipelines import SCHEMA, Made, made


class Sales(World):
    """The world of a made-up pipeline; notes whom views are not told of, and kills members between two checkpoints."""

    untold: set[str]
    forgets = False

    def restart(self) -> None:
        """See `World`; with the defect, a killed member of enrich begins with nothing."""
        if not self.forgets:
            super().restart()
            return
        self.enrich = self.new_enrich()

    def new_enrich(self) -> Enrich:
        """See `World`."""
        enrich = super().new_enrich()
        check = enrich.gate.check
        self.untold = getattr(self, "untold", set())

        def noted(*given: object, **named: object) -> Passed:
            passed = check(*given, **named)  # type: ignore[arg-type]  # as it was called
            ids = passed.batch.columns.column("sale")
            self.untold |= set(ids.take(pa.array(np.flatnonzero(passed.late | passed.behind))).to_pylist())
            return passed

        enrich.gate.check = noted  # type: ignore[method-assign]  # noted as well as done
        return enrich


def answered(
    pipeline: Pipeline, found: Made, seed: int, kills: float, forgets: bool = False
) -> tuple[pa.Table, set[str]]:
    """The features of all events that were not refused, and the ids of those that views were not told of."""
    world = Sales(pipeline, MemoryStore(), seed, partitions=2, view_partitions=2, now=4e9)
    world.forgets = forgets
    if found.labels is not None:
        world.publish_labels(found.labels.combine_chunks().to_batches()[0])
        world.wait(0.3)
    world.publish(found.events.combine_chunks().to_batches()[0])
    world.run(rows=30, restarts=kills)
    return world.answers(), world.untold


def without_conditions(pipeline: Pipeline) -> Pipeline:
    """Conditions do not matter."""
    return _changed(pipeline, lambda value: replace(value, where=None))


def null_is_zero(pipeline: Pipeline) -> Pipeline:
    """A value that is null counts as 0."""
    fields = pipeline.events.fields

    def filled(value: ValueColumn) -> ValueColumn:
        text = value.field or (value.of.text if value.of is not None else "")
        if not text or value.codes or (value.of is not None and value.of.type == "boolean"):
            return value  # Of what holds or does not, null has no number.
        return replace(value, field=None, of=compile(f"coalesce({text}, 0)", fields))

    return _changed(pipeline, filled)


def _changed(pipeline: Pipeline, change: Callable[[ValueColumn], ValueColumn]) -> Pipeline:
    views = {}
    for view in pipeline.views.values():
        features = {
            name: a if a.value is None else replace(a, field=None, of=change(a.value))
            for name, a in view.features.items()
        }
        views[view.name] = replace(view, features=features)
    return replace(pipeline, views=views)


def windows_open_below(pipeline: Pipeline) -> Pipeline:
    """Windows begin a millisecond too early."""
    views = {v.name: replace(v, windows=tuple(each + 1 for each in v.windows)) for v in pipeline.views.values()}
    return replace(pipeline, views=views)


DEFECTS: dict[str, Callable[[Pipeline], Pipeline]] = {
    "conditions do not matter": without_conditions,
    "null is 0": null_is_zero,
    "windows begin too early": windows_open_below,
    "killed members forget": lambda pipeline: pipeline,
}
"""What may be wrong with a product, as a change of the pipeline that it runs; the last one is of restarts."""


@dataclass
class Verdict:
    """How many features were held against SQL, and where they differ."""

    compared: int
    wrong: list[str]


def differences(seed: int, defect: str | None = None, kills: float = 0.02) -> Verdict:
    """Where features differ from what SQL says, in words; nowhere for a product without a defect."""
    found = made(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in (("pipelines/made.yaml", found.text), ("schemas/sale.avsc", json.dumps(SCHEMA))):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        pipeline = load(root / "pipelines/made.yaml")
    run = pipeline if defect is None else DEFECTS[defect](pipeline)
    answers, untold = answered(run, found, seed, kills, forgets=defect == "killed members forget")
    verdict = Verdict(0, [])
    for view in pipeline.views.values():
        if view.kind == "entity":
            compare(pipeline, view, found, answers, untold, verdict)
    compare_derived(found, answers, verdict)
    verdict.wrong = [f"seed {seed}: {each}\n{found.text}" for each in verdict.wrong]
    return verdict


def compare(pipeline: Pipeline, view: View, found: Made, answers: pa.Table, untold: set[str], verdict: Verdict) -> None:
    """Hold the features of a view against SQL."""
    own = view.own(pipeline)
    database = duckdb.connect()
    sales, told = found.events, pa.table({"sale": answers["event_id"]})
    sales = sales.append_column("seq", pa.array(np.arange(sales.num_rows)))
    sales = sales.append_column("t", sales["at"].cast(pa.int64()))
    database.register("all_sales", sales)
    database.register("told", told)
    database.register("untold", pa.table({"sale": pa.array(sorted(untold), pa.string())}))
    if found.labels is not None:
        database.register("l", found.labels)
    database.execute(
        "CREATE TABLE s AS SELECT * FROM all_sales SEMI JOIN told USING (sale) "
        "QUALIFY row_number() OVER (PARTITION BY sale ORDER BY seq) = 1"
    )
    keys = " AND ".join(f"e.{key} = r.{key}" for key in view.keys) or "TRUE"
    visible = "e.seq <= r.seq" if own else "e.sale NOT IN (SELECT sale FROM untold)"
    record = answers.column(view.name).combine_chunks()
    ids = answers["event_id"].to_pylist()
    age = None if own else dict(zip(ids, answers[f"{view.name}_age"].to_pylist(), strict=True))
    for column in view.columns:
        asked = found.views[view.name][column.feature]
        limit = view.limits[column.place] if view.limits else 0
        newest = (
            f"QUALIFY row_number() OVER (PARTITION BY r.sale ORDER BY e.t DESC, e.seq DESC) <= {limit}" if limit else ""
        )
        pairs = (
            f"SELECT r, e FROM s r JOIN s e ON {keys} AND {visible} "
            f"AND e.t > r.t - {view.delay + column.window} AND e.t <= r.t - {view.delay} {newest if limit else ''}"
        )
        if asked.mode == "label":
            newest = "SELECT arg_max(value, label_time) FROM l WHERE event_id = p.e.sale AND label_time <= p.r.t"
            query = (
                f"SELECT s.sale, {asked.sql} FROM s LEFT JOIN "
                f"(SELECT p.r.sale AS sale, p.e.seq AS seq, ({newest}) AS v FROM ({pairs}) p) x "
                f"ON x.sale = s.sale GROUP BY s.sale"
            )
        elif asked.mode:
            value, kept = (text.replace("e.", "p.e.") for text in (asked.mode, asked.filter))
            query = (
                f"SELECT s.sale, x FROM s LEFT JOIN (SELECT sale, x FROM (SELECT p.r.sale AS sale, {value} AS x "
                f"FROM ({pairs}) p WHERE {kept}) WHERE x IS NOT NULL GROUP BY sale, x "
                f"QUALIFY row_number() OVER (PARTITION BY sale ORDER BY count(*) DESC, x) = 1) USING (sale)"
            )
        else:
            query = (
                f"SELECT s.sale, {asked.sql.replace('e.', 'p.e.').replace('r.t', 's.t')} "
                f"FROM s LEFT JOIN ({pairs}) p ON p.r.sale = s.sale GROUP BY s.sale, s.t"
            )
        expected = dict(database.execute(query).fetchall())
        got = dict(zip(ids, record.field(column.name).to_pylist(), strict=True))
        for sale, value in got.items():
            if age is not None and age[sale]:
                continue
            right = expected[sale]
            verdict.compared += 1
            if right is None:
                right = float("nan") if np.isnan(view.missing) else view.missing
            most = 0.0 if asked.exact else 1e-9
            if not np.isclose(float(value), float(right), rtol=most, atol=most, equal_nan=True):
                verdict.wrong.append(f"{column.path} of {sale} is {value}, SQL says {right}")


def compare_derived(found: Made, answers: pa.Table, verdict: Verdict) -> None:
    """Hold features of features against SQL over the features that there are."""
    database = duckdb.connect()
    database.register("answers", answers)
    first = "SELECT * FROM sales QUALIFY row_number() OVER (PARTITION BY sale ORDER BY sale) = 1"
    database.register("sales", found.events)
    for name, (_, sql) in found.derived.items():
        query = f"SELECT sale, more.{name}, {sql} FROM answers JOIN ({first}) s ON sale = event_id"
        for sale, value, right in database.execute(query).fetchall():
            verdict.compared += 1
            wanted = np.nan if right is None else right
            if not np.isclose(value, wanted, rtol=1e-12, atol=0, equal_nan=True):
                verdict.wrong.append(f"more.{name} of {sale} is {value}, SQL says {right}")


def main(given: Sequence[str]) -> int:
    """Run many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args(given)
    wrong = compared = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        found = differences(seed)
        compared += found.compared
        wrong += bool(found.wrong)
        if found.wrong:
            sys.stdout.write("\n".join(found.wrong[:3]) + "\n")
    sys.stdout.write(
        f"{asked.seeds} random pipelines from seed {asked.first}, {compared} features: {wrong} differ from SQL\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
