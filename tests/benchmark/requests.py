"""What programs of the load send: whole requests, kept in a file that they read, in turns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Stands in none of them.
_END = b"\0"


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(path: str, key: str, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write(path: Path, requests: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(request + _END for request in requests))
    return path


def read(path: Path) -> list[bytes]:
    return path.read_bytes().split(_END)[:-1]
