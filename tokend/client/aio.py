"""The client for asyncio, by aiohttp.

For each key that was asked for, one task of the running loop polls tokend. It ends with the loop;
another loop, or a forked child with a loop of its own, begins with the tokens that are there.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

import aiohttp

from tokend.client import address, wire
from tokend.client.errors import Away, ClientError, UsageError
from tokend.client.rejection import is_rejection
from tokend.client.sync import PATIENCE, elapsed
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch, log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tokend.client.address import Address
    from tokend.client.wire import Reply, Request

P = ParamSpec("P")
T = TypeVar("T")

_CONNECT_SECONDS = 3.0


class AsyncClient:
    """What ``Client`` is for threads: the same arguments, the same promises.

    Make one for the program, in or outside a loop; it serves one loop at a time. Leaving it as a
    context manager, or the end of the loop by ``asyncio.run``, ends its tasks.
    """

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
        self._begin({})
        os.register_at_fork(after_in_child=functools.partial(_forked, weakref.ref(self)))

    def _begin(self, inherited: Mapping[str, Held]) -> None:
        self._inherited = dict(inherited)
        self._watches: dict[str, Watch] = {}
        self._lines: dict[str, _Line] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop renewing; reads raise ``UsageError`` from now on."""
        self._is_closed = True
        self._watches.clear()
        tasks = [line.task for line in self._lines.values() if line.task]
        for line in self._lines.values():
            line.tell()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Raises ``NoToken`` after *patience*, ``Refused`` at once.
        """
        watch = self._watches.get(key)
        if watch is not None:
            held = watch.held
            if elapsed() < held.until:
                return held.token
        return await self._awaited(key)

    async def _awaited(self, key: str) -> Token:
        line, since = self._line(key), elapsed()
        while not line.watch.is_held(now := elapsed()):
            left = line.watch.patience_left(now, since=since, patience=self._patience)
            if left <= 0:
                raise line.watch.why()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await line.changed.wait()
            if self._is_closed:
                raise UsageError("the client is closed")
        return line.watch.held.token

    def _line(self, key: str) -> _Line:
        """The one of the running loop. A loop that has ended without a word leaves its tokens."""
        if self._is_closed:
            raise UsageError("the client is closed")
        line = self._lines.get(key)
        if line is not None and line.loop is asyncio.get_running_loop():
            return line
        left = line.watch.held if line else self._inherited.get(key, NOTHING)
        line = _Line(Watch(key, left), asyncio.get_running_loop())
        self._watches[key], self._lines[key] = line.watch, line
        line.task = asyncio.create_task(self._polling(line), name=f"tokend {key}")
        return line

    async def _polling(self, line: _Line) -> None:
        try:
            await line.poll(self._address)
        finally:
            key = line.watch.key
            if self._lines.get(key) is line:
                self._inherited[key] = line.watch.held
                del self._lines[key]
                self._watches.pop(key, None)

    async def rejected(self, token: Token) -> Token:
        """Report that WeChat rejected *token*; the one to use now, within 30 seconds.

        It is the same one if tokend will not replace it again so soon. Tasks that report it
        together are one request. Raises ``NoToken`` or ``Refused`` if the report cannot be made.
        """
        if not isinstance(token, Token):
            raise UsageError("rejected() takes what token() gave, not a copy of its text")
        line = self._line(token.key)
        async with line.reporting:
            if (known := line.watch.replaced(token, elapsed())) is not None:
                return known
            asked_at = elapsed()
            async with _session(self._address) as session:
                reply = await _exchange(session, self._address, wire.report(token))
            newer = line.watch.reported(token, reply, asked_at=asked_at, now=elapsed())
            line.tell()
            return newer

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
                if not is_rejection(error) or (newer := await self._replaced(token)) is None:
                    raise
            else:
                if not is_rejection(result) or (newer := await self._replaced(token)) is None:
                    return result
            token = newer
        return await fn(token)

    def calls(
        self, key: str, *, retries: int = 1
    ) -> Callable[[Callable[Concatenate[Token, P], Awaitable[T]]], Callable[P, Awaitable[T]]]:
        """A decorator: the coroutine function gets the token first, and is run by ``call``."""

        def decorate(
            fn: Callable[Concatenate[Token, P], Awaitable[T]],
        ) -> Callable[P, Awaitable[T]]:
            @functools.wraps(fn)
            async def called(*args: P.args, **kwargs: P.kwargs) -> T:
                return await self.call(
                    key, lambda token: fn(token, *args, **kwargs), retries=retries
                )

            return called

        return decorate

    async def _replaced(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = await self.rejected(token)
        except ClientError as error:
            log.warning("token_not_replaced key=%s why=%s", token.key, error)
            return None
        return None if newer == token else newer

    def _after_fork(self) -> None:
        """The parent's loop, tasks and connections are not touched: their selector is shared."""
        _LEFT_ALONE.append(self._lines)
        self._begin(
            {**self._inherited, **{key: watch.held for key, watch in self._watches.items()}}
        )


# What a forked child has of its parent's loops. Kept, because to collect it would close it.
_LEFT_ALONE: list[object] = []


def _forked(client: weakref.ref[AsyncClient]) -> None:
    alive = client()
    if alive is not None:
        alive._after_fork()  # noqa: SLF001, the client's own


@dataclass(eq=False)
class _Line:
    """One key in one loop: its watch, the task that asks, and those who wait."""

    watch: Watch
    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    reporting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def tell(self) -> None:
        """Wake those who wait now, and nobody who comes later."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def poll(self, address: Address) -> None:
        async with _session(address) as session:
            while True:
                await asyncio.sleep(self.watch.pause(elapsed()))
                try:
                    await self._step(session, address)
                except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                    log.exception("poll_crashed key=%s", self.watch.key)
                    self.watch.failed(_away(address, error), now=elapsed(), draw=random())
                self.tell()

    async def _step(self, session: aiohttp.ClientSession, address: Address) -> None:
        ask = self.watch.ask(elapsed())
        try:
            reply = await _exchange(session, address, ask.request)
        except ClientError as error:
            self.watch.failed(error, now=elapsed(), draw=random())
        else:
            self.watch.answered(ask, reply, now=elapsed(), draw=random())


def _session(address: Address) -> aiohttp.ClientSession:
    connector = (
        aiohttp.UnixConnector(address.socket, limit=1)
        if address.socket is not None
        else aiohttp.TCPConnector(limit=1)
    )
    return aiohttp.ClientSession(address.url, connector=connector, headers=address.headers)


async def _exchange(session: aiohttp.ClientSession, address: Address, request: Request) -> Reply:
    timeout = aiohttp.ClientTimeout(
        total=_CONNECT_SECONDS + request.patience, connect=_CONNECT_SECONDS
    )
    try:
        async with session.request(
            request.method,
            request.path,
            headers=request.headers,
            data=request.body or None,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            return wire.Reply(response.status, await response.read())
    except (aiohttp.ClientError, OSError) as error:
        raise _away(address, error) from None


def _away(address: Address, error: Exception) -> Away:
    """Only the system's own words: an exception's may hold what was sent."""
    words = getattr(error, "strerror", None) or type(error).__name__
    return Away(f"{address.shown}: {words}", retry_after=timedelta(seconds=1))
