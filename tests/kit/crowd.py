"""``python -m kit.crowd PORT PATH NUMBER AFTER [HEADER…]``: so many who wait for the next token.

Each has a connection of its own, and does nothing but read. ``waiting`` is said when all have
asked. When each has heard of a generation greater than AFTER, or has lost its connection, it says
when they heard, by the monotonic clock of the host: ``{"heard": [4711.25, …], "lost": 0}``. Their
connections stay open until its stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

# So many are connecting at one time.
_AT_ONCE = 100
_GENERATION = re.compile(rb'"generation": (\d+)')


class Waiter(asyncio.Protocol):
    """Notes when it hears of a generation that is greater than *after*."""

    def __init__(self, request: bytes, after: int, crowd: Crowd) -> None:
        self.heard_at: float | None = None
        self._request = request
        self._after = after
        self._crowd = crowd
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._heard = (self._heard + data)[-2048:]
        if self.heard_at is None and self._is_news():
            self.heard_at = time.monotonic()
            self._crowd.over()

    def connection_lost(self, _: Exception | None) -> None:
        if self.heard_at is None:
            self._crowd.lost += 1
            self._crowd.over()

    def _is_news(self) -> bool:
        return any(int(found) > self._after for found in _GENERATION.findall(self._heard))


class Crowd:
    def __init__(self, number: int) -> None:
        self.lost = 0
        self.left = number
        self.is_over = asyncio.Event()

    def over(self) -> None:
        self.left -= 1
        if not self.left:
            self.is_over.set()


async def main(port: str, path: str, number: str, after: str, *headers: str) -> None:
    crowd = Crowd(int(number))
    loop = asyncio.get_running_loop()
    lines = "".join(f"{header}\r\n" for header in ("Host: localhost", *headers))
    request = f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def connect() -> Waiter:
        async with turns:
            made = await loop.create_connection(
                lambda: Waiter(request, int(after), crowd), "127.0.0.1", int(port)
            )
            return made[1]

    waiters = await asyncio.gather(*(connect() for _ in range(int(number))))
    print("waiting", flush=True)  # noqa: T201
    await crowd.is_over.wait()
    heard = [waiter.heard_at for waiter in waiters if waiter.heard_at is not None]
    print(json.dumps({"heard": heard, "lost": crowd.lost}), flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
