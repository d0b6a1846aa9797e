"""Tables as bytes: Arrow's stream format."""

from __future__ import annotations

import pyarrow as pa

from headrace.errors import ContractError


def stream(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def streamed(data: bytes) -> pa.Table:
    """The table of an Arrow stream; ContractError when it is none."""
    try:
        return pa.ipc.open_stream(data).read_all()
    except (pa.ArrowInvalid, OSError) as broken:
        raise ContractError(f"the bytes are no Arrow stream of ours, or damaged: {broken}") from None
