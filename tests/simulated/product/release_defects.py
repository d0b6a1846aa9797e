"""Defects of `release` that its scene must find."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.columnar import packing
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesTheFirst, TellsTwice


class ForgetsTheHead(Around):
    """The hash of the last entry is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        if snapshot is not None:
            said = packing.json_of(packing.unpack(snapshot)["said"])
            snapshot = packing.pack({"said": packing.json_column(said | {"head": "0" * 64})})
        self._service.restore(partition, snapshot, end)


RELEASE: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "entries lost behind a restart": Cast(around=LosesTheFirst),
    "entries of a replay told again": Cast(around=TellsTwice),
    "the last hash forgotten at a restart": Cast(around=ForgetsTheHead),
}
