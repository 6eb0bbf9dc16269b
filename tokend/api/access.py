"""Who is asking, and what they may do."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tokend.api.source import is_unix
from tokend.errors import Forbidden, Unauthorized
from tokend.model import Client, Permission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

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
    guess could break SHA-256.
    """

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients: dict[str, Client] = {}
        self.change(clients)

    def change(self, clients: Iterable[Client]) -> None:
        """From now on these and no others."""
        self._clients = {client.key_sha256: client for client in clients}

    def client(self, request: web.Request) -> Client:
        """The caller. Raises ``Unauthorized``."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return self.holder(request, key.strip() if scheme.lower() == "bearer" else "")

    def holder(self, request: web.Request, key: str) -> Client:
        """Whoever has *key*, where one is asked for. Raises ``Unauthorized``."""
        if is_unix(request.transport):
            return _OPERATOR
        if not self._clients:
            return _ANYONE
        client = self.known(key)
        if client is None:
            raise Unauthorized("no client key, or one that tokend does not know")
        return client

    def known(self, key: str) -> Client | None:
        """The client with this key."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._clients.get(digest)

    def named(self, name: str) -> Client | None:
        """The client of this name, as it is configured now."""
        return next((client for client in self._clients.values() if client.name == name), None)

    def anybody(self, request: web.Request) -> Iterable[Client]:
        """Everybody whom *request* may come from, as long as nothing in it says more."""
        if is_unix(request.transport):
            return [_OPERATOR]
        return self._clients.values() or [_ANYONE]


def require(client: Client, permission: Permission, app: str) -> None:
    """Raise ``Forbidden``, in the same words whether the app exists or not."""
    if not client.may(permission, app):
        raise Forbidden(f"{client.name} may not {permission} {app}, or there is no such app")
