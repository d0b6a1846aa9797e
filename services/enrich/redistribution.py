"""Checkpoints of `enrich` for another number of partitions of the events.

A partition's clock is that of the one that was least far: nobody is late who was not. Ids of events, which name no
entity, are remembered by all partitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headrace.columnar import packing
from headrace.domain.features.duplicates import STATE as IDS
from headrace.domain.features.redistribution import Columns, homes_of, joined, names_in, taken
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import FIRM


def moved_events(
    states: Sequence[Columns], partitions: int, whole_keys: bool, parts: Mapping[str, int] | None = None
) -> list[bytes]:
    """Snapshots of `enrich`, from those of the partitions that there were, for so many.

    Args:
        states: unpacked snapshots, in the order of partitions.
        partitions: that there are now.
        parts: of views that several fields key, which of them keys the events.
        whole_keys: whether entities are whole numbers, which state keeps as eight bytes.
    """
    views = sorted({name.partition(".")[0] for state in states for name in state if "." in name})
    homes = {
        view: [
            homes_of(packing.beneath(state, f"{view}."), partitions, whole_keys, (parts or {}).get(view))
            for state in states
        ]
        for view in views
    }
    definition = _definition(states)
    clock = min((state["clock"] for state in states), key=lambda state: int(state[FIRM]))
    ids = _ids(states)
    found = []
    for partition in range(partitions):
        next_offset = int(states[partition]["enrich"][-1]) if partition < len(states) else 0
        columns: dict[str, packing.Column] = {"enrich": np.array([next_offset]), "clock": clock, **definition, **ids}
        for view in views:
            moved = [
                taken(packing.beneath(s, f"{view}."), home == partition)
                for s, home in zip(states, homes[view], strict=True)
            ]
            columns |= {f"{view}.{name}": column for name, column in joined(moved).items()}
            named = names_in([packing.beneath(state, f"{view}.") for state in states])
            columns |= {f"{view}.{name}": column for name, column in named.items()}
            columns[f"{view}.watermark"] = np.array([min(int(state[f"{view}.watermark"][0]) for state in states)])
        found.append(packing.pack(columns))
    return found


def _definition(states: Sequence[Columns]) -> dict[str, packing.Column]:
    """Of the file that built all of them; nothing where one does not tell, as older ones do not.

    Raises:
        ContractError: several files did.
    """
    told = [state["definition"] for state in states if "definition" in state]
    if len({definition.tobytes() for definition in told}) > 1:
        raise ContractError(
            "the checkpoints of enrich were built by pipeline files that say different things: end the revision first, "
            "so that all partitions have one"
        )
    return {"definition": told[0]} if len(told) == len(states) else {}


def _ids(states: Sequence[Columns]) -> dict[str, packing.Column]:
    """The ids that any partition remembers, for every one: an event's next copy comes to where its key belongs now."""
    if any(IDS not in state for state in states):
        return {}
    numbers = np.array([state[IDS] for state in states])
    found: dict[str, packing.Column] = {}
    counts = []
    for name in (f"{IDS}_new", f"{IDS}_former"):
        codes = np.concatenate([np.ascontiguousarray(state[f"{name}_codes"]).view(np.uint64) for state in states])
        checks = np.concatenate([np.ascontiguousarray(state[f"{name}_checks"]).view(np.uint16) for state in states])
        codes, at = np.unique(codes, return_index=True)
        found |= {f"{name}_codes": codes.view(np.int64), f"{name}_checks": checks[at].view(np.uint8)}
        counts.append(len(codes))
    # Begun when the last of them was: so none is forgotten before its time.
    found[IDS] = np.array([numbers[:, 0].max(), *counts, numbers[:, 3].max()])
    return found
