"""A question to tokend over its Unix socket.

As much of HTTP/1.1 as tokend answers with: importing a library for all of it takes longer than
asking. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokend.cli.connection import Exchange

PATIENCE_SECONDS = 30.0
LONGEST_ANSWER = 64 * 1024 * 1024  # the status of some hundred thousand keys
_PIECE = 64 * 1024
_LONGEST_HEAD = 16 * 1024


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


@contextmanager
def stream(
    path: str, target: str, headers: dict[str, str]
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """From whoever listens at *path*. To a question in HTTP/1.0 the body comes as it is, and ends
    with the connection.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(path)
        connection.sendall(_request("GET", target, headers, b"", version="1.0"))
        received = iter(partial(connection.recv, _PIECE), b"")
        answer = b""
        for piece in received:
            answer += piece
            if b"\r\n\r\n" in answer or len(answer) > _LONGEST_HEAD:
                break
        status, _, body = _parts(answer)
        yield status, chain([body], received)


def _request(
    method: str, target: str, headers: dict[str, str], body: bytes, *, version: str = "1.1"
) -> bytes:
    lines = [
        f"{method} {target} HTTP/{version}",
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
    status, lines, body = _parts(answer)
    named = [line.partition(b":") for line in lines]
    lengths = [value.strip() for name, _, value in named if name.lower() == b"content-length"]
    if lengths != [b"%d" % len(body)]:
        raise ValueError("the answer is not whole")
    return status, body


def _parts(answer: bytes) -> tuple[int, list[bytes], bytes]:
    """Status, headers, and what there is of the body."""
    if not answer:
        raise ValueError("closed the connection without an answer")
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not (status.isdigit() and rest[3:4] in {b"", b" "}):
        raise ValueError("what answers there does not speak HTTP")
    if not end:
        raise ValueError("the answer is not whole")
    return int(status), lines, body
