"""What the labels service costs: records joined per CPU-second, bytes an open prediction, and how long a replay takes.

All predictions and labels are published before the service starts, one label for each prediction, so it runs at its
full batches; each comes out as one outcome. Then it is killed and replays everything without a checkpoint.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.streaming.kafka.client import Producer
from loadtests.arena import Arena
from loadtests.meters import Meter
from tests.labels.stream import predictions_of
from tests.project import Project

HOUR, DAY = 3_600_000, 86_400_000
PATIENCE_S = 600.0
MEMBER = "labels-0"


def measure(ground: Arena, rows: int) -> dict[str, Any]:
    """Join `rows` predictions with as many labels, in one member.

    Returns: `steady` and `whole`, predictions and labels per CPU-second since partitions were given and in all;
    `bytes_an_open_prediction`, all state with its slack; `replay_s` from the assignment to readiness, of `replay_days`
    days of events; `month_s`, that for 30 days of as many; `outcomes` written.
    """
    stream = ground.stream(rows)
    ids = stream.events["transaction_id"].to_numpy()
    times = stream.events["tx_datetime"].cast(pa.int64()).to_numpy()
    # Neither checkpoints nor idle marks: the replay must find everything to do.
    quiet = {"HEADRACE_CHECKPOINT_S": "3600", "HEADRACE_CHECKPOINT_ROWS": "1000000000", "HEADRACE_IDLE_AFTER_S": "3600"}
    with ground.project(**quiet) as project:
        ground.say(f"publishing {rows:,} predictions and labels")
        publish(project, ids, times)
        ground.say("joining")
        project.start(MEMBER)
        meter = Meter(project, MEMBER)
        metrics = await_metric(project, meter, ("headrace_emitted_total", "outcomes"), rows)
        cpu, start = meter.sample().cpu, meter.cpu_when_assigned()
        state = metrics["headrace_open_bytes", ""] / metrics["headrace_open_predictions", ""]
        ground.say("replaying")
        project.stop(MEMBER, signal.SIGKILL)
        project.start(MEMBER)
        meter = Meter(project, MEMBER)
        await_metric(project, meter, ("headrace_partitions_owned", ""), 1)
        begun = time.monotonic()
        await_metric(project, meter, ("headrace_ready", ""), 1)
        replay = time.monotonic() - begun
        outcomes = project.count("outcomes")
    days = (int(times.max()) - int(times.min())) / DAY
    return {
        "predictions": rows,
        "steady": 2 * rows / (cpu - start),
        "whole": 2 * rows / cpu,
        "bytes_an_open_prediction": state,
        "replay_s": replay,
        "replay_days": days,
        "month_s": replay * 30 / days,
        "outcomes": outcomes,
    }


def publish(project: Project, ids: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> None:
    """A prediction of each event, and an hour after it its label."""
    by_id = np.zeros(int(ids.max()) + 1, np.int64)
    by_id[ids] = times
    writer = Producer(project.connection)
    predictions, labels = project.contracts.channel("predictions"), project.contracts.channel("labels")
    kind = labels.codec.reader.arrow
    for begin in range(0, len(ids), 10_000):
        part = ids[begin : begin + 10_000]
        told = predictions_of(part, by_id, np.zeros(len(part), np.int64), predictions.codec.reader.arrow)
        writer.send(predictions.name, told["entity"].to_pylist(), predictions.codec.encode(told))
        columns = {
            "event_id": told["event_id"],
            "value": pa.array((part % 2).astype(float)),
            "label_time": pa.array(by_id[part] + HOUR, kind.field("label_time").type),
            "source": pa.array(["chargeback"] * len(part)),
        }
        said = pa.RecordBatch.from_pydict({name: columns[name] for name in kind.names})
        writer.send(labels.name, said["event_id"].to_pylist(), labels.codec.encode(said))
        writer.poll()
    writer.flush()


def await_metric(project: Project, meter: Meter, which: tuple[str, str], least: float) -> dict[tuple[str, str], float]:
    """What the member says of itself once one figure has come to `least`."""
    end = time.monotonic() + PATIENCE_S
    while True:
        metrics = meter.metrics()
        if metrics.get(which, 0.0) >= least:
            return metrics
        assert time.monotonic() < end, f"{which} is {metrics.get(which)}, not {least}\n{project.logs()}"
        assert project.processes[meter.member].poll() is None, project.logs()
        for _ in range(10):  # 0.2 s, the grain of the figures; 20 ms is that of the trace.
            meter.trace()
            time.sleep(0.02)
