"""How soon each service answers again after the broker was away, or the way to it.

    python -m loadtests.outages [--seconds N] [--rate N]

A steady stream of events and labels goes through all services, which reach the broker through a cable. That is cut
for a second (connections break), held for a second (nothing passes), and the broker is killed for ten. From the moment
that it is whole again, the time until the next answer of each service is readable. Ends with 1 where it took over 15 s.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from headrace.devparts.kafka import Kafka
from headrace.devparts.redis import Redis
from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.streaming.kafka.client import Producer
from loadtests.arena import Arena, console
from loadtests.following import Follower
from loadtests.shadowing import arm, plan
from loadtests.stream import TIME, Stream
from tests.cable import cable_to
from tests.project import Project

ANSWERS = {
    "enrich": "features",
    "score": "predictions",
    "shadow": "shadow-predictions",
    "labels": "outcomes",
    "scorecards": "scorecards",
}
"""Services and the topics that nobody else writes; `enrich` waits for `views`, so that is among them."""
BAR_S = 15.0
MEMBERS = ("enrich-0", "views-0", "labels-0", "score-0", "shadow-0", "scorecards-0")


class Source(threading.Thread):
    """Publishes events of now and their labels at a steady rate, as far as the broker takes them."""

    def __init__(self, project: Project, stream: Stream, rate: int) -> None:
        super().__init__(daemon=True)
        self.project, self.stream, self.rate = project, stream, rate
        self.done = threading.Event()

    def run(self) -> None:
        """A tenth of a second's events every tenth of a second."""
        part = max(self.rate // 10, 1)
        producer = Producer(self.project.connection)
        for start in range(0, len(self.stream) - part, part):
            if self.done.wait(0.1):
                break
            rows = self.stream.part(start, start + part).ending(int(time.time() * 1000))
            labels = rows.labels()
            known = rows.events[TIME].cast(labels["label_time"].type)
            labels = labels.set_column(labels.schema.get_field_index("label_time"), "label_time", known)
            for logical, key, batch in (("events", "customer_id", rows.events), ("labels", "event_id", labels)):
                channel = self.project.contracts.channel(logical)
                producer.send(channel.name, batch[key].cast("string").to_pylist(), channel.codec.encode(batch))
                producer.poll()
        producer.close()


def recovered(project: Project, since: float, seconds: float) -> dict[str, float]:
    """Seconds from `since` (monotonic) until each service has answered anew."""
    found: dict[str, float] = {}
    followers = {
        service: Follower(project.connection, project.contracts.channel(topic), True)
        for service, topic in ANSWERS.items()
    }
    try:
        while len(found) < len(ANSWERS) and time.monotonic() - since < seconds:
            project.revive()
            for service, follower in followers.items():
                at, intake = follower.poll(0.02)
                if intake is not None and service not in found:
                    found[service] = at - since
    finally:
        for follower in followers.values():
            follower.close()
    return found


def main() -> int:
    """Run, print, and say by the exit code whether all were soon enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=120, help="most to wait for an answer (120)")
    parser.add_argument("--rate", type=int, default=200, help="events per second (200)")
    options = parser.parse_args()
    shown = console()
    directory = Path(tempfile.mkdtemp(prefix="headrace-outages-"))
    broker, store = (
        Kafka(directory / "kafka", brief=True, with_parent=True),
        Redis(directory / "redis", with_parent=True),
    )
    cable = cable_to(broker)

    def kill() -> None:
        broker.kill()
        time.sleep(10)
        broker.start()

    def during(act: Callable[[], None]) -> Callable[[], None]:
        def fault() -> None:
            act()
            time.sleep(1)
            cable.mend()

        return fault

    faults = [
        ("cut for 1 s", during(cable.cut)),
        ("held for 1 s", during(cable.hold)),
        ("broker killed for 10 s", kill),
    ]
    table = Table(title="seconds until the next answer of each service")
    for heading in ("fault", *ANSWERS):
        table.add_column(heading, justify="right")
    late = False
    try:
        store.start()
        broker.start()
        ground = Arena(directory, broker.address, store.address, broker.processes()[0].pid, False, shown.print)
        way = f"127.0.0.1:{cable.port}"
        with ground.project(HEADRACE_BOOTSTRAP=way, HEADRACE_PUBLISH_S="1") as project:
            package, uri = ground.model
            plan(ground, project, [arm(package, uri, CHAMPION), arm(package, uri, CHALLENGER)])
            for member in MEMBERS:
                project.start(member)
            source = Source(project, ground.stream(200_000), options.rate)
            source.start()
            shown.print(f"first answers: {recovered(project, time.monotonic(), 300)}")
            for name, fault in faults * 3:
                time.sleep(5)
                fault()
                found = recovered(project, time.monotonic(), options.seconds)
                late = late or len(found) < len(ANSWERS) or max(found.values()) > BAR_S
                shown.print(f"{name}: {found}")
                table.add_row(name, *[f"{found[service]:.1f}" if service in found else "never" for service in ANSWERS])
            source.done.set()
            source.join()
    finally:
        cable.close()
        broker.stop()
        store.stop()
        shutil.rmtree(directory, ignore_errors=True)
    shown.print(table)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
