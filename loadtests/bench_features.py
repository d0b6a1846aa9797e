"""Nanoseconds that one more conditional, computed or derived feature costs an event, in a view of three windows.

    python -m loadtests.bench_features [ROWS]

Transactions are made up, of 1,250 customers; each figure is the difference to the same view without the feature, of the
processor's time, the median of five.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
import pyarrow as pa

from headrace.domain.features.keyed_windows import EntityWindows, Features, question_of
from headrace.domain.features.value_columns import names_of, values_of
from headrace.domain.pipeline.language.aggregation import Aggregation, ValueColumn
from headrace.domain.pipeline.language.expressions import compile
from headrace.domain.pipeline.spec import Field, View

DAY = 86_400_000
ROWS = 200_000
BATCH = 4_096
REPEATS = 5
FIELDS = {
    "amount": Field("amount", "number", False, "double"),
    "pieces": Field("pieces", "integer", False, "int"),
    "device": Field("device", "string", True, "string"),
}
PLAIN = {"nb": Aggregation("count"), "mean": Aggregation("mean", "amount")}


def asked(function: str, of: str | None, where: str | None) -> dict[str, Aggregation]:
    """The plain features and one more."""
    value = ValueColumn(
        of=None if of is None else compile(of, FIELDS), where=None if where is None else compile(where, FIELDS)
    )
    return PLAIN | {"more": Aggregation(function, of=value)}


def cost(features: dict[str, Aggregation], columns: pa.RecordBatch, times: np.ndarray) -> float:
    """Nanoseconds of an event: its value columns, its windows and its features."""
    view = View("customer", "entity", "customer", (DAY, 7 * DAY, 30 * DAY), ("1d", "7d", "30d"), features=features)
    windows, answers = EntityWindows(question_of(view, 600_000), names_of(view)), Features(view)

    def work(start: int) -> None:
        batch, at = columns.slice(start, BATCH), times[start : start + BATCH]
        folded = np.ones(len(at), np.bool_)
        answers.of(windows.fold_and_answer(batch.column("customer"), at, values_of(view, batch, at), folded))

    work(0)
    begin = process_time()
    for start in range(BATCH, columns.num_rows, BATCH):
        work(start)
    return (process_time() - begin) / (columns.num_rows - BATCH) * 1e9


def derived(text: str, columns: pa.RecordBatch, times: np.ndarray) -> float:
    """Nanoseconds of an event of a derived column."""
    random = np.random.default_rng(2)
    known = {name: random.gamma(2, 30, columns.num_rows) for name in ("customer.mean_1d", "customer.mean_30d")}
    expression = compile(text, FIELDS, columns={name: Field(name, "number", True, None) for name in known})
    begin = process_time()
    for start in range(0, columns.num_rows, BATCH):
        part = slice(start, start + BATCH)
        given = {name: values[part] for name, values in known.items()}
        expression.evaluate(columns.slice(start, BATCH), times[part], given)
    return (process_time() - begin) / columns.num_rows * 1e9


def main() -> None:
    """Run all."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 183 * DAY, rows))
    columns = pa.RecordBatch.from_pydict(
        {
            "customer": pa.array(random.integers(0, 1_250, rows)),
            "amount": pa.array(np.round(random.gamma(2, 30, rows), 2)),
            "pieces": pa.array(random.integers(0, 9, rows), pa.int32()),
            "device": pa.array(random.choice(["phone", "web", "pos"], rows).tolist()),
        }
    )
    cases: dict[str, Callable[[], float]] = {
        'count(where device == "phone")': lambda: cost(asked("count", None, 'device == "phone"'), columns, times),
        "sum(amount where pieces > 3)": lambda: cost(asked("sum", "amount", "pieces > 3"), columns, times),
        "sum(amount * pieces)": lambda: cost(asked("sum", "amount * pieces", None), columns, times),
        "mean(amount < 50)": lambda: cost(asked("mean", "amount < 50", None), columns, times),
        "last(amount)": lambda: cost(PLAIN | {"more": Aggregation("last", "amount")}, columns, times),
        "std(amount)": lambda: cost(PLAIN | {"more": Aggregation("std", "amount")}, columns, times),
        "quantile(amount, 0.95)": lambda: cost(
            PLAIN | {"more": Aggregation("quantile", "amount", parameter=0.95)}, columns, times
        ),
    }
    plain = [cost(PLAIN, columns, times) for _ in range(REPEATS)]
    print(f"{'count and mean over three windows':<50}{median(plain):>8.0f} ns/event")
    for name, case in cases.items():
        more = median(case() - cost(PLAIN, columns, times) for _ in range(REPEATS))
        print(f"{'one more: ' + name:<50}{more:>8.0f} ns/event")
    for text in ("customer.mean_1d / customer.mean_30d", "log(customer.mean_1d)", "coalesce(customer.mean_1d, 0)"):
        print(f"{'derived: ' + text:<50}{median(derived(text, columns, times) for _ in range(REPEATS)):>8.0f} ns/event")


if __name__ == "__main__":
    main()
