"""Webhooks: who is told, where and of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.config.mistakes import guess, validated
from tokend.config.named import NotifySettings
from tokend.config.values import webhook_url
from tokend.notify.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from tokend.config.entries import Entry, Place
    from tokend.config.secrets import SecretFiles
    from tokend.model import Secret


class Receivers:
    """Reads them; *mistakes* collects what is wrong."""

    def __init__(self, files: SecretFiles, *, apps: Collection[str]) -> None:
        """*apps* are the names that there are."""
        self._files = files
        self._apps = apps
        self.mistakes: list[str] = []

    def read(self, entries: Iterable[Entry]) -> dict[str, Receiver]:
        """The good ones, by name."""
        receivers = map(self._receiver, entries)
        return {each.name: each for each in receivers if each}

    def _receiver(self, entry: Entry) -> Receiver | None:
        place = entry.place
        settings = validated(entry.given, NotifySettings, str(place), self.mistakes)
        if settings is None:
            return None
        self.mistakes += self._unknown_apps(place, settings)
        url = self._secret(place, settings, "url", webhook_url)
        secret = self._secret(place, settings, "secret")
        if url is None:
            return None
        return Receiver(
            name=place.name,
            url=url,
            secret=secret,
            format=settings.format,
            topics=frozenset(settings.on),
            apps=None if "*" in settings.apps else frozenset(settings.apps),
            language=settings.language,
        )

    def _secret(
        self,
        at: Place,
        settings: NotifySettings,
        what: str,
        check: Callable[[str], None] = lambda _: None,
    ) -> Secret | None:
        """What stands in the file, or the credential, that is named for it."""
        for setting, read in (
            (f"{what}_file", self._files.read),
            (f"{what}_credential", self._files.read_credential),
        ):
            if name := getattr(settings, setting):
                place = f"{at}.{setting}"
                try:
                    secret = read(name, place=place)
                    check(secret.reveal())
                except ValueError as error:
                    self.mistakes.append(f"{place}: {error}")
                    return None
                return secret
        return None

    def _unknown_apps(self, place: Place, settings: NotifySettings) -> Iterator[str]:
        for app in settings.apps:
            if app != "*" and app not in self._apps:
                yield f"{place}.apps: {app!a}: no such app{guess(app, self._apps)}"
