"""Many schedules on all cores, and of one that fails the least that still does."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import structlog

from tests.simulated.member import Cast
from tests.simulated.plan import PROTOCOLS, Plan, plan_of
from tests.simulated.world import PRODUCT, Fault, World

AT_ONCE = 250
"""Seeds that a worker takes at a time."""
COLLECT = 50
"""Schedules between two collections: the collector by itself would look at all that is imported every time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that ended badly: what it was, what went wrong in it, what that led to."""

    plan: Plan
    faults: tuple[Fault, ...]
    breaches: tuple[str, ...]

    def __str__(self) -> str:
        kept = "" if self.plan.kept is None else " --kept " + (",".join(map(str, sorted(self.plan.kept))) or "none")
        plan = self.plan
        scene = f"--scene {plan.scene} " if plan.scene in PRODUCT else ""
        with_ = f" with {' and '.join(sorted(plan.variants))}" if plan.variants else ""
        lines = [
            f"python -m tests.simulated {scene}--seed {self.plan.seed} --turns {self.plan.turns}{kept}",
            f"  {plan.scene}{with_}, {plan.members} members, "
            f"{plan.partitions} partitions, {plan.mode}, {plan.protocol}",
            *(f"  {fault.at:9.3f} s  {fault.kind} {fault.member} {fault.where}" for fault in self.faults),
            *(f"  -> {breach}" for breach in self.breaches),
        ]
        return "\n".join(lines)


def attempt(plan: Plan, cast: Cast) -> Failure | None:
    """Run one schedule; None when all was well."""
    world = World(plan, cast)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 - whatever ends a schedule is a finding, told with its seed
        where = traceback.extract_tb(error.__traceback__)[-3:]
        world.scene.breaches.append(
            f"the schedule ended: {error!r} in {' <- '.join(f'{each.name}:{each.lineno}' for each in reversed(where))}"
        )
    if not world.scene.breaches:
        return None
    return Failure(plan, tuple(world.fired), tuple(world.scene.breaches))


def shrink(failure: Failure, cast: Cast) -> Failure:
    """The same with fewer faults and turns, as long as it fails."""
    for turns in (failure.plan.turns // 4, failure.plan.turns // 2):
        if (found := attempt(replace(failure.plan, turns=turns), cast)) is not None:
            failure = found
            break
    kept = [fault.number for fault in failure.faults]
    size = max(len(kept) // 2, 1)
    while kept:
        for start in range(0, len(kept), size):
            fewer = [*kept[:start], *kept[start + size :]]
            if (found := attempt(failure.plan.only(frozenset(fewer)), cast)) is not None:
                failure, kept = found, fewer
                break
        else:
            if size == 1:
                break
            size //= 2
    return failure


def quiet() -> None:
    """In a process that runs many schedules: no log, no collector."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=True
    )  # 50: what is critical, which nothing is
    gc.disable()


def failures_of(
    seeds: range, cast: Cast, protocols: tuple[str, ...], most: int = 1, product: str = ""
) -> list[Failure]:
    """The first schedules of some seeds that fail."""
    found: list[Failure] = []
    for count, seed in enumerate(seeds):
        failure = attempt(plan_of(seed, protocols, product), cast)
        if failure is not None:
            found.append(failure)
            if len(found) >= most:
                break
        if count % COLLECT == 0:
            gc.collect()
    return found


def failures(
    seeds: range, cast: Cast, protocols: tuple[str, ...], workers: int, most: int = 1, product: str = ""
) -> Iterator[Failure]:
    """Schedules of these seeds that fail, in their order, as many as asked for; each core has its share."""
    parts = [seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE)]
    left = most
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        for found in pool.map(partial(failures_of, cast=cast, protocols=protocols, most=most, product=product), parts):
            for failure in found[:left]:
                left -= 1
                yield failure
            if not left:
                pool.shutdown(cancel_futures=True)
                return


OF_PRODUCT = 400
"""For so many schedules of the small scenes there is one of each service of the product, which takes longer."""


def main(arguments: Iterable[str]) -> int:
    """The command line; 1 when a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulated", description=__doc__)
    parser.add_argument("--scene", default="", choices=PRODUCT, help="a service of the product, not the small ones")
    parser.add_argument("--seeds", type=int, default=20_000, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="run this one alone, and log what members say")
    parser.add_argument("--turns", type=int, help="with --seed: turns before faults end")
    parser.add_argument("--kept", help="with --seed: the faults that happen, by their numbers; none: no fault")
    parser.add_argument("--digest", action="store_true", help="say of each schedule what it led to, in a number")
    options = parser.parse_args(list(arguments))
    if options.seed is not None:
        plan = plan_of(options.seed, product=options.scene)
        if options.turns is not None:
            plan = replace(plan, turns=options.turns)
        if options.kept is not None:
            plan = plan.only(frozenset(int(number) for number in options.kept.split(",") if number != "none"))
        failure = attempt(plan, Cast())
        sys.stdout.write(f"{failure or 'all is well'}\n")
        return int(failure is not None)
    quiet()
    if options.digest:
        for seed in range(options.first, options.first + options.seeds):
            world = World(plan_of(seed, product=options.scene), Cast())
            world.run()
            sys.stdout.write(f"{seed} {world.digest()}\n")
        return 0
    failed = run(range(options.first, options.first + options.seeds), options.workers, options.scene)
    if not options.scene and (few := options.seeds // OF_PRODUCT):
        for scene in PRODUCT:
            failed += run(range(options.first, options.first + few), options.workers, scene)
    return int(failed > 0)


def run(seeds: range, workers: int, product: str) -> int:
    """Run schedules and say how they went; how many of those that failed were shown."""
    begun = time.monotonic()
    failed = 0
    for failure in failures(seeds, Cast(), PROTOCOLS, workers, 5, product):
        failed += 1
        sys.stdout.write(f"{shrink(failure, Cast())}\n")
    took = time.monotonic() - begun
    sys.stdout.write(
        f"{len(seeds)} schedules{product and f' of {product}'} in {took:.0f} s, {60 * len(seeds) / took:.0f} a minute; "
        f"{failed} shown that failed\n"
    )
    sys.stdout.flush()
    return failed
