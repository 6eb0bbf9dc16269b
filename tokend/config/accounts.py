"""Accounts: what each is, and which of its credentials are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tokend.config.mistakes import validated
from tokend.config.named import AppSettings, WecomAppSettings
from tokend.model import ACCESS_TOKEN, App, Platform, Secret, TokenKey, platform_of
from tokend.policy import PACES, Pace, ticket_pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tokend.config.entries import Entry, Place
    from tokend.config.secrets import SecretFiles
    from tokend.terms import Terms

AnyApp: TypeAlias = AppSettings | WecomAppSettings

# What is kept of an account, the access_token first, and when.
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
class Upkeep:
    """How what is kept of an account is got, and when; *paces* follow from that and the *terms*.
    Many accounts share one.
    """

    type: str
    method: str
    ahead_seconds: int
    terms: Terms
    paces: Paces

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind, _ in self.paces)


class SecretIn(NamedTuple):
    """Where the secret of an account stands: in a *file*, of the kind *setting*."""

    setting: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """One account. There may be very many, so this is all that is left of a table."""

    app: App
    upkeep: Upkeep
    secret_in: SecretIn

    @property
    def keys(self) -> list[KeyConfig]:
        return [
            KeyConfig(
                app=self.app,
                key=TokenKey(app=self.app.name, appid=self.app.appid, kind=kind),
                method=self.upkeep.method,
                pace=pace,
            )
            for kind, pace in self.upkeep.paces
        ]


def account_settings(given: Any) -> type[AnyApp]:
    """By its type; one that is no table, or of no known type, is told of as the usual one."""
    is_wecom = isinstance(given, dict) and given.get("type") == "wecom"
    return WecomAppSettings if is_wecom else AppSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What a table without a mistake says of an account."""

    name: str
    appid: str
    upkeep: Upkeep
    secret_in: SecretIn


class Accounts:
    """Reads them; *mistakes* collects what is wrong.

    What is as it was *before* stays the same object. A *gateway* may have secrets of its own: those
    of another tokend are client keys.
    """

    def __init__(
        self,
        files: SecretFiles,
        terms: Terms,
        before: Mapping[str, AppConfig],
        *,
        gateway: bool,
    ) -> None:
        self._files = files
        self._terms = terms
        self._before = before
        self._gateway = gateway
        self._owners: dict[str, Place] = {}
        self._tables: list[_Table] = []
        self._upkeeps: dict[tuple[object, ...], Upkeep] = {}
        self._places: dict[SecretIn, SecretIn] = {}
        self.mistakes: list[str] = []

    def read(self, entries: Iterable[Entry]) -> dict[str, AppConfig]:
        """Those without a mistake, by name."""
        configs = map(self._config, entries)
        return {config.app.name: config for config in configs if config}

    def keys(self) -> Iterator[TokenKey]:
        """Of those that were read, also where their secret could not be."""
        for table in self._tables:
            for kind in table.upkeep.kinds:
                yield TokenKey(app=table.name, appid=table.appid, kind=kind)

    def _config(self, entry: Entry) -> AppConfig | None:
        table = self._table(entry)
        if table is None:
            return None
        secret = self._secret(entry.place, table)
        if not self._is_first(entry.place, table):
            return None
        self._tables.append(table)
        if secret is None:
            return None
        app = App(name=table.name, appid=table.appid, secret=secret)
        config = AppConfig(app=app, upkeep=table.upkeep, secret_in=table.secret_in)
        before = self._before.get(table.name)
        return before if before == config else config

    def _table(self, entry: Entry) -> _Table | None:
        place, given = entry.place, entry.given
        if isinstance(given, AppConfig):
            return self._table_of(place, given.app.appid, given.upkeep, given.secret_in)
        settings = validated(given, account_settings(given), str(place), self.mistakes)
        if settings is None:
            return None
        is_file = bool(settings.secret_file)
        secret_in = SecretIn(
            "secret_file" if is_file else "secret_credential",
            settings.secret_file or settings.secret_credential,
        )
        return self._table_of(place, settings.appid, settings, secret_in)

    def _table_of(
        self, place: Place, appid: str, kept: AnyApp | Upkeep, secret_in: SecretIn
    ) -> _Table:
        upkeep = self._upkeep(kept)
        self.mistakes += _too_late(place, upkeep)
        return _Table(
            name=place.name,
            appid=appid,
            upkeep=upkeep,
            secret_in=self._places.setdefault(secret_in, secret_in),
        )

    def _upkeep(self, kept: AnyApp | Upkeep) -> Upkeep:
        """Under the terms there are now."""
        alike = (kept.type, kept.method, kept.ahead_seconds, kept.kinds)
        if alike not in self._upkeeps:
            self._upkeeps[alike] = self._new_upkeep(kept)
        return self._upkeeps[alike]

    def _new_upkeep(self, kept: AnyApp | Upkeep) -> Upkeep:
        if isinstance(kept, Upkeep) and kept.terms == self._terms:
            return kept
        return Upkeep(
            type=kept.type,
            method=kept.method,
            ahead_seconds=kept.ahead_seconds,
            terms=self._terms,
            paces=tuple((kind, self._pace(kind, kept)) for kind in kept.kinds),
        )

    def _pace(self, kind: str, kept: AnyApp | Upkeep) -> Pace:
        make = PACES[kept.method] if kind == ACCESS_TOKEN else ticket_pace
        return make(timedelta(seconds=kept.ahead_seconds), self._terms)

    def _secret(self, at: Place, table: _Table) -> Secret | None:
        setting, file = table.secret_in
        place = f"{at}.{setting}"
        read = self._files.read if setting == "secret_file" else self._files.read_credential
        try:
            secret = read(file, place=place)
        except ValueError as error:
            self.mistakes.append(f"{place}: {error}")
            return None
        if platform_of(table.appid) is Platform.OFFICIAL and not self._gateway:
            self._files.look_at_app_secret(secret, place=place)
        return secret

    def _is_first(self, place: Place, table: _Table) -> bool:
        """One account has one table."""
        owner = self._owners.setdefault(table.appid, place)
        if owner is not place:
            self.mistakes.append(f"{place}.appid: is that of {owner.spoken} too")
        return owner is place


def _too_late(place: Place, upkeep: Upkeep) -> Iterator[str]:
    """WeCom decides itself when a token of its is replaced."""
    terms = upkeep.terms
    for kind, pace in upkeep.paces:
        if pace.latest < terms.takeover and (kind, upkeep.type) != (ACCESS_TOKEN, "wecom"):
            jitter, takeover = pace.jitter_to.seconds, terms.takeover.total_seconds()
            yield (
                f"{place}.ahead_seconds ({upkeep.ahead_seconds}) must be at least "
                f"{jitter + takeover:g} for {kind}: the {jitter} s of jitter, and "
                f"refresh.lease_seconds + wechat.timeout_seconds + 3 ({takeover:g}) for another "
                "node to take over"
            )
