"""From the file to a ``Config``, or to every mistake in it at once."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from tokend.clock import SystemClock
from tokend.config import listeners, mistakes
from tokend.config.accounts import Accounts, AppConfig, account_settings
from tokend.config.login import LoginFiles
from tokend.config.mirror import wrong_names
from tokend.config.seals import read_seals
from tokend.config.secrets import SecretFiles
from tokend.config.settings import (
    NAMED,
    SECTIONS,
    ClientSettings,
    ForwardSettings,
    LogSettings,
    RefreshSettings,
    ServerSettings,
    StoreSettings,
    WechatSettings,
    WecomSettings,
)
from tokend.errors import ConfigError
from tokend.model import Client, Permission, TokenKey
from tokend.store.login import ANONYMOUS, Login
from tokend.store.mirror import Mirror
from tokend.store.seals import UNSEALED, Seals
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tokend.config.listeners import Tls

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LARGEST_FILE = 64 * 1024 * 1024
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
    log: LogSettings
    terms: Terms
    apps: Mapping[str, AppConfig]
    clients: Mapping[str, Client]
    secret_files: Mapping[str, Path]
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
    """Read *path* and the secret files it names. Raises ``ConfigError`` with every mistake."""
    content = _parse(path)
    reading = _Reading(content, SecretFiles(folder=path.absolute().parent, environ=environ))
    config = reading.config()
    if reading.mistakes or config is None:
        raise ConfigError(reading.mistakes)
    return config


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError([f"{path}: larger than {_LARGEST_FILE} bytes"])
        if not path.is_file():
            raise ConfigError([f"{path}: not a regular file"])
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (at byte {error.start})"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: {error}"]) from None


class _Reading:
    """One pass over the content. Each part is judged by itself, so that all mistakes are found."""

    def __init__(self, content: dict[str, Any], files: SecretFiles) -> None:
        self._content = content
        self._files = files
        self._keys: list[TokenKey] = []
        self.mistakes: list[str] = []

    def config(self) -> Config | None:
        """None if a part could not be read; then there are mistakes."""
        known = {**SECTIONS, **NAMED}
        for name in self._content.keys() - known.keys():
            self.mistakes.append(f"{name}: {mistakes.unknown(name, known)}")
        server = self._section("server", ServerSettings)
        store = self._section("store", StoreSettings)
        wechat = self._section("wechat", WechatSettings)
        wecom = self._section("wecom", WecomSettings)
        forward = self._section("forward", ForwardSettings)
        log = self._section("log", LogSettings)
        terms = self._terms(self._section("refresh", RefreshSettings), store, wechat)
        apps = self._apps(terms)
        clients = self._clients(forward, server)
        login, seals = self._login(store), self._seals(store)
        tls = self._tls(server)
        self.mistakes += wrong_names(store, self._keys) if store else ()
        self.mistakes += _unreachable(server)
        self.mistakes += self._open_to_everyone(server)
        self.mistakes += listeners.insecure(server) if server else ()
        if not (server and store and wechat and wecom and forward and log):
            return None
        return Config(
            server=server,
            tls=tls,
            store=store,
            store_login=login,
            store_mirror=Mirror(plain=store.mirror, quoted=store.mirror_json),
            store_seals=seals,
            wechat=wechat,
            wecom=wecom,
            forward=forward,
            log=log,
            terms=terms,
            apps=apps,
            clients=clients,
            secret_files=self._files.named,
            warnings=tuple(self._files.warnings),
        )

    def _section(self, name: str, model: type[_Settings]) -> _Settings | None:
        return self._read(self._content.get(name, {}), model, name)

    def _named(
        self, table: str, model: Callable[[Any], type[_Settings]]
    ) -> Iterator[tuple[str, _Settings]]:
        """The good ones of ``[table.NAME]``, each by the *model* for what it holds."""
        named = self._content.get(table, {})
        if not isinstance(named, dict):
            self.mistakes.append(f"{table}: must hold tables, as in [{table}.shop]")
            return
        for name, given in named.items():
            if not _NAME.fullmatch(name):
                self.mistakes.append(
                    f"{table}: {name!a}: a name is small letters, digits, '-' and '_', at most 64"
                )
            elif settings := self._read(given, model(given), f"{table}.{name}"):
                yield name, settings

    def _read(self, given: object, model: type[_Settings], place: str) -> _Settings | None:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            self.mistakes += mistakes.of_section(error, model, place)
            return None

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

    def _apps(self, terms: Terms) -> dict[str, AppConfig]:
        if not self._content.get("apps"):
            self.mistakes.append("apps: at least one is required, as in [apps.shop]")
        accounts = Accounts(self._files, terms)
        apps = accounts.read(self._named("apps", account_settings))
        self._keys = accounts.keys
        self.mistakes += accounts.mistakes
        return apps

    def _login(self, store: StoreSettings | None) -> Login:
        if store is None:
            return ANONYMOUS
        files = LoginFiles(self._files)
        login = files.login(store)
        self.mistakes += files.mistakes
        return login

    def _tls(self, server: ServerSettings | None) -> Tls | None:
        if server is None:
            return None
        files = listeners.ListenerFiles(self._files, now=SystemClock().wall())
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

    def _clients(
        self, forward: ForwardSettings | None, server: ServerSettings | None
    ) -> dict[str, Client]:
        clients: dict[str, Client] = {}
        owners: dict[tuple[str, str], str] = {}
        for name, settings in self._named("clients", lambda _: ClientSettings):
            self.mistakes += _of_another(name, settings, owners)
            self.mistakes += _unsigned(name, settings, server)
            self.mistakes += self._unknown_apps(name, settings.apps)
            self.mistakes += _pointless(name, settings, forward)
            everything = "*" in settings.apps
            clients[name] = Client(
                name=name,
                key_sha256=settings.key_sha256,
                apps=None if everything else frozenset(settings.apps),
                can=frozenset(settings.can),
                certificate=settings.certificate,
                sees_tokens=settings.tokens == "given",
                paths=settings.paths,
            )
        return clients

    def _unknown_apps(self, client: str, apps: tuple[str, ...]) -> Iterator[str]:
        there_are = self._content.get("apps")
        known = list(there_are) if isinstance(there_are, dict) else []
        for app in apps:
            if app not in {"*", *known}:
                near = get_close_matches(app, known, n=1)
                guess = f", did you mean '{near[0]}'?" if near else ""
                yield f"clients.{client}.apps: {app!a}: no such app{guess}"

    def _open_to_everyone(self, server: ServerSettings | None) -> Iterator[str]:
        if server is None or self._content.get("clients"):
            return
        for address in server.listen:
            if not address.is_loopback:
                yield (
                    f"server.listen: {address} is not loopback, and without [clients] whoever "
                    "reaches it could read every token; add a client with 'tokend key CLIENT', "
                    "or listen on 127.0.0.1"
                )


def _of_another(
    name: str, settings: ClientSettings, owners: dict[tuple[str, str], str]
) -> Iterator[str]:
    """What of it names another client as well; *owners* learns what is this one's."""
    for setting in ("key_sha256", "certificate"):
        value = getattr(settings, setting)
        owner = owners.setdefault((setting, value), name) if value else name
        if owner != name:
            yield f"clients.{name}.{setting}: is that of clients.{owner} too"


def _unsigned(name: str, settings: ClientSettings, server: ServerSettings | None) -> Iterator[str]:
    if settings.certificate and server and not server.client_ca_file:
        yield (
            f"clients.{name}.certificate: needs server.client_ca_file, which says who signs the "
            "certificates of clients"
        )


def _pointless(
    name: str, settings: ClientSettings, forward: ForwardSettings | None
) -> Iterator[str]:
    """What would never do anything for the client."""
    place, calls = f"clients.{name}", Permission.CALL in settings.can
    if settings.tokens == "never" and not (calls and forward and forward.enabled):
        yield f"{place}.tokens: never, so that it needs 'call' in can, and forward.enabled"
    if settings.paths and not calls:
        yield f"{place}.paths: are those of calls, so that it needs 'call' in can"


def _unreachable(server: ServerSettings | None) -> Iterator[str]:
    if server is not None and not (server.listen or server.socket):
        yield "server: needs an address to listen on, or a socket"
