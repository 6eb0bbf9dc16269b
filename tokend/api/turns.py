"""Many who wait are woken a few at a time, so that nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections import deque

# What these do takes the event loop some milliseconds.
_AT_ONCE = 16


class Turns:
    """Futures are set in the order in which they came, so many in each turn of the event loop.

    Between two turns it does whatever else there is to do.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def add(self, waiter: asyncio.Future[None]) -> None:
        """Set *waiter* when it is its turn, unless it is done by then."""
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
