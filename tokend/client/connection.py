"""One request after another over HTTP, by the standard library: bounded in time and size."""

from __future__ import annotations

import io
import os
import socket as sockets
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokend.client import wire
from tokend.client.boottime import elapsed

if TYPE_CHECKING:
    from tokend.client.address import Address
    from tokend.client.token import Instant
    from tokend.client.wire import Reply, Request

CONNECT_SECONDS = 3.0

_LONGEST_HEAD = 64 * 1024


class Connection:
    """Opens when it is needed. Any thread may end it; one at a time may ask."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = _http(address)
        self._is_ended = False

    def ask(self, request: Request) -> Reply:
        """The answer, with the key that the file holds now if the one before is none any more.

        Raises ``Away``; then the connection is closed, and opens again by itself.
        """
        shown = self._address.headers
        reply = self._ask(request, shown)
        if reply.status == wire.UNAUTHORIZED and self._address.read_key_again() != shown:
            reply = self._ask(request, self._address.headers)
        return reply

    def _ask(self, request: Request, headers: dict[str, str]) -> Reply:
        http = self._http
        try:
            if http.sock is None:
                http.connect()
            if self._is_ended:
                raise ConnectionAbortedError
            http.deadline = elapsed() + request.patience
            http.sock.settimeout(request.patience)
            headers = {**request.headers, **headers}
            http.request(request.method, request.path, request.body or None, headers)
            with http.getresponse() as response:
                return wire.Reply(response.status, _whole(response))
        except (OSError, HTTPException, ValueError) as error:
            http.close()
            away = self._address.away(error)
        # Not from within, because the frames of what it would come from hold what was sent.
        raise away

    def close(self) -> None:
        self._http.close()

    def end(self) -> None:
        """Hang up for good, even if it is about to connect."""
        self._is_ended = True
        self.hang_up()

    def hang_up(self) -> None:
        """End what another thread waits for; the next request connects anew."""
        sock = self._http.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(sockets.SHUT_RDWR)

    def forget(self) -> None:
        """Close this process's copy of the socket, and leave that of its parent alone."""
        sock, self._http.sock = self._http.sock, None
        if sock is not None and sock.fileno() >= 0:
            os.close(sock.detach())


def ask_apart(address: Address, request: Request) -> Reply:
    """Over a connection of its own, so that none is used that died unnoticed. Raises ``Away``."""
    connection = Connection(address)
    try:
        return connection.ask(request)
    finally:
        connection.close()


def _whole(response: HTTPResponse) -> bytes:
    body = response.read(wire.LONGEST_ANSWER + 1)
    if len(body) > wire.LONGEST_ANSWER:
        raise wire.TooLong
    return body


class _Bounded(io.RawIOBase):
    """What comes until *deadline*, as long as it is not too much.

    The time limit of a socket begins anew with every byte; and http.client reads headers, trailers,
    interim answers and a chunk of the size -1 however many or long they are.
    """

    def __init__(self, sock: sockets.socket, deadline: Instant) -> None:
        self._sock = sock
        # http.client closes a socket that is good for one answer before it has read it.
        self._open = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._room = _LONGEST_HEAD + wire.LONGEST_ANSWER

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - elapsed()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._open.readinto(buffer) or 0
        self._room -= count
        if self._room < 0:
            raise wire.TooLong
        return count

    def close(self) -> None:
        self._open.close()
        super().close()


class _Http(HTTPConnection):
    sock: Any  # None before it is connected, which typeshed does not know
    deadline: Instant

    def response_class(self, sock: Any, **how: Any) -> HTTPResponse:  # type: ignore[override]
        return HTTPResponse(_Bounded(sock, self.deadline), **how)  # type: ignore[arg-type]


class _Https(_Http, HTTPSConnection):
    pass


class _Unix(_Http):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _http(address: Address) -> _Http:
    if address.socket is not None:
        return _Unix(address.socket)
    parts = urlsplit(address.url)
    kind = _Https if parts.scheme == "https" else _Http
    # Without a port it would look for one in the host, and find it in an IPv6 address.
    return kind(str(parts.hostname), parts.port or kind.default_port, timeout=CONNECT_SECONDS)
