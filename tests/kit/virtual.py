"""An event loop in which time passes only when nobody has anything to do.

Sockets are real, timers are not: ten minutes of waiting take as long as what happens in them. Both
ends of every connection have to be in this loop, and a thread that is started has to end: while one
runs, no time passes.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_IDLE_LOOKS = 3
_MOMENT_SECONDS = 0.001


def run(story: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its ``time()`` begins at 0."""

    def __init__(self) -> None:
        self._selector_of_time = _Selector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.now


class _Selector(selectors.EpollSelector):
    """Instead of waiting it moves the time on, once nothing has come for a few looks."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._bystanders = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> list[Any]:
        for _ in range(_IDLE_LOOKS):
            if ready := super().select(0):
                return ready
        if timeout is None:
            return super().select(1)
        if set(threading.enumerate()) - self._bystanders:
            return super().select(min(timeout, _MOMENT_SECONDS))
        self.now += max(timeout, 0)
        return []


class LoopClock:
    """A clock of tokend's by the running loop."""

    def now(self) -> datetime:
        return _NOON + self.elapsed()

    wall = now

    def to_wall(self, when: datetime) -> datetime:
        return when

    def from_wall(self, shown: datetime) -> datetime:
        return shown

    def elapsed(self) -> timedelta:
        return timedelta(seconds=asyncio.get_running_loop().time())

    def seconds(self) -> float:
        return self.elapsed().total_seconds()

    def deadline(self, duration: timedelta) -> float:
        return self.seconds() + duration.total_seconds()

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())
