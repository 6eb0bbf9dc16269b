"""From the settings of the store to a ``Login``: passwords, certificates and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.config.certificates import SectionFiles
from tokend.store.login import Login

if TYPE_CHECKING:
    from tokend.config.secrets import SecretFiles
    from tokend.config.settings import StoreSettings


class LoginFiles:
    """Reads or tries each file. *mistakes* are of those that cannot be used."""

    def __init__(self, files: SecretFiles) -> None:
        self._files = files
        self._store = SectionFiles(files, "store")
        self.mistakes = self._store.mistakes

    def login(self, store: StoreSettings) -> Login:
        cert, key = self._store.own(store.cert_file, store.key_file)
        return Login(
            username=store.username,
            password=self._store.use("password_file", store.password_file, self._files.read),
            sentinel_password=self._store.use(
                "sentinel_password_file", store.sentinel_password_file, self._files.read
            ),
            ca_file=self._store.trusted("ca_file", store.ca_file),
            cert_file=cert,
            key_file=key,
            timeout_seconds=store.timeout_seconds,
        )
