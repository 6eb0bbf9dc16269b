"""Certificates made on the fly, and TLS in front of a Redis that may have been built without."""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kit.clock import ManualClock
from tokend.api.handshakes import Handshakes

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


class Authority:
    """Signs what is written into *folder*: certificates with their keys, lists of revoked ones."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        made = trustme.CA()
        self._folder = folder
        self._certificate = x509.load_pem_x509_certificate(made.cert_pem.bytes())
        self._key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        self.path = self._write(name, made.cert_pem.bytes())

    def issue(
        self,
        file: str,
        *names: str,
        common_name: str = "",
        days: float = 30,
        passphrase: bytes = b"",
    ) -> Path:
        """Good for so many *days* from now on; its end may be behind us."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        builder = x509.CertificateBuilder(
            issuer_name=self._certificate.subject,
            subject_name=x509.Name(subject),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=datetime.now(UTC) - timedelta(days=400),
            not_valid_after=datetime.now(UTC) + timedelta(days=days),
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=not subject)
        # Python 3.13 asks for it.
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        encryption = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption()
        )
        return self._write(
            file,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            )
            + certificate.public_bytes(serialization.Encoding.PEM),
        )

    def revoke(self, file: str, *certificates: Path, days: float = 30) -> Path:
        """A list of these *certificates*."""
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self._certificate.subject,
            last_update=datetime.now(UTC) - timedelta(days=400),
            next_update=datetime.now(UTC) + timedelta(days=days),
        )
        for path in certificates:
            revoked = x509.load_pem_x509_certificate(path.read_bytes())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(
                    serial_number=revoked.serial_number,
                    revocation_date=datetime.now(UTC) - timedelta(days=1),
                ).build()
            )
        made = builder.sign(self._key, hashes.SHA256())
        return self._write(file, made.public_bytes(serialization.Encoding.PEM))

    def context(self, certificate: Path | None = None) -> ssl.SSLContext:
        """Of a client that trusts this authority, and shows *certificate*."""
        context = ssl.create_default_context(cafile=self.path)
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def handshakes(self) -> Handshakes:
        """Those of a server at 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue("server", "127.0.0.1"))
        return Handshakes(context, ManualClock())

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


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
