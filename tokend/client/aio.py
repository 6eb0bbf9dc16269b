"""The client for asyncio, by aiohttp.

For each key that is read, one task of the running loop polls tokend. It ends with the loop; a later
loop, or a forked child with a loop of its own, begins with the tokens that are there.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from os import getpid
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from tokend.client import address, boottime, decorated
from tokend.client.aio_logins import AsyncLogins
from tokend.client.errors import ClientError, UsageError
from tokend.client.forks import ByProcess
from tokend.client.line import Line
from tokend.client.rejection import is_rejection
from tokend.client.sync import PATIENCE
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import timedelta

    from tokend.client.session import Login

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient:
    """What ``Client`` is for threads: the same arguments, the same promises.

    Make one for the program, in or outside a loop; each loop that asks polls for itself. Leaving
    it as a context manager, or the end of a loop by ``asyncio.run``, ends the tasks.
    """

    # The clock by which tokens live; a test may have another.
    _elapsed = staticmethod(boottime.elapsed)

    def __init__(
        self,
        *,
        url: str | None = None,
        socket: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._address = address.find(url=url, socket=socket, key_file=key_file)
        self._patience = patience.total_seconds()
        self._is_closed = False
        self._by_pid = ByProcess(_Lines({}))
        self._lines = self._by_pid[getpid()]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop renewing; reads raise ``UsageError`` from now on."""
        self._is_closed = True
        lines, here = self._by_pid[getpid()], asyncio.get_running_loop()
        tasks = []
        for (loop, _), line in list(lines.items()):
            if loop is here:
                line.close()
                tasks.append(line.task)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(line.close)
        await asyncio.gather(*tasks, return_exceptions=True)

    def logins(self, app: str) -> AsyncLogins:
        """Those of the users of the mini-program *app*: ``await logins.login(code)``."""
        return AsyncLogins(app, self._address)

    async def login(self, app: str, code: str) -> Login:
        """``logins(app).login(code)``."""
        return await self.logins(app).login(code)

    async def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Raises ``NoToken`` after *patience*, ``Refused`` at once.
        """
        line = self._lines.get((asyncio.get_running_loop(), key))
        if line is not None:
            token, until = line.watch.at_hand
            if self._elapsed() < until:
                return token
        return await self._awaited(key)

    async def _awaited(self, key: str) -> Token:
        since = self._elapsed()
        while True:
            line, now = self._line(key), self._elapsed()
            left = line.watch.patience_left(now, since=since, patience=self._patience)
            if left <= 0:
                return line.watch.serve(now)
            if line.watch.is_overdue(now):
                line.ask_anew()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await line.changed.wait()

    def _line(self, key: str) -> Line:
        """The one of the running loop."""
        if self._is_closed:
            raise UsageError("the client is closed")
        # A forked child comes this way: the loop of its parent does not run in it.
        lines = self._lines = self._by_pid[getpid()]
        place = (asyncio.get_running_loop(), key)
        line = lines.get(place)
        if line is None:
            lines.forget_ended()
            watch = Watch(key, lines.inherited.get(key, NOTHING))
            line = lines[place] = Line(watch, self._address, self._elapsed)
            line.task.add_done_callback(lambda _: lines.end(place))
        return line

    async def rejected(self, token: Token) -> Token:
        """Report that WeChat rejected *token*; the one to use now, within 30 seconds.

        It is the same one if tokend will not replace it again so soon. Tasks that report it
        together are one request. Raises ``NoToken`` or ``Refused`` if the report cannot be made.
        """
        if not isinstance(token, Token):
            raise UsageError("rejected() takes what token() gave, not a copy of its text")
        return await self._line(token.key).report(token)

    async def call(self, key: str, fn: Callable[[Token], Awaitable[T]], *, retries: int = 1) -> T:
        """``await fn(token)``; once more with another token if WeChat rejects this one.

        It does so by 40001, 40014 or 42001 in ``errcode`` of what *fn* returns (a dict) or raises.
        If there is no other token, or after *retries*, that is what comes back.
        """
        token = await self.token(key)
        for _ in range(retries):
            try:
                result = await fn(token)
            except Exception as error:
                if not is_rejection(error) or (newer := await self.replacement(token)) is None:
                    raise
            else:
                if not is_rejection(result) or (newer := await self.replacement(token)) is None:
                    return result
            token = newer
        return await fn(token)

    def calls(
        self, key: str, *, retries: int = 1
    ) -> Callable[
        [Callable[Concatenate[Token, P], Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]
    ]:
        """A decorator: the coroutine function gets the token first, and is run by ``call``."""

        def decorate(
            fn: Callable[Concatenate[Token, P], Awaitable[T]],
        ) -> Callable[P, Coroutine[Any, Any, T]]:
            decorated.refuse_method(fn)

            @functools.wraps(fn)
            async def called(*args: P.args, **kwargs: P.kwargs) -> T:
                return await self.call(
                    key, lambda token: fn(token, *args, **kwargs), retries=retries
                )

            return decorated.without_token(called)

        return decorate

    async def replacement(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = await self.rejected(token)
        except ClientError:
            return None
        return None if newer == token else newer


class _Lines(dict[tuple[asyncio.AbstractEventLoop, str], Line]):
    """Of a process, by loop and key, and what was held in loops that have ended."""

    def __init__(self, inherited: Mapping[str, Held]) -> None:
        super().__init__()
        self.inherited = dict(inherited)

    def forget_ended(self) -> None:
        """A loop may end without a word. Others come and go in their own threads meanwhile."""
        for place in list(self):
            if place[0].is_closed():
                self.end(place)

    def end(self, place: tuple[asyncio.AbstractEventLoop, str]) -> None:
        line = self.pop(place, None)
        if line is not None:
            line.tell()
            self.keep(place[1], line.watch.held)

    def keep(self, key: str, held: Held) -> None:
        """For later loops, unless another loop has heard of a newer one."""
        known = self.inherited.get(key, NOTHING)
        self.inherited[key] = max(known, held, key=lambda each: each.heard_at)

    def child(self) -> Self:
        child = type(self)(self.inherited)
        for (_, key), line in list(self.items()):
            child.keep(key, line.watch.held)
        return child

    def leave(self) -> None:
        """Loops, tasks and connections stay the parent's, with whose selector they are.

        They are kept, because to collect them would close them.
        """
        _LEFT_ALONE.append(self)


_LEFT_ALONE: list[_Lines] = []
