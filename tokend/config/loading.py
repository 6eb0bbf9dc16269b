"""From the file to a ``Config``, or to every mistake in it at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tokend.clock import SystemClock
from tokend.config import documents, listeners, secrets
from tokend.config.accounts import Accounts, AppConfig
from tokend.config.clients import Clients, KnownClient
from tokend.config.known import Known, KnownFiles
from tokend.config.login import LoginFiles
from tokend.config.mirror import wrong_names
from tokend.config.mistakes import validated
from tokend.config.notify import Receivers
from tokend.config.seals import read_seals
from tokend.config.settings import (
    ForwardSettings,
    LoginSettings,
    LogSettings,
    RefreshSettings,
    ServerSettings,
    StoreSettings,
    WechatSettings,
    WecomSettings,
)
from tokend.config.tables import Tables
from tokend.errors import ConfigError
from tokend.store.login import ANONYMOUS, Login
from tokend.store.mirror import Mirror
from tokend.store.seals import UNSEALED, Seals
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from tokend.clock import Clock
    from tokend.config.entries import Entry
    from tokend.config.listeners import Tls
    from tokend.model import Client, Secret, TokenKey
    from tokend.notify.receiver import Receiver

_CLOCK = SystemClock()
_Settings = TypeVar("_Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it, checked. *warnings* are what is not wrong but unwise.

    *secret_files* are the files of secrets that it names, by the place in it.
    """

    server: ServerSettings
    tls: Tls | None
    store: StoreSettings
    store_login: Login
    store_mirror: Mirror
    store_seals: Seals
    wechat: WechatSettings
    wecom: WecomSettings
    forward: ForwardSettings
    login: LoginSettings
    log: LogSettings
    terms: Terms
    apps: Mapping[str, AppConfig]
    clients: Mapping[str, Client]
    notify: Mapping[str, Receiver]
    secret_files: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def keys(self) -> Iterator[TokenKey]:
        return (config.key for app in self.apps.values() for config in app.keys)

    def without_files(self) -> Config:
        """The same for whoever will not look for *secret_files* again: of many apps these would be
        a fifth of all that is kept in memory.
        """
        return replace(self, secret_files={})


def load(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read *path* and the files it names. Raises ``ConfigError`` with every mistake."""
    return Reader(path, environ=environ).read()


class Reader:
    """Reads the same configuration again and again, and each time what has changed."""

    def __init__(self, path: Path, *, environ: Mapping[str, str], clock: Clock = _CLOCK) -> None:
        self._path = path
        self._environ = environ
        self._clock = clock
        self._before = _Known()

    def read(self) -> Config:
        """All of it, checked. Raises ``ConfigError`` with every mistake.

        Apps that have not changed are the same objects as the time before.
        """
        now = self._clock.wall()
        reading = _Reading(self._path, self._environ, now=now, before=self._before)
        config = reading.config()
        if reading.mistakes or config is None:
            raise ConfigError(reading.mistakes)
        self._before = reading.known(config)
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a reading without mistakes leaves to the next one. In *documents* each account stands as
    what was made of its table.
    """

    documents: Mapping[str, Known[dict[str, Any]]] = field(default_factory=dict)
    secrets: Mapping[str, Known[Secret]] = field(default_factory=dict)
    apps: Mapping[str, AppConfig] = field(default_factory=dict)
    clients: Mapping[str, KnownClient] = field(default_factory=dict)


class _Reading:
    """One pass over the content. Each part is judged by itself, so that all mistakes are found."""

    def __init__(
        self, path: Path, environ: Mapping[str, str], *, now: datetime, before: _Known
    ) -> None:
        """Raises ``ConfigError`` if there is nothing to judge."""
        now_ns = int(now.timestamp() * 1e9)
        self._now = now
        self._before = before
        self._toml = KnownFiles(
            documents.parse, largest=documents.LARGEST_FILE, now_ns=now_ns, before=before.documents
        )
        self._secrets = KnownFiles(
            secrets.one_line, largest=secrets.LARGEST_FILE, now_ns=now_ns, before=before.secrets
        )
        self._files = secrets.SecretFiles(
            folder=str(path.absolute().parent), environ=environ, files=self._secrets
        )
        self._documents = documents.Documents(self._toml)
        try:
            self._main = self._documents.main(str(path))
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        self._clients: Mapping[str, KnownClient] = {}
        self.mistakes = self._documents.mistakes

    def known(self, config: Config) -> _Known:
        """Afterwards: what the next reading need not do again."""
        return _Known(
            documents=self._toml.known,
            secrets=self._secrets.known,
            apps=config.apps,
            clients=self._clients,
        )

    def config(self) -> Config | None:
        """None if a part could not be read; then there are mistakes."""
        server = self._section("server", ServerSettings)
        store = self._section("store", StoreSettings)
        wechat = self._section("wechat", WechatSettings)
        wecom = self._section("wecom", WecomSettings)
        forward = self._section("forward", ForwardSettings)
        login = self._section("login", LoginSettings)
        log = self._section("log", LogSettings)
        terms = self._terms(self._section("refresh", RefreshSettings), store, wechat)
        gateway = wechat is not None and wechat.gateway
        accounts = Accounts(self._files, terms, self._before.apps, gateway=gateway)
        tables = self._tables(accounts)
        clients = self._read_clients(tables, server, forward, login)
        receivers = self._read_notify(tables)
        store_login, seals = self._store_login(store), self._seals(store)
        tls = self._tls(server)
        self.mistakes += wrong_names(store, accounts.keys) if store else ()
        self.mistakes += _unreachable(server)
        self.mistakes += _open_to_everyone(server, tables.clients)
        self.mistakes += listeners.insecure(server) if server else ()
        if not (server and store and wechat and wecom and forward and login and log):
            return None
        return Config(
            server=server,
            tls=tls,
            store=store,
            store_login=store_login,
            store_mirror=Mirror(plain=store.mirror, quoted=store.mirror_json),
            store_seals=seals,
            wechat=wechat,
            wecom=wecom,
            forward=forward,
            login=login,
            log=log,
            terms=terms,
            apps=tables.apps,
            clients=clients,
            notify=receivers,
            secret_files=self._files.named,
            warnings=tuple(self._files.warnings),
        )

    def _section(self, name: str, model: type[_Settings]) -> _Settings | None:
        return validated(self._main.content.get(name, {}), model, name, self.mistakes)

    def _terms(
        self,
        refresh: RefreshSettings | None,
        store: StoreSettings | None,
        wechat: WechatSettings | None,
    ) -> Terms:
        if not (refresh and store and wechat):
            return Terms()
        terms = Terms(
            call=wechat.timeout,
            step=timedelta(seconds=store.timeout_seconds),
            lease=timedelta(seconds=refresh.lease_seconds),
            quarantine=timedelta(seconds=refresh.quarantine_seconds),
            reconcile=timedelta(seconds=refresh.reconcile_seconds),
            pause=timedelta(seconds=refresh.pause_seconds),
            daily=refresh.daily_limit,
            reserve=refresh.operator_reserve,
            at_once=refresh.most_at_once,
            mints_alone=refresh.standalone_minter,
        )
        self.mistakes += terms.broken()
        return terms

    def _tables(self, accounts: Accounts) -> Tables:
        tables = Tables(accounts)
        has_apps = False
        for document in chain([self._main], self._documents.included(self._main)):
            has_apps = has_apps or bool(document.content.get("apps"))
            self._documents.keep(document, tables.read(document))
        if not has_apps:
            self.mistakes.append("apps: at least one is required, as in [apps.shop]")
        self.mistakes += [*tables.mistakes, *accounts.mistakes]
        return tables

    def _read_clients(
        self,
        tables: Tables,
        server: ServerSettings | None,
        forward: ForwardSettings | None,
        login: LoginSettings | None,
    ) -> dict[str, Client]:
        clients = Clients(
            apps=tables.app_names,
            server=server,
            forward=forward,
            login=login,
            before=self._before.clients,
        )
        good = clients.read(tables.clients)
        self._clients = clients.known
        self.mistakes += clients.mistakes
        self._files.warnings.extend(clients.warnings)
        return good

    def _read_notify(self, tables: Tables) -> dict[str, Receiver]:
        receivers = Receivers(self._files, apps=tables.app_names)
        good = receivers.read(tables.notify)
        self.mistakes += receivers.mistakes
        return good

    def _store_login(self, store: StoreSettings | None) -> Login:
        if store is None:
            return ANONYMOUS
        files = LoginFiles(self._files)
        login = files.login(store)
        self.mistakes += files.mistakes
        return login

    def _tls(self, server: ServerSettings | None) -> Tls | None:
        if server is None:
            return None
        files = listeners.ListenerFiles(self._files, now=self._now)
        tls = files.tls(server)
        self.mistakes += files.mistakes
        self._files.warnings.extend(listeners.readable(server))
        return tls

    def _seals(self, store: StoreSettings | None) -> Seals:
        try:
            return read_seals(store, self._files) if store else UNSEALED
        except ValueError as error:
            self.mistakes.append(str(error))
            return UNSEALED


def _open_to_everyone(server: ServerSettings | None, clients: Sequence[Entry]) -> Iterator[str]:
    if server is None or clients:
        return
    for address in server.listen:
        if not address.is_loopback:
            yield (
                f"server.listen: {address} is not loopback, and without [clients] whoever "
                "reaches it could read every token; add a client with 'tokend key CLIENT', "
                "or listen on 127.0.0.1"
            )


def _unreachable(server: ServerSettings | None) -> Iterator[str]:
    if server is not None and not (server.listen or server.socket):
        yield "server: needs an address to listen on, or a socket"
