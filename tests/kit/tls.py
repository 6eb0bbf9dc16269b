"""Certificates made on the fly, and TLS in front of a Redis that may have been built without."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files: who signs, the server at 127.0.0.1, and a client, whose key stands apart too."""

    ca: Path
    server: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("tokend")
    made = Certificates(*(folder / f"{name}.pem" for name in ("ca", "server", "client", "key")))
    for path, content in (
        (made.ca, authority.cert_pem),
        (made.server, server.private_key_and_cert_chain_pem),
        (made.client, client.private_key_and_cert_chain_pem),
        (made.client_key, client.private_key_pem),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content.bytes())
    return made


@contextmanager
def tls_before(path: Path, certificates: Certificates) -> Iterator[int]:
    """Bring what comes to a port on 127.0.0.1 to a Unix socket, if it comes with a certificate.

    Threads, because asyncio does not tell the client why it was refused, which Redis does.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(certificates.server)
    context.verify_mode = ssl.CERT_REQUIRED

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), _wrapped(self.request, context) as client:
                if _shook_hands(client):
                    with socket.socket(socket.AF_UNIX) as redis:
                        redis.connect(str(path))
                        _exchange(client, redis)

    class Listener(ThreadingTCPServer):
        request_queue_size = 128

    with Listener(("127.0.0.1", 0), Connection) as server:
        thread = Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _wrapped(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def _shook_hands(client: ssl.SSLSocket) -> bool:
    try:
        client.do_handshake()
    except ssl.SSLError:
        # Not closed before the client is, or the kernel might drop what it was told.
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
        return False
    return True


def _exchange(client: ssl.SSLSocket, redis: socket.socket) -> None:
    """Until one of the two has ended."""
    while True:
        ready = [client] if client.pending() else select.select([client, redis], [], [])[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (redis if source is client else client).sendall(data)
