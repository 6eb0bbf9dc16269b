"""``python -m benchmark.load.polls PORT PATH NUMBER KEY…``: so many long polls, of these clients.

PATH says after which generation. Says ``asked`` when all have been sent, and when each has been
answered ``[at, …]``: when the answer with a new token came, by CLOCK_MONOTONIC. Any other answer
ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import cycle, islice

# As many connect at a time as a listening socket lets wait.
_AT_ONCE = 200


class Poll(asyncio.Protocol):
    """Asks once. *answered* becomes the time of the answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            return
        if data.startswith(b"HTTP/1.1 200 "):
            self.answered.set_result(time.monotonic())
        else:
            self.answered.set_exception(ConnectionError(f"a poll was answered {data[:40]!r}"))

    def connection_lost(self, _: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionError("a poll was cut off"))


async def main(port: str, path: str, number: str, *keys: str) -> None:
    loop = asyncio.get_running_loop()
    polls: list[Poll] = []

    async def ask(key: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        _, poll = await loop.create_connection(
            lambda: Poll(request.encode()), "127.0.0.1", int(port)
        )
        polls.append(poll)

    asking = islice(cycle(keys), int(number))
    while some := list(islice(asking, _AT_ONCE)):
        await asyncio.gather(*map(ask, some))
    sys.stdout.write("asked\n")
    sys.stdout.flush()
    at = await asyncio.gather(*(poll.answered for poll in polls))
    sys.stdout.write(f"{json.dumps(at)}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
