"""A server on loopback that answers with the bytes it is given, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLOSE = b""


@dataclass
class Upstream:
    """*answer* is sent to each request; ``CLOSE`` closes the connection instead."""

    url: str
    answer: bytes
    pause: float = 0.0
    requests: list[bytes] = field(default_factory=list)


def http(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def upstream(answer: bytes, *, pause: float = 0.0) -> AsyncIterator[Upstream]:
    """Serve until left; with *pause* the answer drips, a byte and a pause at a time."""
    served = Upstream(url="", answer=answer, pause=pause)
    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            served.requests.append(await _request(reader))
            pieces = [served.answer] if not pause else [bytes([b]) for b in served.answer]
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield served
        for handler in filter(None, handlers):
            handler.cancel()
        await asyncio.gather(*filter(None, handlers), return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head
