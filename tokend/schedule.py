"""Which key is due next. The only user of APScheduler.

APScheduler rings at the next due moment, and only rings: it forgets jobs that come too late, and
lives by a wall clock that may jump. So what is due is decided here, by looking, and a watchdog
looks every few seconds whether APScheduler rang or not.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from tokend.runway import Runway
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.keeper import Keeper

_WATCHDOG = timedelta(seconds=5)
_JUMP = timedelta(seconds=10)

# APScheduler rings some microseconds early, when there is nothing to be done yet.
_LATE = timedelta(milliseconds=1)
_MOST = Terms().at_once

log = structlog.get_logger()


@dataclass(order=True, slots=True)
class _Moment:
    at: datetime
    keeper: Keeper = field(compare=False)


class Schedule:
    """Keepers by their next moment, in a heap; moments that no longer hold are skipped.

    *on_watch* is called every few seconds as long as nothing that is due can be missed.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        most_at_once: int = _MOST,
        on_watch: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._on_watch = on_watch
        self._runway = Runway(most_at_once)
        self._heap: list[_Moment] = []
        self._early: dict[Keeper, None] = {}
        self._bell = AsyncIOScheduler(timezone="UTC")
        self._rings_at: datetime | None = None

    def plan(self, keeper: Keeper) -> None:
        """Look after *keeper* at its ``next_at``, which is new; or sooner than others, now."""
        if not self._bell.running:
            self._early[keeper] = None
            return
        heapq.heappush(self._heap, _Moment(keeper.next_at, keeper))
        if self._heap[0].keeper is keeper:
            self._set_bell()

    async def look(self) -> None:
        """See to every refresh whose time has come."""
        self._begin()
        now = self._clock.now()
        while self._heap and self._heap[0].at <= now:
            keeper = heapq.heappop(self._heap).keeper
            if keeper.next_at <= now:
                self._runway.add(keeper)
        self._runway.start()
        self._set_bell()

    def _begin(self) -> None:
        """With those that were planned before, of whom each may have changed its mind since."""
        if self._early:
            self._heap += [_Moment(keeper.next_at, keeper) for keeper in self._early]
            heapq.heapify(self._heap)
            self._early.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ring and watch until left; then nothing that is due is started any more."""
        self._bell.start()
        try:
            async with asyncio.TaskGroup() as group:
                watchdog = group.create_task(self._watch())
                await self.look()
                yield
                watchdog.cancel()
        finally:
            self._runway.close()
            self._bell.shutdown(wait=False)

    async def _watch(self) -> None:
        """After a sleep of the machine this is the first to see that something is overdue."""
        offset = self._offset()
        while True:
            await self._clock.sleep(_WATCHDOG)
            self._take_bell_away()  # it goes by the wall clock, which may have been set since
            await self.look()
            self._on_watch()
            jump, offset = self._offset() - offset, self._offset()
            if abs(jump) > _JUMP:
                log.warning("wall_clock_jumped", seconds=jump.total_seconds())

    def _offset(self) -> datetime:
        """When the machine was started, by its wall clock. Moves when somebody sets that."""
        return self._clock.wall() - self._clock.elapsed()

    def _take_bell_away(self) -> None:
        self._bell.remove_all_jobs()
        self._rings_at = None

    async def _ring(self) -> None:
        self._rings_at = None
        await self.look()

    def _set_bell(self) -> None:
        """One job at a time, a new one each: APScheduler drops a job whose namesake is running. One
        that rings sooner than need be stays: to set it anew costs as much as to look.
        """
        if not (self._heap and self._bell.running):
            return
        at = self._heap[0].at
        if self._rings_at and self._rings_at <= at:
            return
        if self._rings_at:
            self._take_bell_away()
        self._rings_at = at
        self._bell.add_job(
            self._ring,
            DateTrigger(self._clock.to_wall(at) + _LATE),
            misfire_grace_time=None,
        )
