"""An exception at any await of a refresh, wherever that is: in tokend, in redis-py, in aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLIGHT = "Keeper._fly"


class Sabotaged(Coroutine):
    """A coroutine into which *bomb* is thrown where it waits for the *at*-th time.

    *where* says then at which await, from the outside in.
    """

    def __init__(self, inner: Coroutine, at: int, bomb: Callable[[], Exception]) -> None:
        self._inner = inner
        self._left = at
        self._bomb = bomb
        self.where: tuple[str, ...] = ()
        self.__qualname__ = inner.__qualname__

    def send(self, value: object) -> Any:
        waits_for = self._inner.send(value)
        self._left -= 1
        if self._left:
            return waits_for
        self.where = tuple(_awaits(self._inner))
        return self._inner.throw(self._bomb())

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self):
        raise TypeError("is for a task")


def _awaits(waiting: Any) -> Iterator[str]:
    while hasattr(waiting, "cr_await"):
        yield waiting.__qualname__
        waiting = waiting.cr_await


@contextmanager
def sabotaged_flights(bomb: Callable[[], Exception]) -> Iterator[list[Sabotaged]]:
    """Of the flights that begin the first meets *bomb* at its first await, the second at its second
    and so on. All of them are in the list.
    """
    loop = asyncio.get_running_loop()
    begun: list[Sabotaged] = []

    def make(loop: asyncio.AbstractEventLoop, work: Coroutine, **more: Any) -> asyncio.Task:
        if work.__qualname__ == FLIGHT:
            work = Sabotaged(work, len(begun) + 1, bomb)
            begun.append(work)
        return asyncio.Task(work, loop=loop, **more)

    loop.set_task_factory(make)
    try:
        yield begun
    finally:
        loop.set_task_factory(None)
