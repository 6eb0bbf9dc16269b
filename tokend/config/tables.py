"""The accounts, clients and webhooks of all files, one file at a time: the tables of very many
accounts take more memory than what is made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokend.config.entries import Entries

if TYPE_CHECKING:
    from tokend.config.accounts import Accounts, AppConfig
    from tokend.config.documents import Document
    from tokend.config.entries import Entry


class Tables:
    """Reads them: *apps* are those without a mistake, by name, *app_names* are all there are;
    *clients* and *notify* are still to be read. *mistakes* are of names.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._found_apps = Entries("apps")
        self._found_clients = Entries("clients")
        self._found_notify = Entries("notify")
        self.apps: dict[str, AppConfig] = {}
        self.clients: list[Entry] = []
        self.notify: list[Entry] = []

    @property
    def app_names(self) -> frozenset[str]:
        return frozenset(self._found_apps.places)

    @property
    def mistakes(self) -> list[str]:
        found = (self._found_apps, self._found_clients, self._found_notify)
        return [mistake for each in found for mistake in each.mistakes]

    def read(self, document: Document) -> dict[str, Any]:
        """What another reading needs of it, if there is no mistake: each account stands there as
        what was made of its table.
        """
        apps = self._accounts.read(self._found_apps.of(document))
        self.apps |= apps
        self.clients += self._found_clients.of(document)
        self.notify += self._found_notify.of(document)
        return {**document.content, "apps": apps}
