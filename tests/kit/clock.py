"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

_SETTLE_TURNS = 50


class ManualClock:
    """``advance`` wakes sleepers in the order of their time, and lets what they start run."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)
        self._elapsed = timedelta(days=3)
        self._wall_jump = timedelta(0)
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._now

    def wall(self) -> datetime:
        return self._now + self._wall_jump

    def to_wall(self, when: datetime) -> datetime:
        return when + self._wall_jump

    def from_wall(self, shown: datetime) -> datetime:
        return shown - self._wall_jump

    def elapsed(self) -> timedelta:
        return self._elapsed

    def seconds(self) -> float:
        return self._elapsed.total_seconds()

    def deadline(self, duration: timedelta) -> float:
        return self.seconds() + duration.total_seconds()

    async def sleep(self, duration: timedelta) -> None:
        awake = asyncio.Event()
        heapq.heappush(self._sleepers, (self._now + duration, next(self._order), awake))
        await awake.wait()

    def jump_wall(self, by: timedelta) -> None:
        """Somebody sets the host's clock."""
        self._wall_jump += by

    def suspend(self, by: timedelta) -> None:
        """The machine sleeps: time goes on, and timers do not hear of it."""
        self._sleepers = [(when + by, order, awake) for when, order, awake in self._sleepers]
        self._now += by
        self._elapsed += by

    async def advance(self, seconds: float) -> None:
        end = self._now + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, awake = heapq.heappop(self._sleepers)
            self._move_to(when)
            awake.set()
            await settle()
        self._move_to(end)
        await settle()

    def _move_to(self, when: datetime) -> None:
        when = max(when, self._now)
        self._elapsed += when - self._now
        self._now = when


async def settle() -> None:
    """Let everything run that can run without time passing."""
    for _ in range(_SETTLE_TURNS):
        await asyncio.sleep(0)
