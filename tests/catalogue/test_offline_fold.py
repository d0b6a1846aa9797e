"""Folds of the log of events alone give what live services answered, bit for bit, for random pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import text_of
from headrace.domain.features.offline_fold import (
    FeatureColumns,
    ForeignViewFold,
    OfflineGate,
    OwnViewFold,
    event_times,
    moment_features,
)
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.operations.catalogue.label_changes import label_changes
from headrace.stores.online import MemoryStore
from tests.features.random_pipelines import SCHEMA, Made, made
from tests.features.sql_features import Sales


def world_of(seed: int, folder: Path) -> tuple[Pipeline, Made, Sales]:
    """Services that have answered all events of a random pipeline, with members killed meanwhile."""
    found = made(seed)
    for name, text in (("pipelines/made.yaml", found.text), ("schemas/sale.avsc", json.dumps(SCHEMA))):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    pipeline = load(folder / "pipelines/made.yaml")
    world = Sales(pipeline, MemoryStore(), seed, partitions=2, view_partitions=2, now=4e9)
    if found.labels is not None:
        world.publish_labels(found.labels.combine_chunks().to_batches()[0])
        world.wait(0.3)
    world.publish(found.events.combine_chunks().to_batches()[0])
    world.run(rows=30, restarts=0.02)
    return pipeline, found, world


def folded_anew(pipeline: Pipeline, found: Made, world: Sales) -> dict[str, dict[str, float]]:
    """By event id and column what the fold gives."""
    gate = OfflineGate(pipeline)
    own = {view.name: OwnViewFold(pipeline, view) for view in pipeline.own_views}
    foreign = {view.name: ForeignViewFold(pipeline, view) for view in pipeline.foreign_views}
    parts: list[tuple[pa.RecordBatch, np.ndarray, dict[str, FeatureColumns]]] = []
    for log in world.events:
        for batch in log.parts:
            passed = gate.passed(batch)
            times = event_times(pipeline, passed)
            if not len(passed.batch):
                continue
            parts.append((passed.batch.columns, times, {n: each.answers(passed, times) for n, each in own.items()}))
            for each in foreign.values():
                rows = each.told(passed)
                columns = passed.batch.columns.filter(pa.array(rows))
                each.fold(columns, times[rows])
                if each.view.folds_labels and found.labels is not None and pipeline.labels is not None:
                    ids = columns["sale"]
                    changes = label_changes(ids, times[rows], found.labels, pipeline.labels)
                    entities = text_of(entities_in_view(columns, each.view)).take(pa.array(changes.event))
                    of = times[rows][changes.event]
                    each.fold_labels(entities, of, changes.known, changes.labelled, changes.label)
    values: dict[str, dict[str, float]] = {}
    for columns, times, features in parts:
        for name, each in foreign.items():
            features[name] = each.answers(text_of(entities_in_view(columns, each.view)), times)
        features |= moment_features(pipeline, columns, times, features)
        for row, sale in enumerate(columns["sale"].to_pylist()):
            values[sale] = {
                f"{view}.{name}": float(numbers[row])
                for view, own_columns in features.items()
                for name, numbers in own_columns.items()
            }
    return values


@pytest.mark.parametrize("seed", range(24))
def test_a_fold_of_the_log_is_what_was_served(seed: int, tmp_path: Path) -> None:
    """Every feature of every event: own key, another entity, labels as they were known, features of features."""
    pipeline, found, world = world_of(seed, tmp_path)
    values = folded_anew(pipeline, found, world)
    answers = world.answers()
    assert sorted(answers["event_id"].to_pylist()) == sorted(values)
    for view in pipeline.views.values():
        for column in view.columns:
            served = answers[view.name].combine_chunks().field(column.name).to_numpy(zero_copy_only=False)
            anew = np.array([values[sale][column.path] for sale in answers["event_id"].to_pylist()])
            np.testing.assert_array_equal(served.astype(np.float64), anew, err_msg=column.path)


@pytest.mark.parametrize("seed", range(24))
def test_an_entity_at_a_time_has_what_an_event_of_then_was_served(seed: int, tmp_path: Path) -> None:
    """Of every event that none of its entity's came after which happened before it."""
    pipeline, _, world = world_of(seed, tmp_path)
    answers = {row["event_id"]: row for row in world.answers().to_pylist()}
    compared = 0
    for view in pipeline.own_views:
        fold = OwnViewFold(pipeline, view)
        for log in world.events:
            gate = OfflineGate(pipeline)
            passed = [gate.passed(batch) for batch in log.parts]
            if not passed:
                continue
            columns = pa.Table.from_batches([each.batch.columns for each in passed]).combine_chunks().to_batches()
            times = np.concatenate([event_times(pipeline, each) for each in passed])
            folded = ~np.concatenate([each.late for each in passed])
            if not len(times):
                continue
            entities = text_of(entities_in_view(columns[0], view)).to_numpy(zero_copy_only=False)
            for row, sale in enumerate(columns[0]["sale"].to_pylist()):
                before = (entities == entities[row]) & (times <= times[row])
                if before[row + 1 :].any() or not folded[row]:
                    continue
                held = fold.at(columns[0].filter(pa.array(before)), times[before], folded[before], int(times[row]))
                for name, (value,) in held.items():
                    served = answers[sale][view.name][name]
                    assert served == value or (served != served and value != value), (sale, name)
                    compared += 1
    assert compared > 20
