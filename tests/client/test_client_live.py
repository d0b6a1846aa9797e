"""The client beside services that run, on a real broker."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta

import pytest

from headrace.client import AsyncPipeline, NotAnswered, Pipeline, Prediction, Refused
from headrace.errors import ConfigurationError, ContractError
from tests.client.shop import order, source
from tests.project import Project

PATIENT_S = 120.0


@pytest.fixture(scope="module")
def shop(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The shop, scored."""
    directory = tmp_path_factory.mktemp("shop")
    name = f"shop_{time.time_ns()}"
    project = Project(source(directory / "source"), name, directory / "project", kafka, redis_server, 3)
    project.champion()
    for member in ("enrich-0", "score-0"):
        project.start(member)
    yield project
    project.close()


@pytest.fixture
def client(shop: Project) -> Iterator[Pipeline]:
    """A client of the shop."""
    with Pipeline(shop.path, shop.bootstrap) as made:
        yield made


def test_each_event_is_told_its_own_prediction(shop: Project, client: Pipeline) -> None:
    """One, and three hundred at once from the same reader; the answer is what is on the topic."""
    first = client.predict(order(1, amount=30.0), PATIENT_S)
    assert (first.event_id, first.entity, first.arm, first.row["event"]["amount"]) == ("1", "c1", "champion", 30.0)
    asked = {number: client.submit(order(number), PATIENT_S) for number in range(2, 302)}
    wait(asked.values())
    assert {number: future.result().event_id for number, future in asked.items()} == {
        number: str(number) for number in asked
    }
    there = {row["event_id"]: row["score"] for row in shop.read("predictions").to_pylist()}
    assert all(future.result().score == there[str(number)] for number, future in asked.items())


def test_an_event_that_is_refused_says_why(client: Pipeline) -> None:
    """With the reason of the dead letter; its neighbour is answered. What no event can be never leaves the program."""
    bad, good = client.submit(order(1_001, amount=-5.0), PATIENT_S), client.submit(order(1_002), PATIENT_S)
    with pytest.raises(Refused, match="event 1001 was refused by enrich") as refused:
        bad.result()
    assert refused.value.reason == "out_of_range"
    assert good.result().event_id == "1002"
    with pytest.raises(ConfigurationError, match="row 0, amount: 'many' is a str"):
        client.predict(order(1_003, amount="many"))  # type: ignore[arg-type]


def test_nothing_is_written_where_one_row_is_wrong(shop: Project, client: Pipeline) -> None:
    """And the row is named."""
    before = shop.count("events")
    with pytest.raises(ConfigurationError, match="row 2, customer"):
        client.publish([order(2_000), order(2_001), order(2_002) | {"customer": None}])
    assert shop.count("events") == before
    assert client.publish(order(number) for number in range(2_010, 2_030)) == 20
    assert shop.count("events") == before + 20


def test_nobody_waits_for_ever(shop: Project) -> None:
    """No answer in time is said, with where the event is; so is the end of the client, to whoever still waits."""
    client = Pipeline(shop.path, shop.bootstrap)
    shop.stop("score-0")
    try:
        with pytest.raises(NotAnswered, match="event 3001 has no prediction: none came in time; it is on the topic"):
            client.predict(order(3_001), 3.0)
        waits = client.submit(order(3_002), PATIENT_S)
        given_up = client.submit(order(3_003), PATIENT_S)
        assert given_up.cancel()
        client.close()
        with pytest.raises(NotAnswered, match="the client was closed"):
            waits.result()
        with pytest.raises(ContractError, match="closed"):
            client.submit(order(3_004))
    finally:
        shop.start("score-0")


def test_predictions_come_as_they_are_made_and_a_group_goes_on_where_it_was(shop: Project, client: Pipeline) -> None:
    """A reader that dies after some of a block has the block again; what it went past does not come again."""
    ids = [str(number) for number in range(4_000, 4_400)]
    since = datetime.now(UTC) - timedelta(seconds=1)
    client.publish(order(int(event_id)) for event_id in ids[:200])
    shop.await_count("predictions", 1)
    first = _read(lambda: client.predictions(since, group="readers", until_idle=20), ids[:200])
    assert sorted(first) == ids[:200], "each once"
    client.publish(order(int(event_id)) for event_id in ids[200:])
    second = _read(lambda: client.predictions(since, group="readers", until_idle=20), ids[200:])
    assert sorted(set(second)) == ids[200:], "what was committed does not come again"
    everything = [each.event_id for each in client.predictions("beginning", until_idle=3)]
    assert set(ids) <= set(everything)
    with pytest.raises(ConfigurationError, match="those of the services"):
        client.predictions(group=f"{client.name}.score")


def _read(stream: Callable[[], Iterator[Prediction]], wanted: list[str]) -> list[str]:
    """Ids among those wanted, until all are there; then one more turn, so that the last block is committed."""
    found: list[str] = []
    for prediction in stream():
        if prediction.event_id in wanted:
            found.append(prediction.event_id)
    return found


def test_labels_are_what_the_pipeline_means_by_them(shop: Project, client: Pipeline) -> None:
    """Of an id as the event has it; what no label can be is refused."""
    assert client.send_labels([{"event_id": 1, "value": 1.0}, {"event_id": "2", "value": 0.0, "source": "desk"}]) == 2
    rows = {row["event_id"]: row for row in shop.await_count("labels", 2).to_pylist()}
    assert (rows["1"]["value"], rows["1"]["source"], rows["2"]["source"]) == (1.0, "client", "desk")
    with pytest.raises(ConfigurationError, match=r"row 1, value: 7\.0 is neither 0 nor 1"):
        client.send_labels([{"event_id": 1, "value": 1.0}, {"event_id": 3, "value": 7.0}])
    with pytest.raises(ConfigurationError, match="more than a day ahead"):
        client.send_labels({"event_id": 1, "value": 1.0, "label_time": datetime.now(UTC) + timedelta(days=2)})


def test_the_same_on_asyncio(shop: Project) -> None:
    """Many at once, one cancelled, and predictions as they come."""

    async def run() -> tuple[list[str], set[str]]:
        async with AsyncPipeline(shop.path, shop.bootstrap) as client:
            dropped = asyncio.ensure_future(client.predict(order(5_900), PATIENT_S))
            answers = await asyncio.gather(
                *(client.predict(order(number, customer="c1"), PATIENT_S) for number in range(5_000, 5_040))
            )
            dropped.cancel()
            with pytest.raises(Refused, match="event 5901"):
                await client.predict(order(5_901, amount=-1.0), PATIENT_S)
            await client.publish(order(number) for number in range(5_040, 5_050))
            await client.send_labels({"event_id": 5_000, "value": 0.0})
            missing = {str(number) for number in range(5_000, 5_050)}
            async with asyncio.timeout(PATIENT_S):
                async for prediction in client.predictions("beginning"):
                    missing.discard(prediction.event_id)
                    if not missing:  # partitions come in any order: the last event is not the last to be read
                        break
            return [each.event_id for each in answers], missing

    answers, missing = asyncio.run(run())
    assert answers == [str(number) for number in range(5_000, 5_040)]
    assert not missing
    written = [number for number in shop.read("events").column("order").to_pylist() if 5_000 <= number < 5_040]
    assert written == list(range(5_000, 5_040)), "in the order of the calls, or some would be too late"


@pytest.mark.faults
def test_services_that_are_killed_answer_late(shop: Project, client: Pipeline) -> None:
    """Once each, whoever asks."""
    asked = {}
    for number in range(6_000, 6_400):
        asked[number] = client.submit(order(number), PATIENT_S)
        if number % 100 == 50:
            for member in ("score-0", "enrich-0"):
                shop.stop(member, signal.SIGKILL)
                shop.start(member)
    wait(asked.values())
    assert [future.result().event_id for future in asked.values()] == [str(number) for number in asked]
