"""Accounts: what each is, and which of its credentials are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from tokend.config.mistakes import validated
from tokend.config.named import AppSettings, WecomAppSettings
from tokend.model import ACCESS_TOKEN, App, Platform, Secret, TokenKey, platform_of
from tokend.policy import PACES, Pace, ticket_pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tokend.config.entries import Entry
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a table says of an account. Its secret stands in a *file*, of the kind *setting*."""

    name: str
    appid: str
    method: str
    setting: str
    file: str
    paces: Paces

    def config(self, secret: Secret) -> AppConfig:
        app = App(name=self.name, appid=self.appid, secret=secret)
        return AppConfig(app=app, method=self.method, paces=self.paces)


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """A table without a mistake, as it was *given* under these *terms*, and what came of it."""

    given: Any
    terms: Terms
    config: AppConfig

    @property
    def account(self) -> Account:
        """As it was read."""
        setting, app = _secret_setting(self.given), self.config.app
        return Account(
            name=app.name,
            appid=app.appid,
            method=self.config.method,
            setting=setting,
            file=self.given[setting],
            paces=self.config.paces,
        )


class Accounts:
    """Reads them; *mistakes* collects what is wrong, *keys* what the good ones are to have.

    What is as it was *before* stays the same object. *known* is for the next reading.
    """

    def __init__(
        self, files: SecretFiles, terms: Terms, before: Mapping[str, KnownAccount]
    ) -> None:
        self._files = files
        self._terms = terms
        self._before = before
        self._owners: dict[str, Entry] = {}
        self._paces: dict[tuple[object, ...], Paces] = {}
        self.mistakes: list[str] = []
        self.keys: list[TokenKey] = []
        self.known: dict[str, KnownAccount] = {}

    def read(self, entries: Iterable[Entry]) -> dict[str, AppConfig]:
        """Those without a mistake, by name."""
        configs = map(self._config, entries)
        return {config.app.name: config for config in configs if config}

    def _config(self, entry: Entry) -> AppConfig | None:
        mistakes = len(self.mistakes)
        known = self._as_before(entry)
        account = known.account if known else self._account(entry)
        if account is None:
            return None
        secret = self._secret(entry, account)
        if not self._is_first(entry, account):
            return None
        self.keys += [
            TokenKey(app=account.name, appid=account.appid, kind=kind) for kind, _ in account.paces
        ]
        if secret is None:
            return None
        is_same = known is not None and known.config.app.secret == secret
        config = known.config if known and is_same else account.config(secret)
        if len(self.mistakes) == mistakes:
            self.known[entry.name] = KnownAccount(entry.given, self._terms, config)
        return config

    def _as_before(self, entry: Entry) -> KnownAccount | None:
        known = self._before.get(entry.name)
        is_same = known and (known.given, known.terms) == (entry.given, self._terms)
        return known if is_same else None

    def _account(self, entry: Entry) -> Account | None:
        model = account_settings(entry.given)
        settings = validated(entry.given, model, entry.place, self.mistakes)
        if settings is None:
            return None
        setting = _secret_setting(entry.given)
        paces = self._paces_of(settings)
        for kind, pace in paces:
            self.mistakes += _too_late(entry, kind, settings, pace, self._terms)
        return Account(
            name=entry.name,
            appid=settings.appid,
            method=settings.method,
            setting=setting,
            file=getattr(settings, setting),
            paces=paces,
        )

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

    def _secret(self, entry: Entry, account: Account) -> Secret | None:
        place = f"{entry.place}.{account.setting}"
        is_file = account.setting == "secret_file"
        read = self._files.read if is_file else self._files.read_credential
        try:
            secret = read(account.file, place=place)
        except ValueError as error:
            self.mistakes.append(f"{place}: {error}")
            return None
        if platform_of(account.appid) is Platform.OFFICIAL:
            self._files.look_at_app_secret(secret, place=place)
        return secret

    def _is_first(self, entry: Entry, account: Account) -> bool:
        """One account has one table."""
        owner = self._owners.setdefault(account.appid, entry)
        if owner is not entry:
            self.mistakes.append(f"{entry.place}.appid: is that of {owner} too")
        return owner is entry


def _secret_setting(given: Mapping[str, Any]) -> str:
    """Which of the two a table without a mistake has."""
    return "secret_file" if given.get("secret_file") else "secret_credential"


def _too_late(entry: Entry, kind: str, settings: AnyApp, pace: Pace, terms: Terms) -> Iterator[str]:
    """WeCom decides itself when a token of its is replaced."""
    if pace.latest < terms.takeover and (kind, settings.type) != (ACCESS_TOKEN, "wecom"):
        jitter, takeover = pace.jitter_to.seconds, terms.takeover.total_seconds()
        yield (
            f"{entry.place}.ahead_seconds ({settings.ahead_seconds}) must be at least "
            f"{jitter + takeover:g} for {kind}: the {jitter} s of jitter, and "
            f"refresh.lease_seconds + wechat.timeout_seconds + 3 ({takeover:g}) for another node "
            "to take over"
        )
