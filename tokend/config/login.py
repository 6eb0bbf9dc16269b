"""From the settings of the store to a ``Login``: passwords, certificates and keys."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from tokend.store.login import Login

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.config.secrets import SecretFiles
    from tokend.config.settings import StoreSettings

_T_co = TypeVar("_T_co", covariant=True)


class _Use(Protocol[_T_co]):
    def __call__(self, name: str, *, place: str) -> _T_co: ...


class LoginFiles:
    """Reads or tries each file. *mistakes* are of those that cannot be used."""

    def __init__(self, files: SecretFiles) -> None:
        self._files = files
        self.mistakes: list[str] = []

    def login(self, store: StoreSettings) -> Login:
        key = self._try("key_file", store.key_file, partial(self._files.find, secret=True))
        own = partial(self._own, key=key) if key or not store.key_file else self._public
        return Login(
            username=store.username,
            password=self._try("password_file", store.password_file, self._files.read),
            sentinel_password=self._try(
                "sentinel_password_file", store.sentinel_password_file, self._files.read
            ),
            ca_file=self._try("ca_file", store.ca_file, self._trusted),
            cert_file=self._try("cert_file", store.cert_file, own),
            key_file=key,
            timeout_seconds=store.timeout_seconds,
        )

    def _try(self, setting: str, name: str, use: _Use[_T_co]) -> _T_co | None:
        place = f"store.{setting}"
        try:
            return use(name, place=place) if name else None
        except ValueError as error:
            self.mistakes.append(f"{place}: {error}")
            return None

    def _public(self, name: str, *, place: str) -> Path:
        return self._files.find(name, place=place, secret=False)

    def _trusted(self, name: str, *, place: str) -> Path:
        path = self._public(name, place=place)
        try:
            _context().load_verify_locations(path)
        except ssl.SSLError:
            raise ValueError(f"{path}: holds no certificate in PEM") from None
        return path

    def _own(self, name: str, *, place: str, key: Path | None) -> Path:
        path = self._files.find(name, place=place, secret=key is None)
        try:
            # An empty passphrase, lest OpenSSL ask for one on the terminal.
            _context().load_cert_chain(path, key, password="")
        except ssl.SSLError:
            raise ValueError(f"{path}: needs a certificate and its key, both unencrypted") from None
        return path


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
