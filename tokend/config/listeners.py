"""From the settings of the server to its TLS: the certificate it shows, and those it takes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.config.certificates import SectionFiles, lists_until, valid_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tokend.config.secrets import SecretFiles
    from tokend.config.settings import ServerSettings

_DEMANDS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """*context* is for handshakes, and knows the files as they were when it was made.

    Our certificate is good until *valid_until*; *lists_until* is when no certificate of a client
    is taken any more, unless the list of revoked ones is replaced before.
    """

    context: ssl.SSLContext
    valid_until: datetime
    lists_until: datetime | None


class ListenerFiles:
    """Reads them. *mistakes* are of those that cannot be used."""

    def __init__(self, files: SecretFiles, *, now: datetime) -> None:
        """*now* by the wall clock, which certificates go by."""
        self._warnings = files.warnings
        self._files = SectionFiles(files, "server")
        self._now = now
        self.mistakes = self._files.mistakes

    def tls(self, server: ServerSettings) -> Tls | None:
        """None without a certificate, or with a mistake."""
        cert, key = self._files.own(server.cert_file, server.key_file)
        ca = self._files.trusted("client_ca_file", server.client_ca_file)
        crl = self._files.revoked("client_crl_file", server.client_crl_file)
        if cert is None or self.mistakes:
            return None
        try:
            tls = Tls(
                context=_context(cert, key, ca, crl, _DEMANDS[server.client_certificates]),
                valid_until=valid_until(cert),
                lists_until=lists_until(crl) if crl else None,
            )
        except (OSError, ValueError):
            self.mistakes.append("server: a certificate or key changed while it was read")
            return None
        self._warn("cert_file", cert, tls.valid_until, "clients refuse it; renew it")
        self._warn("client_crl_file", crl, tls.lists_until, "all clients are refused; renew it")
        return tls

    def _warn(self, setting: str, path: Path | None, until: datetime | None, so: str) -> None:
        if until and until <= self._now:
            self._warnings.append(f"server.{setting}: {path}: expired on {until:%Y-%m-%d}: {so}")


def _context(
    cert: Path, key: Path | None, ca: Path | None, crl: Path | None, demand: ssl.VerifyMode
) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with Python's ciphers. Nothing is negotiated twice on one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key, password="")
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = demand
    if crl:
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def insecure(server: ServerSettings) -> Iterator[str]:
    """A mistake for each address that needs TLS, and has neither that nor leave to go without."""
    if server.insecure_http:
        return
    for address in server.readable_on:
        yield (
            f"server.listen: {address} is not loopback, and without TLS whoever is on the way "
            "reads keys and tokens; name a certificate in server.cert_file. In a container whose "
            "port this host alone or a proxy with TLS reaches, set server.insecure_http = true"
        )


def readable(server: ServerSettings) -> Iterator[str]:
    """A warning for each address that goes without."""
    for address in server.readable_on:
        yield (
            f"server.insecure_http: {address} is not loopback and has no TLS: whoever is on the "
            "way reads keys and tokens; name a certificate in server.cert_file instead"
        )
