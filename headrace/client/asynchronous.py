"""The same client for programs that run on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headrace.client.pipeline import Pipeline, Row
from headrace.client.prediction import Prediction, prediction_of
from headrace.client.topic_stream import Start


class AsyncPipeline:
    """A `Pipeline` whose calls are awaited: what may wait for Kafka does so on a thread. Arguments and errors are its.

    Args:
        pipeline, bootstrap, kafka, registry: see `Pipeline`.
    """

    def __init__(
        self,
        pipeline: str | Path,
        bootstrap: str | None = None,
        *,
        kafka: Mapping[str, str] | None = None,
        registry: str | None = None,
    ) -> None:
        self.plain = Pipeline(pipeline, bootstrap, kafka=kafka, registry=registry)
        self._asking = ThreadPoolExecutor(1, "headrace-asking")  # One: threads would write events in any order.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See `Pipeline.close`."""
        await asyncio.to_thread(self.plain.close)

    async def publish(self, events: Row | Iterable[Row], timeout: float = 30.0) -> int:
        """See `Pipeline.publish`. A cancelled call is carried out all the same."""
        return await asyncio.to_thread(self.plain.publish, events, timeout)

    async def send_labels(self, labels: Row | Iterable[Row], source: str = "client", timeout: float = 30.0) -> int:
        """See `Pipeline.send_labels`."""
        return await asyncio.to_thread(self.plain.send_labels, labels, source, timeout)

    async def predict(self, event: Row, timeout: float = 10.0) -> Prediction:
        """See `Pipeline.predict`. Events are written in the order of the calls, however many are awaited at once.

        Cancelled, nobody awaits the prediction any more; the event may be on the topic.
        """
        asked = asyncio.get_running_loop().run_in_executor(self._asking, self.plain.submit, event, timeout)
        return await asyncio.wrap_future(await asked)

    async def predictions(
        self, start: Start = "now", *, group: str | None = None, until_idle: float | None = None
    ) -> AsyncIterator[Prediction]:
        """See `Pipeline.predictions`."""
        async for row in self._rows("predictions", start, group, until_idle):
            yield prediction_of(row, self.plain.classes)

    async def outcomes(
        self, start: Start = "now", *, group: str | None = None, until_idle: float | None = None
    ) -> AsyncIterator[Row]:
        """See `Pipeline.outcomes`."""
        async for row in self._rows("outcomes", start, group, until_idle):
            yield row

    async def _rows(
        self, topic: str, start: Start, group: str | None, until_idle: float | None
    ) -> AsyncIterator[dict[str, Any]]:
        blocks = await asyncio.to_thread(self.plain.blocks, topic, start, group, until_idle)
        asking: asyncio.Future[list[dict[str, Any]] | None] | None = None
        try:
            while True:
                asking = asyncio.ensure_future(asyncio.to_thread(next, blocks, None))
                block = await asyncio.shield(asking)
                if block is None:
                    return
                for row in block:
                    yield row
        finally:
            if asking is not None and not asking.done():
                await asyncio.wait([asking])  # A generator that runs on its thread cannot be closed.
            await asyncio.to_thread(_close, blocks)


def _close(blocks: Iterator[list[dict[str, Any]]]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
