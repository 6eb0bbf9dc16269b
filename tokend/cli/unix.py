"""A question to tokend over its Unix socket.

As much of HTTP/1.1 as tokend answers with: importing a library for all of it takes longer than
asking. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokend.cli.connection import Exchange

PATIENCE_SECONDS = 30.0
LONGEST_ANSWER = 64 * 1024 * 1024  # the status of some hundred thousand keys
_PIECE = 64 * 1024


def exchange(path: str) -> Exchange:
    """With whoever listens at *path*; one connection for each question."""

    def ask(method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            ends = time.monotonic() + PATIENCE_SECONDS
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(path)
            connection.sendall(_request(method, target, headers, body))
            return _read(_received(connection, ends))

    return ask


def _request(method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


def _received(connection: socket.socket, ends: float) -> bytes:
    """All that comes until the other side closes, as it was asked to."""
    received = bytearray()
    while piece := connection.recv(_PIECE):
        received += piece
        if len(received) > LONGEST_ANSWER:
            raise ValueError(f"an answer of more than {LONGEST_ANSWER} bytes")
        connection.settimeout(max(ends - time.monotonic(), 0.001))
    return bytes(received)


def _read(answer: bytes) -> tuple[int, bytes]:
    """Status and body. Raises ``ValueError``, which shows nothing of what came."""
    if not answer:
        raise ValueError("closed the connection without an answer")
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not (status.isdigit() and rest[3:4] in {b"", b" "}):
        raise ValueError("what answers there does not speak HTTP")
    named = [line.partition(b":") for line in lines]
    lengths = [value.strip() for name, _, value in named if name.lower() == b"content-length"]
    if not end or lengths != [b"%d" % len(body)]:
        raise ValueError("the answer is not whole")
    return int(status), body
