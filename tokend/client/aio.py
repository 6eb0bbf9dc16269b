"""The client for asyncio, by aiohttp.

For each key that was asked for, one task of the running loop polls tokend. It ends with the loop;
a later loop, or a forked child with a loop of its own, begins with the tokens that are there.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

import aiohttp

from tokend.client import address, boottime, forks, wire
from tokend.client.connection import CONNECT_SECONDS
from tokend.client.errors import ClientError, UsageError
from tokend.client.rejection import is_rejection
from tokend.client.sync import PATIENCE
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch, log

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta

    from tokend.client.address import Address
    from tokend.client.token import Instant
    from tokend.client.wire import Reply, Request

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
        self._begin({})
        forks.follow(self)

    def _begin(self, inherited: Mapping[str, Held]) -> None:
        self._inherited = dict(inherited)
        self._lines: dict[tuple[asyncio.AbstractEventLoop, str], _Line] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop renewing; reads raise ``UsageError`` from now on."""
        self._is_closed = True
        lines, self._lines = self._lines, {}
        here = asyncio.get_running_loop()
        tasks = []
        for (loop, _), line in lines.items():
            if loop is here:
                line.close()
                tasks.append(line.task)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(line.close)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Raises ``NoToken`` after *patience*, ``Refused`` at once.
        """
        line = self._lines.get((asyncio.get_running_loop(), key))
        if line is not None:
            held = line.watch.held
            if self._elapsed() < held.until:
                return held.token
        return await self._awaited(key)

    async def _awaited(self, key: str) -> Token:
        line, since = self._line(key), self._elapsed()
        while not line.watch.is_held(now := self._elapsed()):
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
        place = (asyncio.get_running_loop(), key)
        line = self._lines.get(place)
        if line is None:
            self._forget_ended()
            watch = Watch(key, self._inherited.get(key, NOTHING))
            line = self._lines[place] = _Line(watch, self._address, self._elapsed)
            line.task.add_done_callback(lambda _: self._end(place))
        return line

    def _forget_ended(self) -> None:
        for place in [place for place in self._lines if place[0].is_closed()]:
            self._end(place)

    def _end(self, place: tuple[asyncio.AbstractEventLoop, str]) -> None:
        line = self._lines.pop(place, None)
        if line is not None:
            self._inherited[place[1]] = line.watch.held

    async def rejected(self, token: Token) -> Token:
        """Report that WeChat rejected *token*; the one to use now, within 30 seconds.

        It is the same one if tokend will not replace it again so soon. Tasks that report it
        together are one request. Raises ``NoToken`` or ``Refused`` if the report cannot be made.
        """
        if not isinstance(token, Token):
            raise UsageError("rejected() takes what token() gave, not a copy of its text")
        line = self._line(token.key)
        async with line.reporting:
            if (known := line.watch.replaced(token, self._elapsed())) is not None:
                return known
            asked_at = self._elapsed()
            async with _session(self._address) as session:
                reply = await _exchange(session, self._address, wire.report(token))
            newer = line.watch.reported(token, reply, asked_at=asked_at, now=self._elapsed())
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
                if not is_rejection(error) or (newer := await self.replacement(token)) is None:
                    raise
            else:
                if not is_rejection(result) or (newer := await self.replacement(token)) is None:
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

    async def replacement(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = await self.rejected(token)
        except ClientError as error:
            log.warning("token_not_replaced key=%s why=%s", token.key, error)
            return None
        return None if newer == token else newer

    def after_fork(self) -> None:
        """In the child: loops, tasks and connections stay the parent's, with whose selector they
        are. They are kept, because to collect them would close them.
        """
        _LEFT_ALONE.append(self._lines)
        self._begin(
            {**self._inherited, **{key: line.watch.held for (_, key), line in self._lines.items()}}
        )


_LEFT_ALONE: list[object] = []


class _Line:
    """One key in the running loop: its watch, the task that asks, and those who wait."""

    def __init__(self, watch: Watch, address: Address, elapsed: Callable[[], Instant]) -> None:
        self.watch = watch
        self.changed = asyncio.Event()
        self.reporting = asyncio.Lock()
        self._address = address
        self._elapsed = elapsed
        self.task = asyncio.create_task(self._poll(), name=f"tokend {watch.key}")

    def tell(self) -> None:
        """Wake those who wait now, and nobody who comes later."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        self.task.cancel()
        self.tell()

    async def _poll(self) -> None:
        async with _session(self._address) as session:
            while True:
                await asyncio.sleep(self.watch.pause(self._elapsed()))
                try:
                    await self._step(session)
                except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                    log.exception("poll_crashed key=%s", self.watch.key)
                    self._failed(self._address.away(error))
                self.tell()

    async def _step(self, session: aiohttp.ClientSession) -> None:
        ask = self.watch.ask(self._elapsed())
        try:
            reply = await _exchange(session, self._address, ask.request)
        except ClientError as error:
            self._failed(error)
        else:
            self.watch.answered(ask, reply, now=self._elapsed(), draw=random())

    def _failed(self, error: ClientError) -> None:
        self.watch.failed(error, now=self._elapsed(), draw=random())


def _session(address: Address) -> aiohttp.ClientSession:
    connector = (
        aiohttp.UnixConnector(address.socket, limit=1)
        if address.socket is not None
        else aiohttp.TCPConnector(limit=1)
    )
    return aiohttp.ClientSession(
        address.url, connector=connector, headers=address.headers, auto_decompress=False
    )


async def _exchange(session: aiohttp.ClientSession, address: Address, request: Request) -> Reply:
    timeout = aiohttp.ClientTimeout(
        total=CONNECT_SECONDS + request.patience, connect=CONNECT_SECONDS
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
            return wire.Reply(response.status, await _whole(response))
    except (aiohttp.ClientError, OSError) as error:
        raise address.away(error) from None


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > wire.LONGEST_ANSWER:
            raise aiohttp.ClientPayloadError
    return body
