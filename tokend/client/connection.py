"""One request after another over HTTP, by the standard library: bounded in time and size."""

from __future__ import annotations

import io
import os
import socket as sockets
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


class Connection:
    """Opens when it is needed. Any thread may end it; one at a time may ask."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = _http(address)
        self._is_ended = False

    def ask(self, request: Request) -> Reply:
        """The answer. Raises ``Away``; then the connection is closed, and opens again by itself."""
        http = self._http
        try:
            if http.sock is None:
                http.connect()
            if self._is_ended:
                raise ConnectionAbortedError
            http.deadline = elapsed() + request.patience
            http.sock.settimeout(request.patience)
            headers = {**request.headers, **self._address.headers}
            http.request(request.method, request.path, request.body or None, headers)
            response = http.getresponse()
            return wire.Reply(response.status, _whole(response))
        except (OSError, HTTPException, ValueError) as error:
            http.close()
            raise self._address.away(error) from None

    def close(self) -> None:
        self._http.close()

    def hang_up(self) -> None:
        """End what another thread waits for, or will once it is connected."""
        self._is_ended = True
        sock = self._http.sock
        if sock is not None:
            try:
                sock.shutdown(sockets.SHUT_RDWR)
            except OSError:
                return

    def forget(self) -> None:
        """Close this process's copy of the socket, and leave that of its parent alone."""
        sock, self._http.sock = self._http.sock, None
        if sock is not None and sock.fileno() >= 0:
            os.close(sock.detach())


def _whole(response: HTTPResponse) -> bytes:
    body = response.read(wire.LONGEST_ANSWER + 1)
    if len(body) > wire.LONGEST_ANSWER:
        raise HTTPException
    return body


class _Timed(io.RawIOBase):
    """What comes until *deadline*: the time limit of a socket begins anew with every byte."""

    def __init__(self, sock: sockets.socket, deadline: Instant) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - elapsed()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


class _Http(HTTPConnection):
    sock: Any  # None before it is connected, which typeshed does not know
    deadline: Instant

    def response_class(self, sock: Any, **how: Any) -> HTTPResponse:  # type: ignore[override]
        return HTTPResponse(_Timed(sock, self.deadline), **how)  # type: ignore[arg-type]


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
    return kind(str(parts.hostname), parts.port, timeout=CONNECT_SECONDS)
