"""A server on loopback that answers with the bytes it is given, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CLOSE = b""

Script: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


@dataclass
class Upstream:
    """Each request gets the next of *answers*, the last one again and again.

    ``CLOSE`` closes the connection instead.
    """

    url: str
    answers: list[bytes]
    pause: float = 0.0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await request(reader))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        pieces = [answer] if not self.pause else [bytes([b]) for b in answer]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.pause)


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    headers += f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    head = f"HTTP/1.1 {status}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def upstream(*answers: bytes, pause: float = 0.0) -> AsyncIterator[Upstream]:
    """Serve until left; with *pause* the answer drips, a byte and a pause at a time."""
    served = Upstream(url="", answers=list(answers), pause=pause)
    async with scripted(served.serve) as served.url:
        yield served


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """Serve until left: *script* is what happens on each connection, which then is closed."""
    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        over = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with suppress(*over), closing(writer):
            await script(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for handler in filter(None, handlers):
            handler.cancel()
        await asyncio.gather(*filter(None, handlers), return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> bytes:
    """One whole request; its body only if it says how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(length(head))


def length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0
