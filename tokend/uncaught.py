"""What nobody catches is told in the log like everything else: what, where, and no values.

Python would print messages, and reprs of arguments: a finalizer shows its object, asyncio the
arguments of a callback, a warning of aiohttp the URL of an answer that was not read.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

log = structlog.get_logger()

_T = TypeVar("_T")


def capture() -> None:
    """From now on, for exceptions that end the process or a thread or that nobody can be told of,
    and for warnings.
    """
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _ignored
    warnings.showwarning = _warned


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Like ``asyncio.run``. Its debug mode stays off, also where the environment wants it: what it
    prints are arguments and results.
    """

    async def captured() -> _T:
        asyncio.get_running_loop().set_exception_handler(_loop_troubled)
        return await work

    with asyncio.Runner(debug=False, loop_factory=_new_event_loop) as runner:
        return runner.run(captured())


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which answers twice as many requests, or where there is none Python's own."""
    try:
        import uvloop  # noqa: PLC0415, so that it may be missing
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _crashed(
    _: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    log.critical("crashed", exc_info=error)


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    name = crash.thread.name if crash.thread else None
    log.error("thread_crashed", thread=name, exc_info=crash.exc_value)


def _ignored(ignored: sys.UnraisableHookArgs) -> None:
    what = getattr(ignored.object, "__qualname__", type(ignored.object).__qualname__)
    log.error("exception_ignored", within=what, exc_info=ignored.exc_value)


def _warned(*warning: Any, **_: Any) -> None:
    """Called as ``warnings.showwarning`` is."""
    _message, category, filename, lineno, *_rest = warning
    log.warning("python_warned", category=category.__qualname__, at=f"{filename}:{lineno}")


def _loop_troubled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The message about an exception shows the callback with its arguments."""
    error, task = context.get("exception"), context.get("future") or context.get("task")
    log.error(
        "asyncio_troubled",
        message=None if error else context["message"],
        work=_name_of(task),
        exc_info=error,
    )


def _name_of(future: object) -> str | None:
    """Of a task the coroutine: its repr would show its result, too."""
    if not isinstance(future, asyncio.Task):
        return None
    return getattr(future.get_coro(), "__qualname__", None)
