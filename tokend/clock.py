"""The only reader of clocks.

The wall clock of a host jumps (NTP, operators) and CLOCK_MONOTONIC stands still while the
machine sleeps. Both would make a dead token look alive, so tokend lives by CLOCK_BOOTTIME.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

# Linux has CLOCK_BOOTTIME; elsewhere the monotonic clock is the best there is.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The times a part of tokend may ask for."""

    def now(self) -> datetime:
        """UTC that never jumps: the wall clock as read at start, moved on by the time since."""

    def wall(self) -> datetime:
        """UTC as the host believes it to be; may jump. For what other processes read."""

    def to_wall(self, when: datetime) -> datetime:
        """*when* (of ``now``) as the host's wall clock will show it."""

    def from_wall(self, shown: datetime) -> datetime:
        """The instant (of ``now``) at which the host's wall clock will show *shown*."""

    def elapsed(self) -> timedelta:
        """Time since boot, sleep of the machine included. For leases and guards."""

    def seconds(self) -> float:
        """``elapsed`` as a number: quick, for what is asked again and again."""

    def deadline(self, duration: timedelta) -> float:
        """The ``seconds`` at which *duration* (of ``now``) will be over."""

    async def sleep(self, duration: timedelta) -> None:
        """Let *duration* (of ``now``) pass."""


class SystemClock:
    """The host's clock; with *speed* > 1 the lives of tokens pass faster than the host's time.

    ``wall`` and ``elapsed`` stay real at any speed: leases and guards are about real networks.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._started = self.seconds()
        self._started_at = self.wall()

    def now(self) -> datetime:
        return self._started_at + timedelta(seconds=(self.seconds() - self._started) * self._speed)

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def to_wall(self, when: datetime) -> datetime:
        return self.wall() + (when - self.now()) / self._speed

    def from_wall(self, shown: datetime) -> datetime:
        return self.now() + (shown - self.wall()) * self._speed

    def elapsed(self) -> timedelta:
        return timedelta(seconds=self.seconds())

    seconds = staticmethod(partial(time.clock_gettime, _BOOTTIME))

    def deadline(self, duration: timedelta) -> float:
        return self.seconds() + duration.total_seconds() / self._speed

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds() / self._speed)
