"""The tasks of all refreshes and logins under way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tokend import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from tokend.flight import Spawn

_T = TypeVar("_T")

# What is under way when tokend stops is given this long: a call to WeChat, and the saving.
# With the time that open requests get, this stays under 15 s.
_LAST_FLIGHTS_SECONDS = 9.0


@asynccontextmanager
async def flying() -> AsyncIterator[Spawn]:
    """Owns them. On leaving they get time to land: what WeChat gave is saved.

    Not a TaskGroup, which would end all of them because of one.
    """
    flights: set[asyncio.Task[Any]] = set()

    def spawn(flight: Coroutine[Any, Any, _T], /) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(flight)
        flights.add(task)
        task.add_done_callback(flights.discard)
        return task

    try:
        yield spawn
    finally:
        if flights:
            await asyncio.wait(flights, timeout=_LAST_FLIGHTS_SECONDS)
        await tasks.end(flights)
