"""An app on real sockets, and bytes that are sent to it as they are."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit.house import NO_PROXIES
from tokend.api.listeners import UnixSocket, serving
from tokend.api.room import Room
from tokend.api.warden import Warden

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from aiohttp import web

    from kit.tls import Authority
    from tokend.api.source import Proxies

ROOM = Room(tcp=100, per_address=100)
_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) ")

Where: TypeAlias = "int | Path"
"""A port of loopback, or a Unix socket."""


@dataclass(frozen=True)
class Served:
    tcp: int
    unix: Path
    warden: Warden


@asynccontextmanager
async def served(
    app: web.Application,
    folder: Path,
    *,
    room: Room = ROOM,
    proxies: Proxies = NO_PROXIES,
    authority: Authority | None = None,
) -> AsyncIterator[Served]:
    """Until left; with *authority* over TLS."""
    unix = UnixSocket(path=folder / "tokend.sock")
    warden = Warden(room, proxies)
    async with serving(
        app,
        addresses=[("127.0.0.1", 0)],
        unix=unix,
        warden=warden,
        tls=authority.handshakes() if authority else None,
    ) as urls:
        yield Served(tcp=int(urls[0].rpartition(":")[2]), unix=unix.path, warden=warden)


@asynccontextmanager
async def connected(
    where: Where, *, come_from: str = "127.0.0.1", trust: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    opening = (
        asyncio.open_unix_connection(str(where))
        if isinstance(where, Path)
        else asyncio.open_connection("127.0.0.1", where, local_addr=(come_from, 0), ssl=trust)
    )
    reader, writer = await opening
    try:
        yield reader, writer
    finally:
        if trust:
            writer.transport.abort()  # and wait for no goodbye
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def said(where: Where, sent: bytes) -> bytes:
    """All that comes back until the connection is over, which the other end sees to."""
    async with connected(where) as (reader, writer):
        writer.write(sent)
        return await until_over(reader)


async def until_over(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            heard += piece
    return heard


def statuses(heard: bytes) -> tuple[int, ...]:
    """Of all answers."""
    return tuple(int(status) for status in _STATUS.findall(heard))
