"""Who is asking, and what they may do."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING

from tokend.api import peers
from tokend.api.audited import deed_of, name_of
from tokend.api.wrong_keys import WrongKeys
from tokend.audit.source import source
from tokend.errors import Forbidden, Unauthorized
from tokend.model import Client, Permission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from tokend.clock import Clock

# Whoever may open the Unix socket: its mode and group decide.
_OPERATOR = Client(name="socket", key_sha256="", apps=None, can=frozenset(Permission))

# Without configured clients tokend listens on loopback only, and serves whoever is there. What is
# an operator's stays with the socket: a forced refresh harms everybody who holds the old token.
_ANYONE = Client(
    name="loopback",
    key_sha256="",
    apps=None,
    can=frozenset(Permission) - {Permission.FORCE, Permission.RELOAD},
)


class Access:
    """The configured clients, by the SHA-256 of their keys.

    A look-up by digest tells a caller nothing through its timing: who could steer the digest of a
    guess could break SHA-256. No key, a wrong one and one of a client that is gone are the same
    work, and get the same answer.
    """

    def __init__(
        self, clients: Iterable[Client], clock: Clock, *, hosts: Iterable[str] = ()
    ) -> None:
        self._wrong_keys = WrongKeys(clock)
        self._clients: dict[str, Client] = {}
        self._hosts = {"localhost", *hosts}
        self.change(clients)

    def change(self, clients: Iterable[Client]) -> None:
        """From now on these and no others."""
        self._clients = {client.key_sha256: client for client in clients}

    def client(self, request: web.Request) -> Client:
        """The caller. Raises ``Unauthorized``."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return self.holder(request, key.strip() if scheme.lower() == "bearer" else "")

    def holder(self, request: web.Request, key: str) -> Client:
        """Whoever has *key*, where one is asked for. Raises ``Unauthorized``, after many wrong
        keys ``TooManyWrongKeys``.
        """
        client = self._holder(request, key)
        if client is None:
            self._wrong_keys.count(source(deed_of(request).where))
            raise Unauthorized("no client key, or one that tokend does not know")
        deed_of(request).who = name_of(client, request)
        return client

    def _holder(self, request: web.Request, key: str) -> Client | None:
        if peers.peer(request):
            return _OPERATOR
        return self.known(key) if self._clients else _ANYONE

    def known(self, key: str) -> Client | None:
        """The client with this key."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._clients.get(digest)

    def named(self, name: str) -> Client | None:
        """The client of this name, as it is configured now."""
        return next((client for client in self._clients.values() if client.name == name), None)

    def anybody(self, request: web.Request) -> Iterable[Client]:
        """Everybody whom *request* may come from, as long as nothing in it says more."""
        if peers.peer(request):
            return [_OPERATOR]
        return self._clients.values() or [_ANYONE]

    def refuse_browsers(self, request: web.Request) -> None:
        """A web page must not reach tokend through somebody's browser on this host.

        Browsers send Origin with what scripts ask for, and a rebound DNS name in Host.
        """
        if "Origin" in request.headers:
            raise Forbidden("tokend does not answer web pages")
        if not peers.peer(request) and not self._is_own_host(request.host):
            raise Forbidden("the Host header is neither an address nor in server.allowed_hosts")

    def _is_own_host(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def require(client: Client, permission: Permission, app: str) -> None:
    """Raise ``Forbidden``, in the same words whether the app exists or not."""
    if not client.may(permission, app):
        raise Forbidden(f"{client.name} may not {permission} {app}, or there is no such app")
