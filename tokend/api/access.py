"""Who is asking, and what they may do."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from typing import TYPE_CHECKING

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

    def __init__(self, clients: Iterable[Client], *, hosts: Iterable[str] = ()) -> None:
        self._clients: dict[str, Client] = {}
        self._hosts = {"localhost", *hosts}
        self.change(clients)

    def change(self, clients: Iterable[Client]) -> None:
        """From now on these and no others."""
        self._clients = {client.key_sha256: client for client in clients}

    def client(self, request: web.Request) -> Client:
        """The caller. Raises ``Unauthorized``."""
        if _is_unix(request):
            return _OPERATOR
        if not self._clients:
            return _ANYONE
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).hexdigest()
        if scheme.lower() != "bearer" or digest not in self._clients:
            raise Unauthorized("no client key, or one that tokend does not know")
        return self._clients[digest]

    def refuse_browsers(self, request: web.Request) -> None:
        """A web page must not reach tokend through somebody's browser on this host.

        Browsers send Origin with what scripts ask for, and a rebound DNS name in Host.
        """
        if "Origin" in request.headers:
            raise Forbidden("tokend does not answer web pages")
        if not _is_unix(request) and not self._is_own_host(request.host):
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


def _is_unix(request: web.Request) -> bool:
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport else None
    return sock is not None and sock.family == socket.AF_UNIX
