"""The schedule with APScheduler's real bell, in real time. The watchdog would come 15 s later."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from kit.alarmed import due_in

from tokend.clock import SystemClock
from tokend.schedule import Schedule


async def test_the_bell_rings_at_the_next_due_moment() -> None:
    clock = SystemClock()
    schedule = Schedule(clock)
    keepers = [due_in(clock, seconds) for seconds in (0.3, 0.1, 0.2)]
    for keeper in keepers:
        schedule.plan(keeper)

    async with schedule.running():
        await asyncio.sleep(0.6)

    for keeper in keepers:
        (started,) = keeper.starts
        assert timedelta(0) <= started - keeper.next_at < timedelta(seconds=0.25)


async def test_a_moment_planned_while_running_rings_too() -> None:
    clock = SystemClock()
    schedule = Schedule(clock)
    async with schedule.running():
        keeper = due_in(clock, 0.1)

        schedule.plan(keeper)
        await asyncio.sleep(0.3)

    assert len(keeper.starts) == 1


async def test_moments_that_follow_each_other_at_once_all_ring() -> None:
    """APScheduler drops a job while its namesake is still counted as running."""
    clock = SystemClock()
    schedule = Schedule(clock)
    keeper = due_in(clock, 0)

    def start() -> None:
        keeper.starts.append(clock.now())
        if len(keeper.starts) < 50:
            keeper.next_at = clock.now() + timedelta(milliseconds=2)
            schedule.plan(keeper)

    keeper.on_start = start
    schedule.plan(keeper)
    async with schedule.running():
        await asyncio.sleep(1.5)

    assert len(keeper.starts) == 50


async def test_a_bell_that_comes_late_still_rings() -> None:
    """The event loop stalled across the due moment; by default the job would be dropped."""
    clock = SystemClock()
    schedule = Schedule(clock)
    keeper = due_in(clock, 0.1)
    schedule.plan(keeper)
    async with schedule.running():
        await asyncio.sleep(0)
        time.sleep(1.5)  # noqa: ASYNC251, the stall
        await asyncio.sleep(0.1)

    assert len(keeper.starts) == 1
