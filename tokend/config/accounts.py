"""Accounts: what each is, and which of its credentials are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from tokend.config.settings import AppSettings, WecomAppSettings
from tokend.model import ACCESS_TOKEN, App, Secret, TokenKey
from tokend.policy import PACES, Pace, ticket_pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokend.config.secrets import SecretFiles
    from tokend.terms import Terms

AnyApp: TypeAlias = AppSettings | WecomAppSettings

# What is kept of an account, the access_token first, and when. Many accounts share one.
Paces: TypeAlias = tuple[tuple[str, Pace], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """One credential of an account: how it is got, and when. *method* is that of the
    access_token.
    """

    app: App
    key: TokenKey
    method: str
    pace: Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """One account. Of what is kept of it there is no more than it takes to tell: there may be very
    many.
    """

    app: App
    method: str
    paces: Paces

    @property
    def keys(self) -> list[KeyConfig]:
        return [
            KeyConfig(
                app=self.app,
                key=TokenKey(app=self.app.name, appid=self.app.appid, kind=kind),
                method=self.method,
                pace=pace,
            )
            for kind, pace in self.paces
        ]


def account_settings(given: Any) -> type[AnyApp]:
    """By its type; one that is no table, or of no known type, is told of as the usual one."""
    is_wecom = isinstance(given, dict) and given.get("type") == "wecom"
    return WecomAppSettings if is_wecom else AppSettings


class Accounts:
    """Reads them; *mistakes* collects what is wrong, *keys* what the good ones are to have."""

    def __init__(self, files: SecretFiles, terms: Terms) -> None:
        self._files = files
        self._terms = terms
        self._owners: dict[str, str] = {}
        self._paces: dict[tuple[object, ...], Paces] = {}
        self.mistakes: list[str] = []
        self.keys: list[TokenKey] = []

    def read(self, named: Iterable[tuple[str, AnyApp]]) -> dict[str, AppConfig]:
        """Those without a mistake, by name."""
        configs = (self._config(name, settings) for name, settings in named)
        return {config.app.name: config for config in configs if config}

    def _config(self, name: str, settings: AnyApp) -> AppConfig | None:
        secret = self._secret(name, settings)
        owner = self._owners.setdefault(settings.appid, name)
        if owner != name:
            self.mistakes.append(f"apps.{name}.appid: is that of apps.{owner} too")
            return None
        keys = [TokenKey(app=name, appid=settings.appid, kind=kind) for kind in settings.kinds]
        self.keys += keys
        paces = self._paces_of(settings)
        for key, (_, pace) in zip(keys, paces, strict=True):
            self.mistakes += _too_late(key, settings, pace, self._terms)
        if secret is None:
            return None
        app = App(name=name, appid=settings.appid, secret=secret)
        return AppConfig(app=app, method=settings.method, paces=paces)

    def _paces_of(self, settings: AnyApp) -> Paces:
        alike = (settings.method, settings.kinds, settings.ahead_seconds)
        if alike not in self._paces:
            self._paces[alike] = tuple(
                (kind, self._pace(kind, settings)) for kind in settings.kinds
            )
        return self._paces[alike]

    def _pace(self, kind: str, settings: AnyApp) -> Pace:
        make = PACES[settings.method] if kind == ACCESS_TOKEN else ticket_pace
        return make(timedelta(seconds=settings.ahead_seconds), self._terms)

    def _secret(self, name: str, settings: AnyApp) -> Secret | None:
        setting = "secret_file" if settings.secret_file else "secret_credential"
        place = f"apps.{name}.{setting}"
        try:
            if settings.secret_file:
                secret = self._files.read(settings.secret_file, place=place)
            else:
                secret = self._files.read_credential(settings.secret_credential, place=place)
        except ValueError as error:
            self.mistakes.append(f"{place}: {error}")
            return None
        if isinstance(settings, AppSettings):
            self._files.look_at_app_secret(secret, place=place)
        return secret


def _too_late(key: TokenKey, settings: AnyApp, pace: Pace, terms: Terms) -> Iterator[str]:
    """WeCom decides itself when a token of its is replaced."""
    if pace.latest < terms.takeover and (key.kind, settings.type) != (ACCESS_TOKEN, "wecom"):
        jitter, takeover = pace.jitter_to.seconds, terms.takeover.total_seconds()
        yield (
            f"apps.{key.app}.ahead_seconds ({settings.ahead_seconds}) must be at least "
            f"{jitter + takeover:g} for {key.kind}: the {jitter} s of jitter, and "
            f"refresh.lease_seconds + wechat.timeout_seconds + 3 ({takeover:g}) for another node "
            "to take over"
        )
