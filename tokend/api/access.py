"""Who is asking, and what they may do."""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tokend.api.audited import deed_of, name_of
from tokend.api.source import is_unix
from tokend.api.wrong_keys import WrongKeys
from tokend.audit.source import source
from tokend.errors import Forbidden, Unauthorized
from tokend.model import Client, Permission
from tokend.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aiohttp import web

    from tokend.clock import Clock

_T = TypeVar("_T")

# Whoever may open the Unix socket: its mode and group decide.
OPERATOR = Client(name="socket", key_sha256="", apps=None, can=frozenset(Permission))

# Without configured clients tokend listens on loopback only, and serves whoever is there. What is
# an operator's stays with the socket: a forced refresh harms everybody who holds the old token.
_ANYONE = Client(
    name="loopback",
    key_sha256="",
    apps=None,
    can=frozenset(Permission) - {Permission.FORCE, Permission.RELOAD},
)

# What the status page is, and asks for. A browser sends a key by itself with no scheme but Basic;
# and as it does so for whatever page is open in it, no other route knows that.
_BY_BROWSERS = {"GET /status", "GET /v1/events", "POST /v1/apps/{app}/{kind}/refresh"}


class Access:
    """The configured clients, by the SHA-256 of their keys and the names of their certificates.

    Who sends a key is the client of that key, if the connection has the certificate that the client
    may need as well; who sends none is the client of the certificate, if that one needs no key.

    A look-up by digest tells a caller nothing through its timing: who could steer the digest of a
    guess could break SHA-256. No key, a wrong one and one of a client that is gone are the same
    work, and get the same answer.

    What they may do is so for as long as the *standing* is not over.
    """

    def __init__(self, clients: Iterable[Client], clock: Clock) -> None:
        self._wrong_keys = WrongKeys(clock)
        self._clients: tuple[Client, ...] = ()
        self.standing = Standing()
        self.change(clients)

    def change(self, clients: Iterable[Client]) -> None:
        """From now on these and no others."""
        self.standing = self.standing.renewed()
        self._clients = tuple(clients)
        self._by_key = {each.key_sha256: each for each in self._clients if each.key_sha256}
        self._by_certificate = {
            each.certificate: each for each in self._clients if each.certificate
        }

    def client(self, request: web.Request) -> Client:
        """The caller. Raises ``Unauthorized``."""
        return self.holder(request, _shown(request))

    def watcher(self, request: web.Request) -> Client:
        """The caller, who may see the status of some keys. Raises ``Forbidden``, too."""
        client = self.client(request)
        if Permission.STATUS not in client.can:
            raise Forbidden(f"{client.name} may not see the status")
        return client

    def holder(self, request: web.Request, key: str) -> Client:
        """Whoever has *key*, where one is asked for; empty is none. Raises ``Unauthorized``, after
        many wrong keys ``TooManyWrongKeys``.
        """
        client = self._holder(request, key)
        if client is None:
            self.count_wrong(request)
            raise Unauthorized("no client key or certificate, or none that tokend knows")
        deed_of(request).who = name_of(client, request)
        return client

    def _holder(self, request: web.Request, key: str) -> Client | None:
        if is_unix(request.transport):
            return OPERATOR
        if not self._clients:
            return _ANYONE
        return self.known(request, key) if key else self._certified(request)

    def known(self, request: web.Request, key: str) -> Client | None:
        """The client with this key."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        client = self._by_key.get(digest)
        return client if client and may_come(client, request) else None

    def count_wrong(self, request: web.Request) -> None:
        """A key that nobody has came with *request*. Raises ``TooManyWrongKeys`` after many."""
        self._wrong_keys.count(source(deed_of(request).where))

    def named(self, name: str) -> Client | None:
        """The client of this name, as it is configured now."""
        return next((client for client in self._clients if client.name == name), None)

    def anybody(self, request: web.Request) -> Iterable[Client]:
        """Everybody whom *request* may come from, as long as nothing in it says more."""
        if is_unix(request.transport):
            return [OPERATOR]
        if not self._clients:
            return [_ANYONE]
        return [each for each in self._clients if may_come(each, request)]

    def _certified(self, request: web.Request) -> Client | None:
        """The client of the certificate alone; none, if its names are those of two, whatever else
        these may need.
        """
        found = [self._by_certificate.get(name) for name in _names(request)]
        clients = [client for client in found if client]
        return clients[0] if len(clients) == 1 and not clients[0].key_sha256 else None


def _shown(request: web.Request) -> str:
    """The key in the head of *request*, empty if there is none."""
    header = request.headers.get("Authorization", "")
    scheme, _, key = header.partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    if scheme.lower() == "basic" and deed_of(request).route in _BY_BROWSERS:
        return _password(key)
    return ""


def _password(credentials: str) -> str:
    """Of whatever user.

    https://www.rfc-editor.org/rfc/rfc7617
    """
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


@contextmanager
def throughout(request: web.Request, ask: Callable[[], _T]) -> Iterator[_T]:
    """What *ask* finds that *request* may have. It is asked again at the end, and may raise then,
    too: what is waited for inside may take so long that a reload has taken that away. Not of one
    who has gone: nothing tells any more who that was, and nobody will get the answer.
    """
    yield ask()
    if request.transport is not None:
        ask()


def require(client: Client, permission: Permission, app: str) -> None:
    """Raise ``Forbidden``, in the same words whether the app exists or not."""
    if not client.may(permission, app):
        raise Forbidden(f"{client.name} may not {permission} {app}, or there is no such app")


def may_come(client: Client, request: web.Request) -> bool:
    """Tell if the connection has the certificate of *client*, where that needs one."""
    if not client.certificate or is_unix(request.transport):
        return True
    return client.certificate in _names(request)


def _names(request: web.Request) -> set[str]:
    """What its certificate calls the other side: the DNS names and URIs, or else the common name.

    https://www.rfc-editor.org/rfc/rfc9525 knows no common names; many private CAs do.
    """
    transport = request.transport
    certificate = (transport.get_extra_info("peercert") if transport else None) or {}
    alternatives = certificate.get("subjectAltName", ())
    names = {name for kind, name in alternatives if kind in {"DNS", "URI"}}
    subject = (each for attributes in certificate.get("subject", ()) for each in attributes)
    return names or {value for attribute, value in subject if attribute == "commonName"}
