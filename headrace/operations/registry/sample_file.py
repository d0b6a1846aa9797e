"""A person's rows for a model in a file, as they wrote them: each cell typed by what is fed by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from headrace.errors import ConfigurationError
from headrace.operations.tables.cells import CellPlace, typed
from headrace.operations.tables.table_files import open_table

MOST_ROWS = 1_000_000


def read_sample(path: Path, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns of a CSV, Parquet or JSON lines that are of use.

    Args:
        path: of the file.
        kinds: column -> type of its values, of all columns that a model may be fed by; others are left out.

    Raises:
        ConfigurationError: it is no such file, a value is none of its type (with row and column), or it has too many.
    """
    file = open_table(path)
    names = [name for name in dict.fromkeys(file.names) if name in kinds]
    if not names:
        raise ConfigurationError(
            f"{path} has the columns {', '.join(file.names)}, and none of them feeds the model: call them as the "
            "features, or as the model's columns that are given by --map"
        )
    if twice := [name for name in names if file.names.count(name) > 1]:
        raise ConfigurationError(f"{path} has several columns {twice[0]}: rename or drop the others")
    places = [CellPlace(name, pa.field(name, kinds[name]), file.text, flags=True) for name in names]
    batches, first = [], 1
    for batch in file.read(names):
        arrays = [typed(batch.column(at), place, first) for at, place in enumerate(places)]
        batches.append(pa.table(arrays, names=names))
        first += batch.num_rows
        if first > MOST_ROWS:
            raise ConfigurationError(f"{path} has more than {MOST_ROWS:,} rows: some thousands prove as much")
    return pa.concat_tables(batches) if batches else pa.table({name: pa.array([], kinds[name]) for name in names})
