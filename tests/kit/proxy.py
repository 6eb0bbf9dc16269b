"""A proxy in front of a server on a Unix socket, in which the wire can be cut, slow or one-way."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def script(name: str) -> bytes:
    """How a call of one of tokend's scripts looks on the wire."""
    source = files("tokend.store").joinpath("lua", f"{name}.lua").read_bytes()
    return hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


class Proxy:
    """*struck* counts what its faults have hit. Faults change while it runs."""

    def __init__(self) -> None:
        self.struck = 0
        self.delay = 0.0
        self.is_cut = False
        self.is_mute = False
        self._deaf_to = b""
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self.is_cut = True
        for writer in self._writers:
            writer.close()

    def drop_next_reply_to(self, request: bytes) -> None:
        """The server acts on the next request with these bytes; nobody hears of it."""
        self._deaf_to = request

    def mend(self) -> None:
        self.delay, self.is_cut, self.is_mute, self._deaf_to = 0.0, False, False, b""

    async def serve(
        self, behind: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.is_cut:
            self.struck += 1
            writer.close()
            return
        from_server, to_server = await asyncio.open_unix_connection(str(behind))
        ends = {writer, to_server}
        self._writers |= ends
        connection = _Connection()
        try:
            await asyncio.gather(
                self._requests(reader, to_server, connection),
                self._replies(from_server, writer, connection),
            )
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _requests(self, reader, writer, connection: _Connection) -> None:
        while data := await reader.read(65536):
            if self._deaf_to and self._deaf_to in data:
                self._deaf_to, connection.loses_reply = b"", True
            if self.delay:
                self.struck += 1
                await asyncio.sleep(self.delay)
            if self.is_mute:
                self.struck += 1
                continue
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _replies(self, reader, writer, connection: _Connection) -> None:
        while data := await reader.read(65536):
            if connection.loses_reply:
                self.struck += 1
                break
            writer.write(data)
            await writer.drain()
        writer.close()


class _Connection:
    loses_reply = False


@asynccontextmanager
async def proxy(behind: Path, at: Path) -> AsyncIterator[Proxy]:
    """Serve on the Unix socket *at* what is served on *behind*."""
    middle = Proxy()
    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(OSError):
            await middle.serve(behind, reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(at))
    try:
        yield middle
    finally:
        server.close()
        for handler in filter(None, handlers):
            handler.cancel()
        await asyncio.gather(*filter(None, handlers), return_exceptions=True)
        await asyncio.sleep(0.05)  # transports close a turn of the loop after they are told to
