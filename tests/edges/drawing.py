"""Records of each topic: at the edges where nothing else is said, and sound enough elsewhere that they are let pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from headrace.domain.scorecards.partial_aggregate import NOTHING, pack
from tests.edges.project import pipeline
from tests.edges.values import DOUBLES, INTS, LONGS, TIMES, Strategy, values

MS = 1_700_000_000_000
SANE = (MS, MS + 1, MS + 60_000, MS + 86_400_000)
SOME = st.sampled_from(SANE)
TIME = SOME | SOME | st.sampled_from(TIMES)
ID = st.sampled_from(["e1", "e2", "e3", "", "ü", "x" * 1_001])
FINITE = st.sampled_from([0.0, 1.0, 0.25, 2.0, -1.0])
SMALL = st.sampled_from([0, 1, 2, 3])
ANY = st.sampled_from(DOUBLES)
MODELS = st.sampled_from(["m", "n", "", "\x1f", "a\x1fb"])


def records(output: str, topic: str, own: Mapping[str, Strategy] | None = None) -> Strategy:
    """Rows of a topic."""
    found = {**OWN.get(topic, {}), **(own or {})}
    row = values(pipeline(output)[1][topic].record, found)
    return st.lists(row.map(MENDED.get(topic, _as_it_is)), min_size=1, max_size=5)


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


@st.composite
def events(draw: st.DrawFn, output: str) -> tuple[list[dict[str, Any]], list[bytes | None], list[int]]:
    """Events with their keys and time stamps, most of them as producers write them."""
    texts = output == "probability"
    names = st.sampled_from(["a", "b", "", "ü", "x" * 1_001]) if texts else st.sampled_from(LONGS)
    rows = draw(records(output, "events", {"at": TIME, "id": names, "who": names, "other": names}))
    keys = [None if draw(st.integers(0, 30)) == 0 else str(row["who"]).encode() for row in rows]
    stamps = [draw(st.sampled_from([row["at"], MS, -1])) for row in rows]
    return rows, keys, stamps


def _own_id(row: dict[str, Any]) -> dict[str, Any]:
    """With a prediction id that begins as it must, unless it says otherwise."""
    return {**row, "prediction_id": f"{row['event_id']}/{row['prediction_id']}"} if row["prediction_id"] else row


def _exchange(row: dict[str, Any]) -> dict[str, Any]:
    """With predictions that `labels` let through, as only those are sent on."""
    return {**row, "predictions": [_own_id(each) for each in row["predictions"]]}


def _even(row: dict[str, Any]) -> dict[str, Any]:
    """With columns of one length, unless it says otherwise."""
    if row["next_offset"] % 5 == 0:
        return row
    count = len(row["keys"])
    names = ("total", "high", "part") if row["source"] == "events" else ("labelled", "label")
    fields = ("whole", "needed", "part") if row["source"] == "events" else names
    numbers = [number for column in row["values"] for number in column["values"]] or [0.5]
    return {
        **row,
        "times": (row["times"] * 3 or [MS] * 3)[:1] * count,
        "offsets": list(range(count)),
        "known": [MS] * count if row["source"] != "events" else [],
        "values": [{"name": name, "values": (numbers * 9)[:count] + [0.0] * (count - 9)} for name in fields],
    }


PREDICTION: Mapping[str, Strategy] = {
    "prediction_id": st.sampled_from(["m@1/champion", "n@2/shadow", "", "x", "m@1/champion/"]),
    "event_id": ID,
    "event_time": TIME,
    "model.name": MODELS,
    "score": FINITE | ANY,
}
OWN: Mapping[str, Mapping[str, Strategy]] = {
    "predictions": PREDICTION,
    "shadow-predictions": PREDICTION,
    "outcomes": {
        **PREDICTION,
        "revision": st.sampled_from([0, 0, 0, 1, 2, *INTS]),
        "state": st.sampled_from(["labelled", "presumed", "unlabelled", ""]),
        "former_state": st.sampled_from(["labelled", "presumed", None]),
        "label": st.none() | FINITE | ANY,
        "former_label": st.none() | FINITE | ANY,
    },
    "labels": {"event_id": ID, "value": FINITE | ANY, "label_time": TIME, "source": st.sampled_from(["bank", "", "x"])},
    "exchange": {
        "source": st.sampled_from(["labels", "predictions", "shadow-predictions", "events", "events", "else"]),
        # One that a topic of more partitions would have stops the service on purpose: people have to look.
        "source_partition": st.sampled_from([0, 0, 1, 1, -1, 1 << 16, 2**31 - 1, -(2**31)]),
        "progress": TIME,
        "time": TIME,
        "events.event_ids": ID,
        "events.entities.view": st.sampled_from(["other", "other", "else"]),
        **{f"predictions.{name}": strategy for name, strategy in PREDICTION.items()},
        "labels.event_id": ID,
        "labels.value": FINITE | ANY,
        "labels.label_time": TIME,
    },
    "view.other": {
        "view": st.just("other"),
        "source": st.sampled_from(["events", "events", "exchange", "else"]),
        "source_partition": st.sampled_from([0, 1, 0, 1, -1, -(2**31)]),
        "next_offset": st.sampled_from([1, 2, 3, *LONGS]),
        "progress": TIME,
        "floor": TIME,
        "time": TIME,
    },
    "scorecard-parts": {
        "window_start": TIME,
        "model.name": MODELS,
        "arm": st.sampled_from(["champion", "shadow"]),
        "source": st.sampled_from(["predictions", "outcomes"]),
        "source_partition": SMALL,
        "generation": SMALL,
        "next_offset": SMALL,
        "payload": st.sampled_from(
            [pack({("", ""): NOTHING}), pack({}), b"", b"\xff" * 9, pack({("", ""): NOTHING})[:-9]]
        ),
    },
}
MENDED = {
    "predictions": _own_id,
    "shadow-predictions": _own_id,
    "outcomes": _own_id,
    "exchange": _exchange,
    "view.other": _even,
}
