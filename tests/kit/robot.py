"""A strict receiver of webhooks, which may be away, silent, or answer as robots do."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any

from kit.upstream import http, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WELL = http(b'{"errcode":0,"errmsg":"ok"}')
SILENCE = b"..."
PATH = "/hook?key=canary-robot-key"


class Robot:
    """Each message gets the next of *answers*, then ``WELL``. *taken* are those it answered with a
    2xx, *seen* all that came.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.seen: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None] | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PATH}"

    async def begin(self) -> None:
        """At the same address as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        if self._server:
            self._server.close()
            for task in filter(None, self._serving):
                task.cancel()
            await asyncio.gather(*filter(None, self._serving), return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        over = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with suppress(*over), closing(writer):
            message = self._read(await request(reader))
            self.seen.append(message)
            answer = self.answers.pop(0) if self.answers else WELL
            if answer is SILENCE:
                await asyncio.Event().wait()
            if answer.startswith(b"HTTP/1.1 2"):
                self.taken.append(message)
            writer.write(answer)
            await writer.drain()

    def _read(self, asked: bytes) -> dict[str, Any]:
        head, _, body = asked.partition(b"\r\n\r\n")
        lines = head.decode("ascii").lower().split("\r\n")
        self.lines.append(head.decode("ascii").split("\r\n")[0])
        assert lines[0].startswith("post /hook?key=canary-robot-key")
        assert "content-type: application/json; charset=utf-8" in lines
        assert not any(line.startswith("transfer-encoding") for line in lines)
        message = json.loads(body)
        assert isinstance(message, dict)
        return message


@asynccontextmanager
async def robot(*answers: bytes) -> AsyncIterator[Robot]:
    """Until left."""
    there = Robot(*answers)
    await there.begin()
    try:
        yield there
    finally:
        await there.end()
