"""A door with some routes behind it, and no looks but those of the test."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from kit.house import NO_PROXIES
from kit.served import connected
from tokend.api.listeners import serving
from tokend.api.problems import problems
from tokend.api.warden import Warden
from tokend.api.wire import read_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from kit.tls import Authority
    from tokend.api.room import Room
    from tokend.api.source import Proxies

    Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_HEAD = b"GET %b HTTP/1.1\r\nHost: localhost\r\n"
NOW, HELD, LARGE, STREAM = (
    _HEAD % path + b"\r\n" for path in (b"/now", b"/held", b"/large", b"/stream")
)
POSTED = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nthe "
LARGE_BYTES = 64 * 1024 * 1024
PIECE = 16 * 1024


class Still(Warden):
    """Has no look of its own."""

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()


class Hall:
    """With *trust* it is TLS that leads in."""

    def __init__(self, warden: Warden, trust: ssl.SSLContext | None) -> None:
        self.warden = warden
        self.trust = trust
        self.release = asyncio.Event()
        self.port = 0
        self.asked = 0
        self.streams: list[asyncio.Transport] = []
        self.app = web.Application(middlewares=[problems])
        self.app.router.add_get("/now", self.now)
        self.app.router.add_get("/held", self.held)
        self.app.router.add_get("/large", self.large)
        self.app.router.add_get("/stream", self.stream)
        self.app.router.add_post("/body", self.body)

    async def now(self, _: web.Request) -> web.Response:
        return web.Response(text="now")

    async def held(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.release.wait()
        return web.Response(text="at last")

    async def body(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await read_body(request)
        await self.release.wait()
        return web.Response(body=body)

    async def large(self, _: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE_BYTES))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Piece after piece, as fast as it is read."""
        assert request.transport
        self.streams.append(request.transport)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(PIECE))

    def look(self, times: int) -> None:
        for _ in range(times):
            self.warden.look()

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.asked < times:
                await asyncio.sleep(0.01)

    def connected(self, *, come_from: str = "127.0.0.1") -> AbstractAsyncContextManager[Connection]:
        return connected(self.port, come_from=come_from, trust=self.trust)

    async def served_now(self, *, come_from: str = "127.0.0.1") -> None:
        """What was sent before has been read when this is answered."""
        async with asyncio.timeout(20), self.connected(come_from=come_from) as (reader, writer):
            writer.write(NOW)
            await reader.readuntil(b"now")


@asynccontextmanager
async def opened(
    room: Room, proxies: Proxies = NO_PROXIES, *, authority: Authority | None = None
) -> AsyncIterator[Hall]:
    """With *authority* over TLS, by a certificate of its own."""
    hall = Hall(Still(room, proxies), authority.context() if authority else None)
    async with serving(
        hall.app,
        addresses=[("127.0.0.1", 0)],
        unix=None,
        warden=hall.warden,
        tls=authority.handshakes() if authority else None,
    ) as (url,):
        hall.port = int(url.rpartition(":")[2])
        yield hall
