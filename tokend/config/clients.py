"""Clients: who each is, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokend.config.mistakes import guess, validated
from tokend.config.named import ClientSettings
from tokend.model import Client, Permission

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from tokend.config.entries import Entry, Place
    from tokend.config.settings import ForwardSettings, LoginSettings, ServerSettings


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A table as it was *given*, and what came of it."""

    given: Any
    settings: ClientSettings


class Clients:
    """Reads them; *mistakes* collects what is wrong, *warnings* what is not wrong but unwise.

    What is as it was *before* is not validated again. *known* is for the next reading.
    """

    def __init__(
        self,
        *,
        apps: Collection[str],
        server: ServerSettings | None,
        forward: ForwardSettings | None,
        login: LoginSettings | None,
        before: Mapping[str, KnownClient],
    ) -> None:
        """*apps* are the names that there are."""
        self._apps = apps
        self._server = server
        self._forward = forward
        self._login = login
        self._before = before
        self._owners: dict[tuple[str, str], Place] = {}
        self.mistakes: list[str] = []
        self.warnings: list[str] = []
        self.known: dict[str, KnownClient] = {}

    def read(self, entries: Iterable[Entry]) -> dict[str, Client]:
        """The good ones, by name."""
        read = ((entry, self._settings(entry)) for entry in entries)
        return {
            entry.place.name: self._client(entry.place, settings)
            for entry, settings in read
            if settings
        }

    def _settings(self, entry: Entry) -> ClientSettings | None:
        name = entry.place.name
        known = self._before.get(name)
        if known is None or known.given != entry.given:
            settings = validated(entry.given, ClientSettings, str(entry.place), self.mistakes)
            known = KnownClient(entry.given, settings) if settings else None
        if known is None:
            return None
        self.known[name] = known
        return known.settings

    def _client(self, place: Place, settings: ClientSettings) -> Client:
        self.mistakes += self._of_another(place, settings)
        self.mistakes += self._unsigned(place, settings)
        self.mistakes += self._unknown_apps(place, settings)
        self.mistakes += self._pointless(place, settings)
        self.warnings += self._too_early(place, settings)
        everything = "*" in settings.apps
        return Client(
            name=place.name,
            key_sha256=settings.key_sha256,
            apps=None if everything else frozenset(settings.apps),
            can=frozenset(settings.can),
            certificate=settings.certificate,
            sees_tokens=settings.tokens == "given",
            paths=settings.paths,
        )

    def _of_another(self, place: Place, settings: ClientSettings) -> Iterator[str]:
        """What of it names another client as well."""
        for setting in ("key_sha256", "certificate"):
            value = getattr(settings, setting)
            owner = self._owners.setdefault((setting, value), place) if value else place
            if owner is not place:
                yield f"{place}.{setting}: is that of {owner.spoken} too"

    def _unsigned(self, place: Place, settings: ClientSettings) -> Iterator[str]:
        if settings.certificate and self._server and not self._server.client_ca_file:
            yield (
                f"{place}.certificate: needs server.client_ca_file, which says who signs the "
                "certificates of clients"
            )

    def _unknown_apps(self, place: Place, settings: ClientSettings) -> Iterator[str]:
        for app in settings.apps:
            if app != "*" and app not in self._apps:
                yield f"{place}.apps: {app!a}: no such app{guess(app, self._apps)}"

    def _pointless(self, place: Place, settings: ClientSettings) -> Iterator[str]:
        """What would never do anything for the client."""
        calls = Permission.CALL in settings.can
        forwards = self._forward is not None and self._forward.enabled
        if settings.tokens == "never" and not (calls and forwards):
            yield (f"{place}.tokens: never, so that it needs 'call' in can, and forward.enabled")
        if settings.paths and not calls:
            yield f"{place}.paths: are those of calls, so that it needs 'call' in can"

    def _too_early(self, place: Place, settings: ClientSettings) -> Iterator[str]:
        """What does nothing for the client yet: it may be there before what it is for."""
        if Permission.LOGIN in settings.can and self._login and not self._login.enabled:
            yield f"{place}.can: 'login' does nothing until login.enabled is true"
