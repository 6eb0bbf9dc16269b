"""Certificates and their keys: PEM files that others name, tried before anybody relies on them."""

from __future__ import annotations

import re
import ssl
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tokend.config.secrets import SecretFiles

_T_co = TypeVar("_T_co", covariant=True)

_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class _Use(Protocol[_T_co]):
    def __call__(self, name: str, *, place: str) -> _T_co: ...


class SectionFiles:
    """The files that one *section* names. *mistakes* are of those that cannot be used."""

    def __init__(self, files: SecretFiles, section: str) -> None:
        self._files = files
        self._section = section
        self.mistakes: list[str] = []

    def own(self, cert_file: str, key_file: str) -> tuple[Path | None, Path | None]:
        """A certificate and its key, which may stand in the same file."""
        cert = self.use("cert_file", cert_file, partial(self._certificate, secret=not key_file))
        key = self.use("key_file", key_file, partial(self._files.find, secret=True))
        if cert and (key or not key_file):
            setting = "key_file" if key else "cert_file"
            self.use(setting, str(key or cert), partial(_match, cert=cert, key=key or cert))
        return cert, key

    def trusted(self, setting: str, name: str) -> Path | None:
        """Certificates of those who sign others."""
        return self.use(setting, name, partial(self._certificate, secret=False))

    def revoked(self, setting: str, name: str) -> Path | None:
        """Lists of certificates that count no more."""
        return self.use(setting, name, self._crl)

    def use(self, setting: str, name: str, use: _Use[_T_co]) -> _T_co | None:
        """What *use* makes of the file that *setting* names; None if none, or one of no use."""
        place = f"{self._section}.{setting}"
        try:
            return use(name, place=place) if name else None
        except ValueError as error:
            self.mistakes.append(f"{place}: {error}")
            return None

    def _certificate(self, name: str, *, place: str, secret: bool) -> Path:
        path = self._files.find(name, place=place, secret=secret)
        return _holding("certificate", valid_until, path)

    def _crl(self, name: str, *, place: str) -> Path:
        path = self._files.find(name, place=place, secret=False)
        return _holding("certificate revocation list", lists_until, path)


def _holding(what: str, read: Callable[[Path], object], path: Path) -> Path:
    """*path*, if cryptography can *read* it, and OpenSSL takes it."""
    try:
        read(path)
        _context().load_verify_locations(path)
    except (OSError, ValueError):
        raise ValueError(f"{path}: holds no {what} in PEM") from None
    return path


def valid_until(path: Path) -> datetime:
    """The end of the first certificate there, which is the one that is shown to others."""
    from cryptography import x509  # noqa: PLC0415, takes long, and not everybody has TLS

    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def lists_until(path: Path) -> datetime | None:
    """When the first of the revocation lists there is to be replaced; None if they never are.

    Raises ``ValueError`` if there are none.
    """
    from cryptography import x509  # noqa: PLC0415, see above

    lists = [x509.load_pem_x509_crl(found) for found in _CRL.findall(path.read_bytes())]
    if not lists:
        raise ValueError(f"{path}: no list")
    return min((each.next_update_utc for each in lists if each.next_update_utc), default=None)


def _match(name: str, *, place: str, cert: Path, key: Path) -> None:  # noqa: ARG001, as all uses
    asked = []

    def passphrase() -> str:
        """Asked for by OpenSSL, which else would ask on the terminal."""
        asked.append(key)
        return ""

    try:
        _context().load_cert_chain(cert, key, password=passphrase)
    except ssl.SSLError as error:
        raise ValueError(f"{key}: {_why_not(error, cert, encrypted=bool(asked))}") from None


def _why_not(error: ssl.SSLError, cert: Path, *, encrypted: bool) -> str:
    if encrypted:
        return "the key is encrypted, and nobody is there to type its passphrase"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"not the key of the certificate in {cert}"
    if error.reason:
        return f"OpenSSL does not take it: {error.reason.lower().replace('_', ' ')}"
    return "holds no private key in PEM"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
