"""Nodes of one process that can be stopped as by SIGSTOP: no task of theirs takes another step.

Whatever they start is theirs as well, which the context of a task says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

_owner: ContextVar[Stoppable | None] = ContextVar("_owner", default=None)


class Stoppable:
    """What owns tasks."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.is_stopped = False
        self._go = asyncio.get_running_loop().create_future()

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(_owner.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def stop(self) -> None:
        self.is_stopped = True
        self._go = asyncio.get_running_loop().create_future()

    def go_on(self) -> None:
        self.is_stopped = False
        if not self._go.done():
            self._go.set_result(None)

    def wait(self) -> Any:
        """What a task waits for instead of going on."""
        waiting = asyncio.get_running_loop().create_future()
        self._go.add_done_callback(lambda _: waiting.done() or waiting.set_result(None))
        return next(waiting.__await__())


class _Steps(Coroutine):
    """*inner*, which takes no step while its owner is stopped, and hears then what it missed."""

    def __init__(self, inner: Coroutine[Any, Any, Any], owner: Stoppable) -> None:
        self._inner = inner
        self._owner = owner
        self._missed: tuple[Any, ...] = ()
        self.__qualname__ = inner.__qualname__

    def send(self, value: object) -> Any:
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        raise TypeError("is for a task")

    def _step(self, *heard: Any) -> Any:
        is_news = not self._missed or heard[0] == self._inner.throw
        if self._owner.is_stopped:
            self._missed = heard if is_news else self._missed
            return self._owner.wait()
        step, *what = heard if is_news else self._missed
        self._missed = ()
        return step(*what)


def make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
) -> asyncio.Task[Any]:
    """The task factory of a loop with nodes in it."""
    context = more.get("context")
    owner = context.get(_owner) if context else _owner.get()
    if owner is None:
        return asyncio.Task(work, loop=loop, **more)
    task = asyncio.Task(_Steps(work, owner), loop=loop, **more)
    owner.tasks[task] = None
    task.add_done_callback(lambda done: owner.tasks.pop(done, None))
    return task
