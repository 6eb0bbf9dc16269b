"""``python -m benchmark.load.openloop PORT REQUESTS RATE SECONDS``: at a steady pace.

Sends the requests of a file in turns.

Asks when it is time, whether the answers before have come or not, and counts from the time at
which it should have asked. A generator that waits for an answer before it asks again sends nothing
while the server stands still, and so hides what it is there to find (coordinated omission).

Says ``[[at, took], …]``: when each was to be sent, by CLOCK_MONOTONIC, and the seconds to the
last byte of its answer.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.requests import read

if TYPE_CHECKING:
    from collections.abc import Iterable

CONNECTIONS = 64
_LAST_ANSWERS_SECONDS = 10.0
_START_SECONDS = 0.1
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class Connection:
    """One request at a time, since *at*."""

    socket: socket.socket
    at: float = 0.0
    _came: bytearray = field(default_factory=bytearray)

    def ask(self, request: bytes, at: float) -> None:
        self.at = at
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Take what has come. Raises ``ConnectionError`` if that is the end, or not a 200."""
        came = self.socket.recv(65536)
        if not came:
            raise ConnectionError("a request was cut off")
        self._came += came
        head, is_whole, body = self._came.partition(b"\r\n\r\n")
        if not is_whole:
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"answered {bytes(head[:40])!r}")
        length = _LENGTH.search(head)
        if not length or len(body) < int(length[1]):
            return False
        self._came.clear()
        return True


class Loop:
    """So many of *requests* a second, as many seconds."""

    def __init__(
        self, port: int, requests: Iterable[bytes], *, rate: float, seconds: float
    ) -> None:
        self._requests = cycle(requests)
        self._free = deque(_connected(port) for _ in range(CONNECTIONS))
        self._busy: dict[socket.socket, Connection] = {}
        first = time.monotonic() + _START_SECONDS
        self._due = deque(first + number / rate for number in range(int(rate * seconds)))
        self.answers: list[tuple[float, float]] = []

    def run(self) -> None:
        """Raises ``TimeoutError`` if the last answers do not come."""
        end = self._due[-1] + _LAST_ANSWERS_SECONDS
        while self._due or self._busy:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self._due) + len(self._busy)} requests were not answered")
            self._ask()
            # select, not epoll: its patience is in microseconds.
            heard, _, _ = select.select(self._busy, (), (), self._patience())
            self._hear(heard)

    def _ask(self) -> None:
        while self._due and self._free and self._due[0] <= time.monotonic():
            connection = self._free.popleft()
            connection.ask(next(self._requests), self._due.popleft())
            self._busy[connection.socket] = connection

    def _hear(self, heard: list[socket.socket]) -> None:
        for each in heard:
            connection = self._busy[each]
            if connection.is_answered():
                self.answers.append((connection.at, time.monotonic() - connection.at))
                self._free.append(self._busy.pop(each))

    def _patience(self) -> float:
        """Until the next one is due; where none can be sent, until an answer comes."""
        if self._due and self._free:
            return max(self._due[0] - time.monotonic(), 0)
        return _LAST_ANSWERS_SECONDS


def _connected(port: int) -> Connection:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(connection)


def main(port: str, requests: str, rate: str, seconds: str) -> None:
    loop = Loop(int(port), read(Path(requests)), rate=float(rate), seconds=float(seconds))
    loop.run()
    sys.stdout.write(f"{json.dumps(loop.answers)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
