"""One member of `retrain`: an agent that takes control events, a thread that answers them, and a job at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import RetrainProgress
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.retrain.answer import ACTOR
from headrace.domain.retrain.gate_waits import GateWait
from headrace.domain.retrain.history import TrainingRun
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.training.job.child import ChildJob
from headrace.errors import ConfigurationError, Transient
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.process.health import Health
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from services.retrain.authentication import options, passed_over
from services.retrain.gate_looks import GateLooks
from services.retrain.job_findings import findings_of, in_silence, patiently, verdict_of
from services.retrain.metrics import RetrainMetrics
from services.retrain.order import evaluation_of, order_here
from services.retrain.outcome_count import OutcomeCount
from services.retrain.settings import RetrainSettings
from services.retrain.stall import GroupLag, LagWatch, StallBound, Stalled
from services.retrain.tenure import Tenure, now_ms

log = logger("retrain")
T = TypeVar("T")
TURN_S = 0.25
SECOND = 1000
COUNT_EVERY = 10
"""Looks at the schedule for each look at the volume."""


class RetrainMember:
    """Runs until `stop` is called, or what it does fails; then the process is to begin anew.

    Args:
        pipeline: what it says of trainings.
        wiring: the control topic, as input and output; aside `outcomes`, which trainings and evaluations read, and
            `plans`, for who answers: it may learn on.
        command: the program of a training, and its arguments; `judge_command` that of an evaluation.
        settings: how it runs.

    Attributes:
        tangled: whether the process may hang when it ends in the ordinary way.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        wiring: Wiring,
        command: tuple[str, ...],
        judge_command: tuple[str, ...],
        settings: RetrainSettings,
    ) -> None:
        if pipeline.retrain is None and pipeline.release is None:
            raise ConfigurationError(
                f"{pipeline.name} has no section retrain and none called release: nothing is to be trained or judged"
            )
        self.wiring = wiring
        self.settings = settings
        self.metrics = Metrics()
        self.counts = RetrainMetrics(self.metrics.registry)
        self.connection = settings.connection
        self.health = Health(self.metrics, self.connection.library.monotonic, settings.silence_s)
        self.tangled = False
        self.written = tuple(wiring.outputs)
        self._policy = policy = pipeline.retrain or Retrain()
        self._judges, self._rules = pipeline.release is not None, pipeline.release or Release()
        outcomes, plans = wiring.aside["outcomes"], wiring.aside["plans"]
        self._command, self._judge_command = command, judge_command
        (self._control,) = wiring.inputs
        self._entrance = options(self.connection.properties)
        self._monotonic = self.connection.library.monotonic
        self._thread = ThreadPoolExecutor(1, "answers")
        self._tenure = Tenure(
            self.connection,
            wiring.pipeline,
            policy,
            self._control,
            outcomes,
            plans,
            wiring.beside["exchange"],
            wiring.group,
            self.metrics,
            self.counts,
        )
        self._outcome_count = OutcomeCount(self.connection, outcomes)
        self._gate_looks = GateLooks(self.connection, outcomes)
        self._enough: list[GateWait] = []
        self._told_to_stop = False
        self._wake: Callable[[], None] = lambda: None
        self._seated = False
        self._handled = 0
        self._busy_at = 0.0
        self._job: asyncio.Task[None] | None = None
        self._looks_again = False
        self._looks: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        """Finish what is being answered, end the job, leave. Safe from any thread."""
        self._told_to_stop = True
        self._wake()

    def run(self) -> None:
        """Serve. Raises what ended it; then nothing that was not answered counts as handled."""
        try:
            port = self.health.serve(self.settings.host, self.settings.port)
            log.info("listening", port=port, paths=["/livez", "/readyz", "/metrics"])
            if ignored := passed_over(self.connection.properties):
                log.info("properties without a counterpart", properties=ignored, of="the consumer of this service")
            if not self._reach_kafka():
                return
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(self._live())
            except BaseException:
                self.tangled = True  # Threads of a client that hangs would keep the process.
                raise
            loop.close()
            self._thread.shutdown()
        finally:
            self.health.close()

    def _reach_kafka(self) -> bool:
        """Wait until Kafka answers and has the topics; False: told to stop before. A process that began anew because
        the broker was away would only end again, and again. ContractError when a topic does not exist.
        """
        while not self._told_to_stop:
            self.health.beat()
            consumer = Consumer(self.connection)
            try:
                for channel in (self._control, *self.wiring.aside.values()):
                    consumer.partitions(channel.name)
                return True
            except Transient as reason:
                self.health.missing = f"Kafka does not answer: {reason}"
                log.warning("Kafka does not answer yet", reason=str(reason))
            finally:
                consumer.close()
        return False

    # ---- life ----------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:  # Here, because commands that only ask what the service reads and writes do without Faust.
            from services.retrain.agent import AgentDuty, AgentPlace, ControlAgent
        except ModuleNotFoundError as missing:
            raise ConfigurationError(f"{missing.name} is not installed: pip install 'headrace[retrain]'") from None

        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        self._wake = partial(_set, loop, asked)
        settings = self.settings
        place = AgentPlace(
            self.wiring.group,
            self._control.name,
            settings.bootstrap,
            settings.member,
            settings.session_timeout_ms / SECOND,
            self._entrance,
        )
        agent = ControlAgent(place, AgentDuty(self._be_seated, self._be_unseated, self._handle))
        self._failure = agent.failure
        lag = LagWatch(self.connection, self.wiring.group, self._control.name, max(1.0, settings.stall_s / 6))
        lag.start()
        self.health.missing = "the control topic is not this member's yet, or another's"
        try:
            await agent.start()
            await self._turn(agent.check, lag, asked)
        except Stalled:
            await self._end_job()
            raise  # To leave the group in order may hang as well.
        except BaseException:
            await self._leave(agent.stop)
            raise
        finally:
            lag.close()
        log.info("draining")
        await self._leave(agent.stop)

    async def _turn(self, check: Callable[[], None], lag: LagWatch, asked: asyncio.Event) -> None:
        """Until told to stop."""
        settings, now = self.settings, self._monotonic()
        bound, look_at, count_at = StallBound(settings.stall_s, now), now, now
        while not self._told_to_stop:
            self.health.beat()
            check()
            if self._failure.done():
                self._failure.result()
            now = self._monotonic()
            if now >= look_at and self._seated:
                look_at = now + settings.look_s
                self._beside("schedule", self._do(self._tenure.look))
                if now >= count_at:
                    count_at = now + COUNT_EVERY * settings.look_s
                    if self._policy.volume is not None:
                        self._beside("volume", self._count())
                    if self._judges and self._tenure.history.gates.waiting:
                        self._beside("gates", self._count_for_gates())
                self._have_it_done()
            behind = lag.behind(now, settings.stall_s / 2)
            bound.note(None if behind is None else behind.records, self._handled, now)
            self._report(behind, now)
            if settings.until_idle_s is not None and self._idle_s(now) >= settings.until_idle_s:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), TURN_S)

    async def _leave(self, stop: Any) -> None:
        await self._end_job()
        await stop()
        await self._do(self._tenure.close)

    def _beside(self, name: str, what: Coroutine[Any, Any, None]) -> None:
        """Have something done that may take long, unless the last of that name goes on: the loop is not held up."""
        last = self._looks.get(name)
        if last is None or last.done():
            self._looks[name] = asyncio.ensure_future(what)
            self._looks[name].add_done_callback(self._note_failure)
        else:
            what.close()

    async def _count(self) -> None:
        """Count outcomes where no training runs, so that what they ask for can be answered by one."""
        run = self._tenure.history.newest_run
        if run is not None and run.ended is None:
            return
        try:
            outcomes = await asyncio.to_thread(self._outcome_count.since, run)
        except Transient as reason:
            log.warning("outcomes are not counted", reason=str(reason))
            return
        if self._seated:
            await self._do(partial(self._tenure.count, outcomes, run))

    async def _count_for_gates(self) -> None:
        """Find what has outcomes enough to be judged again."""
        try:
            self._enough = await asyncio.to_thread(self._gate_looks.due, [*self._tenure.history.gates.waiting.values()])
        except Transient as reason:
            log.warning("outcomes are not counted", reason=str(reason))

    def _report(self, behind: GroupLag | None, now: float) -> None:
        topic = self._control.logical
        self.metrics.owned.set(int(self._seated))
        self.metrics.idle.set(self._idle_s(now))
        self.metrics.ready.set(int(self.health.missing is None))
        self.counts.active.set(int(self._job is not None))
        if behind is not None:
            self.metrics.lag_records.labels(topic, "0").set(behind.records)
            age = 0.0 if behind.oldest is None else max(now_ms() - behind.oldest, 0) / SECOND
            self.metrics.lag_seconds.labels(topic, "0").set(age)

    def _idle_s(self, now: float) -> float:
        return now - self._busy_at if self._seated and self._job is None else 0.0

    # ---- what the agent is told ----------------------------------------------------------------------------------

    async def _be_seated(self) -> None:
        await self._do(self._tenure.open)
        self._seated, self.health.missing = True, None
        self._busy_at = self._monotonic()
        self._have_it_done()

    async def _be_unseated(self) -> None:
        self._seated, self.health.missing = False, "the control topic is another member's"
        await self._end_job()
        await self._do(self._tenure.close)

    async def _handle(self, offset: int, value: bytes | None) -> None:
        await self._do(lambda: self._tenure.take(offset, value))
        self._handled += 1
        self._busy_at = self._monotonic()
        self._have_it_done()

    async def _do(self, what: Callable[[], T]) -> T:
        """On the one thread that has to do with the topic's past and answers."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)

    # ---- jobs ----------------------------------------------------------------------------------------------------

    def _have_it_done(self) -> None:
        """Start the job of the training that runs, if it has none: it began just now, or in another life. Where none
        runs, that of the package that is to be judged next, or again. A training does not wait for the latter.
        """
        run = self._tenure.active
        if self._job is not None and self._looks_again and run is not None:
            self._looks_again = False
            self._job.cancel()  # nothing was told, so the same look comes another time
        if self._job is not None or not self._seated or self._told_to_stop:
            return
        self._looks_again = False
        if run is not None:
            self._job = asyncio.ensure_future(self._train(run))
        elif self._judges and (package := self._tenure.unjudged) is not None:
            self._job = asyncio.ensure_future(self._judge(package))
        elif self._judges and (wait := self._due) is not None:
            self._looks_again = True
            self._job = asyncio.ensure_future(self._judge(wait.package, wait))
        else:
            return
        self._job.add_done_callback(self._job_over)

    @property
    def _due(self) -> GateWait | None:
        """The package that is to be judged again next; what was decided meanwhile is not."""
        waiting = self._tenure.history.gates.waiting
        return next((wait for wait in self._enough if waiting.get(wait.package.event) == wait), None)

    def _job_over(self, job: asyncio.Task[None]) -> None:
        if self._job is job:
            self._job = None
        self._busy_at = self._monotonic()
        self._note_failure(job)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _end_job(self) -> None:
        """Kill the job, if there is one; its training goes on where the topic is taken over."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.wait([job])

    async def _train(self, run: TrainingRun) -> None:
        settings = self.settings
        folder = settings.trainings / self.wiring.pipeline
        order = order_here(run.order, settings.pipeline)
        job = ChildJob(self._command, order, run.run, folder, _environment(settings))
        self.counts.jobs.inc()

        async def told(name: str, said: dict[str, Any]) -> None:
            stage = str(said.get("stage"))
            if name == "progress" and (run.run, stage) not in self._tenure.history.stages:
                found = RetrainProgress(run.run, stage, json.dumps(said, sort_keys=True))
                await self._tell(run, (f"progress/{stage}", found))

        end = await patiently(job, told)
        seconds = (now_ms() - run.began) / SECOND
        log.info("training ended", run=run.run, problem=end.problem, seconds=round(seconds, 1))
        at = await self._do(self._tenure.at)
        await self._tell(run, *findings_of(run, end, seconds, self._tenure.history.asker(run), at))
        self.counts.trainings.labels("finished" if end.result is not None else "failed").inc()

    async def _judge(self, package: RegisteredPackage, wait: GateWait | None = None) -> None:
        settings, look = self.settings, 1 if wait is None else wait.look
        order = evaluation_of(package, settings.pipeline, self._policy, look)
        name = f"evaluation-{hashlib.sha256(package.event.encode()).hexdigest()[:12]}"
        name += "" if wait is None else f"-{look}"
        folder = settings.trainings / self.wiring.pipeline
        job = ChildJob(self._judge_command, order, name, folder, _environment(settings))
        self.counts.jobs.inc()
        end = await patiently(job, in_silence)
        found = verdict_of(package, end, self._rules, wait)
        log.info("evaluation ended", model=package.model, look=look, verdict=found.verdict, because=found.because)
        event = ControlEvent(f"{ACTOR}/{name}/evaluated", self.wiring.pipeline, now_ms(), ACTOR, found, package.event)
        await self._do(lambda: self._tenure.tell([event]))
        self.counts.evaluations.labels(found.verdict).inc()

    async def _tell(self, run: TrainingRun, *said: tuple[str, ControlFinding]) -> None:
        pipeline, time = self.wiring.pipeline, now_ms()
        events = [
            ControlEvent(f"{ACTOR}/{run.run}/{name}", pipeline, time, ACTOR, found, run.trigger) for name, found in said
        ]
        await self._do(lambda: self._tenure.tell(events))


def _environment(settings: RetrainSettings) -> dict[str, str]:
    """What a job is told of where things are."""
    return {
        "HEADRACE_PIPELINE": settings.pipeline,
        "HEADRACE_BOOTSTRAP": settings.bootstrap,
        "HEADRACE_MODELS": settings.models,
        "HEADRACE_MODEL_CACHE": str(settings.model_cache),
    }


def _set(loop: asyncio.AbstractEventLoop, asked: asyncio.Event) -> None:
    loop.call_soon_threadsafe(asked.set)
