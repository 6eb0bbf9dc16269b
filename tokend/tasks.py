"""Tasks that run beside something, end, or are ready when they are wanted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.1


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* until they are over.

    Once is not enough: redis-py swallows a cancellation that comes while it connects.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_PAUSE_SECONDS)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """*work* goes on until this is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end([task])


async def ahead(steps: Iterable[Coroutine[Any, Any, _T]]) -> AsyncGenerator[_T]:
    """What each of the *steps* comes to, in turn; the next one is under way meanwhile."""
    under_way: asyncio.Task[_T] | None = None
    try:
        for step in steps:
            before, under_way = under_way, asyncio.create_task(step)
            if before:
                yield await before
        if under_way:
            yield await under_way
    finally:
        if under_way:
            await end([under_way])
