"""An exception at any await of a refresh or a login: in tokend, in redis-py, in aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REFRESH = "Keeper._fly"
LOGIN = "Exchange._fly"

Bomb: TypeAlias = "Callable[[], Exception]"


class Sabotaged(Coroutine):
    """A coroutine into which *bomb* is thrown where it waits within *step* for the *at*-th time.

    *is_struck* says then that it was.
    """

    def __init__(
        self, inner: Coroutine, step: Callable[[set[str]], bool], at: int, bomb: Bomb
    ) -> None:
        self._inner = inner
        self._step = step
        self._left = at
        self._bomb = bomb
        self.is_struck = False
        self.__qualname__ = inner.__qualname__

    def send(self, value: object) -> Any:
        waits_for = self._inner.send(value)
        if self.is_struck or not self._step(set(_awaits(self._inner))):
            return waits_for
        self._left -= 1
        if self._left:
            return waits_for
        self.is_struck = True
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
def sabotaged_flights(
    steps: Sequence[str], bomb: Bomb, *, flight: str = REFRESH
) -> Iterator[dict[str, list[Sabotaged]]]:
    """Of the flights that begin one meets *bomb* at its first await within the first of *steps*,
    one within the second, and so on, and one outside of all; three times so, for not every flight
    gets that far, then at their second await. All are in the dictionary, by step, which is empty
    outside.
    """
    loop = asyncio.get_running_loop()
    begun: dict[str, list[Sabotaged]] = {step: [] for step in (*steps, "")}

    def sabotaged(work: Coroutine) -> Sabotaged:
        step = min(begun, key=lambda each: len(begun[each]))

        def within(awaits: set[str]) -> bool:
            return step in awaits if step else not awaits & set(steps)

        begun[step].append(Sabotaged(work, within, len(begun[step]) // 3 + 1, bomb))
        return begun[step][-1]

    def make(loop: asyncio.AbstractEventLoop, work: Coroutine, **more: Any) -> asyncio.Task:
        if work.__qualname__ == flight:
            work = sabotaged(work)
        return asyncio.Task(work, loop=loop, **more)

    loop.set_task_factory(make)
    try:
        yield begun
    finally:
        loop.set_task_factory(None)
