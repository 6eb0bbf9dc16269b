"""A server that is not tokend, and says what it is told to, to whoever asks it for anything."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingMixIn, ThreadingTCPServer, UnixStreamServer
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from ssl import SSLContext

Say: TypeAlias = "Callable[[socket.socket], None]"


class _UnixServer(ThreadingMixIn, UnixStreamServer):
    pass


@contextmanager
def stranger(
    say: Say, *, tls: SSLContext | None = None, heard: list[bytes] | None = None
) -> Iterator[str]:
    """The URL of one. Each request is answered by *say*, until that or the other side closes."""
    open_ones: list[socket.socket] = []
    handler = _handler(say, tls, open_ones, [] if heard is None else heard)
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server, _serving(server, open_ones):
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"


@contextmanager
def stranger_at(path: Path, say: Say) -> Iterator[None]:
    """The same at a Unix socket."""
    open_ones: list[socket.socket] = []
    with (
        _UnixServer(str(path), _handler(say, None, open_ones, [])) as server,
        _serving(server, open_ones),
    ):
        yield


def saying(answer: bytes) -> Say:
    return lambda connection: connection.sendall(answer)


def silence(_: socket.socket) -> None:
    """What it says who says nothing."""


@contextmanager
def _serving(
    server: ThreadingTCPServer | _UnixServer, open_ones: list[socket.socket]
) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(
    say: Say, tls: SSLContext | None, open_ones: list[socket.socket], heard: list[bytes]
) -> type[BaseRequestHandler]:
    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), _wrapped(self.request, tls) as connection:
                open_ones.append(connection)
                while request := connection.recv(65536):
                    heard.append(request)
                    say(connection)

    return Connection


def _wrapped(connection: socket.socket, tls: SSLContext | None) -> socket.socket:
    return tls.wrap_socket(connection, server_side=True) if tls else connection
