"""What rings when a refresh is due: APScheduler, in real time, long before the watchdog looks."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from kit.alarmed import Alarmed, due_in

from tokend.clock import SystemClock
from tokend.schedule import Schedule

CLOCK = SystemClock()
HOUR = timedelta(hours=1)


async def started(*keepers: Alarmed) -> None:
    async with asyncio.timeout(3):
        while not all(keeper.starts for keeper in keepers):
            await asyncio.sleep(0.01)


async def test_it_rings_for_each_in_turn() -> None:
    schedule = Schedule(CLOCK)
    keepers = [due_in(CLOCK, seconds) for seconds in (0.1, 0.2, 0.2, 0.4)]
    for keeper in keepers:
        schedule.plan(keeper)

    async with schedule.running():
        await started(*keepers)


async def test_it_rings_for_who_comes_later_and_is_due_sooner() -> None:
    schedule = Schedule(CLOCK)
    later, sooner = due_in(CLOCK, 0.6), due_in(CLOCK, 0.1)
    async with schedule.running():
        schedule.plan(later)
        schedule.plan(sooner)

        await started(sooner)

        assert not later.starts
        await started(later)


async def test_once_the_wall_clock_is_set_right_it_rings_again() -> None:
    """It was set for a moment an hour away. The watchdog looks once, before anything is due."""

    class SetRight(SystemClock):
        ahead = HOUR
        looked = False

        def to_wall(self, when: datetime) -> datetime:
            return super().to_wall(when) + self.ahead

        async def sleep(self, _: timedelta) -> None:
            await super().sleep(HOUR if self.looked else timedelta(seconds=0.1))
            self.ahead, self.looked = timedelta(0), True

    clock = SetRight()
    schedule = Schedule(clock)
    keeper = due_in(clock, 0.4)
    schedule.plan(keeper)

    async with schedule.running():
        await started(keeper)
