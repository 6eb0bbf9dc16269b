"""What an ``AsyncClient`` has in one loop for each key: a task that polls tokend, by aiohttp."""

from __future__ import annotations

import asyncio
from random import random
from typing import TYPE_CHECKING

import aiohttp

from tokend.client import log, wire
from tokend.client.connection import CONNECT_SECONDS
from tokend.client.errors import Away, ClientError
from tokend.client.poller import REPORT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.client.address import Address
    from tokend.client.token import Instant, Token
    from tokend.client.watch import Watch
    from tokend.client.wire import Reply, Request


class Line:
    """Its watch, the task that asks, and those who wait."""

    def __init__(self, watch: Watch, address: Address, elapsed: Callable[[], Instant]) -> None:
        self.watch = watch
        self.changed = asyncio.Event()
        self._address = address
        self._elapsed = elapsed
        self._reporting = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None
        self.task = asyncio.create_task(self._poll(), name=f"tokend {watch.key}")

    def tell(self) -> None:
        """Wake those who wait now, and nobody who comes later."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        self.task.cancel()
        self.tell()

    def ask_anew(self) -> None:
        """Give up what is asked, once, however many readers want it."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.reschedule(asyncio.get_running_loop().time())

    async def _poll(self) -> None:
        async with session(self._address) as http:
            while not self.watch.is_idle(self._elapsed()):
                await asyncio.sleep(self.watch.pause(self._elapsed()))
                try:
                    await self._step(http)
                except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                    log.crashed(self.watch.key)
                    self._failed(self._address.away(error))
                self.tell()
                log.warn(self.watch.words())

    async def _step(self, http: aiohttp.ClientSession) -> None:
        ask = self.watch.ask(self._elapsed())
        try:
            async with asyncio.timeout(None) as self._limit:
                reply = await exchange(http, self._address, ask.request)
        except TimeoutError:
            return
        except ClientError as error:
            self._failed(error)
        else:
            self.watch.answered(ask, reply, now=self._elapsed(), draw=random())
        finally:
            self._limit = None

    def _failed(self, error: ClientError) -> None:
        self.watch.failed(error, now=self._elapsed(), draw=random())

    async def report(self, token: Token) -> Token:
        """The token to use in place of *token*. Raises ``NoToken`` or ``Refused``.

        Tasks that come meanwhile wait, and share what comes of it.
        """
        try:
            async with asyncio.timeout(REPORT_SECONDS), self._reporting:
                known = self.watch.replaced(token, self._elapsed())
                return await self._reported(token) if known is None else known
        except TimeoutError:
            away = Away(f"{token.key}: the report takes too long")
        finally:
            log.warn(self.watch.words())
        raise away

    async def _reported(self, token: Token) -> Token:
        asked_at = self._elapsed()
        try:
            reply = await ask_apart(self._address, wire.report(token))
        except ClientError as error:
            self.watch.not_reported(token, error, now=self._elapsed())
            raise
        newer = self.watch.reported(token, reply, asked_at=asked_at, now=self._elapsed())
        self.tell()
        return newer


def session(address: Address) -> aiohttp.ClientSession:
    connector = (
        aiohttp.UnixConnector(address.socket, limit=1)
        if address.socket is not None
        else aiohttp.TCPConnector(limit=1)
    )
    return aiohttp.ClientSession(
        address.url,
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def ask_apart(address: Address, request: Request) -> Reply:
    """Over a connection of its own, so that none is used that died unnoticed. Raises ``Away``."""
    async with session(address) as http:
        return await exchange(http, address, request)


async def exchange(http: aiohttp.ClientSession, address: Address, request: Request) -> Reply:
    """The answer, with the key that the file holds now if the one before is none any more.

    Raises ``Away``.
    """
    shown = address.headers
    reply = await _exchange(http, address, request, shown)
    if reply.status == wire.UNAUTHORIZED and address.read_key_again() != shown:
        reply = await _exchange(http, address, request, address.headers)
    return reply


async def _exchange(
    http: aiohttp.ClientSession, address: Address, request: Request, headers: dict[str, str]
) -> Reply:
    timeout = aiohttp.ClientTimeout(
        total=CONNECT_SECONDS + request.patience, connect=CONNECT_SECONDS
    )
    try:
        async with http.request(
            request.method,
            request.path,
            headers={**request.headers, **headers},
            data=request.body or None,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            return wire.Reply(response.status, await _whole(response))
    except (aiohttp.ClientError, OSError) as error:
        away = address.away(error)
    # Not from within, because the frames of what it would come from hold what was sent.
    raise away


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > wire.LONGEST_ANSWER:
            raise wire.TooLong
    return body
