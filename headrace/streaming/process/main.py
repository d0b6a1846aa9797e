"""A service as a process: settings in, signals handled, an exit code that tells a supervisor what to do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from headrace.errors import ConfigurationError, ContractError, Fenced
from headrace.streaming.process.health import PortTaken
from headrace.streaming.process.logs import configure, logger
from headrace.streaming.process.member import ServiceMember
from headrace.streaming.process.settings import Settings, read_settings
from headrace.streaming.process.signals import heard
from headrace.streaming.records.dead_letters import DeadLetterLimit

DONE = 0
CRASHED = 1
MISCONFIGURED = 2
LIMIT_REACHED = 3
RESTART = 75
STUCK = 70
LAST_WORDS_S = 5.0
"""How long a process that is to end may take to say why."""


def main(service: str, kind: type[Settings], build: Callable[[Any], ServiceMember]) -> int:
    """Read settings from the environment and serve; a wrong setting is said before anything opens."""
    try:
        settings = read_settings(kind)
    except ConfigurationError as error:
        configure("json", service=service)
        logger("serving").error("cannot start", error=str(error))
        return MISCONFIGURED
    return serve(service, settings, build)


def serve(service: str, settings: Settings, build: Callable[[Any], ServiceMember]) -> int:
    """Run one member until it is told to stop, and say how it went.

    Exit codes: 0 drained; 1 a defect or a lost store, restart; 2 settings or contracts are wrong, a restart will not
    help; 3 too many dead letters, look first; 70 hung, or did not drain in time, restart; 75 fenced by another member,
    restart.
    """
    configure(settings.log, service=service, member=settings.member)
    log = logger("serving")
    try:
        runner = build(settings)
    except (ConfigurationError, ContractError) as error:
        log.error("cannot start", error=str(error))
        return MISCONFIGURED
    told: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        told.append(number)
        if len(told) > 1:
            os._exit(128 + number)
        # librdkafka's close has been seen to hang on an overloaded machine; what is durable by then stays durable.
        end_in(settings.drain_s + 4, STUCK)
        runner.stop()
        log.info("stopping", signal=number.name)

    def on_silence() -> None:
        end_in(LAST_WORDS_S, STUCK)  # The loop may hang in a write to the log, whose lock it then holds.
        log.error(
            "hung", seconds=round(runner.health.silent_for()), last_words="the loop is silent; restarting frees it"
        )
        os._exit(STUCK)

    runner.health.watch(on_silence)
    with heard(on_signal):
        code = _run(runner)
    if runner.tangled:
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(runner: ServiceMember) -> int:
    """The exit code of how it went."""
    log = logger("serving")
    try:
        runner.run()
    except Fenced as error:
        log.error("fenced", error=str(error))
        return RESTART
    except DeadLetterLimit as error:
        log.error("dead-letter limit", error=str(error))
        return LIMIT_REACHED
    except ConfigurationError as error:
        log.error("misconfigured", error=str(error))
        return MISCONFIGURED
    except ContractError as error:
        log.error("contract broken", error=str(error), exc_info=True)
        return MISCONFIGURED
    except PortTaken as error:
        log.error("no port", error=str(error))
        return CRASHED
    except Exception:
        log.exception("crashed")
        return CRASHED
    log.info("drained")
    return DONE


def end_in(seconds: float, code: int) -> None:
    """End the process after so long, whatever it does then."""
    watchdog = threading.Timer(seconds, os._exit, [code])
    watchdog.daemon = True
    watchdog.start()
