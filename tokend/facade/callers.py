"""Who calls a WeChat-shaped route, and for which app.

An SDK sends its client key where it would send the AppSecret, and later what it was given as an
access_token. So a caller is known by a key, by a token that tokend gave, or by a handle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.api.access import may_come
from tokend.api.audited import deed_of, name_of
from tokend.facade import errcodes
from tokend.facade.errcodes import Refused
from tokend.model import ACCESS_TOKEN, Permission, Platform, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from tokend.api.access import Access
    from tokend.facade.handles import Handles
    from tokend.facade.owners import Owners
    from tokend.keeper import Keeper
    from tokend.model import Client
    from tokend.standing import Standing

_UNKNOWN_TOKEN = Refused(
    errcodes.INVALID_CREDENTIAL,
    "invalid credential, access_token is invalid or not latest",
)

# What is shorter was never a token, nor a handle, but may be a guess at a client key. An old token
# is no guess, and its holder must hear so, or would not fetch the next one. No length is promised:
# those of WeChat have had 113 characters and more, client keys of 'tokend key' have 43.
_SHORTEST_TOKEN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client, and the app whose access_token *tokens* keeps."""

    client: Client
    tokens: Keeper

    @property
    def app(self) -> str:
        return self.tokens.key.app

    def may(self, permission: Permission) -> bool:
        return self.client.may(permission, self.app)

    def require(self, permission: Permission) -> None:
        """Raise ``Refused``."""
        if not self.may(permission):
            raise Refused(errcodes.UNAUTHORIZED, f"{self.client.name} may not {permission} this")


class Callers:
    """*keepers* are by key, *records* by the key's name in the store."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        records: Mapping[str, Keeper],
        access: Access,
        *,
        owners: Owners,
        handles: Handles,
    ) -> None:
        self._keepers = keepers
        self._records = records
        self._access = access
        self._owners = owners
        self._handles = handles

    @property
    def standing(self) -> Standing:
        """Over as soon as anybody may do something else."""
        return self._access.standing

    def by_secret(self, request: web.Request, *, appid: str, secret: str) -> Caller | None:
        """None if the client has no such account, whether others have or nobody. Raises
        ``Unauthorized``; the key is looked at first. So nobody learns which accounts there are.
        """
        client = self._access.holder(request, secret)
        tokens = self._records.get(f"{appid}/{ACCESS_TOKEN}")
        if tokens is None or tokens.key.platform is not Platform.OFFICIAL:
            return None
        deed_of(request).key = str(tokens.key)
        return Caller(client=client, tokens=tokens) if client.has(tokens.key.app) else None

    def by_corp_secret(self, request: web.Request, *, corpid: str, secret: str) -> list[Caller]:
        """The same for WeCom, where a corp has an app for each of its agents: those of them that
        the client may have anything to do with.
        """
        client = self._access.holder(request, secret)
        return [
            Caller(client=client, tokens=tokens)
            for tokens in self._of(client)
            if tokens.key.appid.startswith(f"{corpid}/")
        ]

    def by_token(self, request: web.Request, given: Secret) -> list[Caller]:
        """Whoever it may be, if it is not known for sure: a token was given to every client that
        may read it. Raises ``Refused``, after many wrong keys ``TooManyWrongKeys``.
        """
        deed = deed_of(request)
        if handled := self._handles.unseal(given, self._access.named):
            deed.who = name_of(handled[0], request)
            callers = [self._by_handle(request, *handled)]
        elif record := self._owners.record(given):
            callers = list(self._holders(request, self._records.get(record)))
            deed.who = " or ".join(name_of(each.client, request) for each in callers)
        elif client := self._access.known(request, given.reveal()):
            deed.who = name_of(client, request)
            callers = [self._by_key(client)]
        else:
            if len(given.reveal()) < _SHORTEST_TOKEN:
                self._access.count_wrong(request)
            raise _UNKNOWN_TOKEN
        deed.key = str(callers[0].tokens.key) if callers else ""
        return callers

    def _by_handle(self, request: web.Request, client: Client, appid: str) -> Caller:
        tokens = self._records.get(f"{appid}/{ACCESS_TOKEN}")
        if tokens is None or not may_come(client, request):
            raise _UNKNOWN_TOKEN
        return Caller(client=client, tokens=tokens)

    def _by_key(self, client: Client) -> Caller:
        mine = list(self._of(client))
        if len(mine) != 1:
            raise Refused(
                errcodes.INVALID_CREDENTIAL,
                f"invalid credential, the client key of {client.name} is for {len(mine)} apps; "
                "get an access_token with it",
            )
        return Caller(client=client, tokens=mine[0])

    def _holders(self, request: web.Request, tokens: Keeper | None) -> Iterator[Caller]:
        if tokens is None:
            raise _UNKNOWN_TOKEN
        for client in self._access.anybody(request):
            if client.sees_tokens and client.may(Permission.READ, tokens.key.app):
                yield Caller(client=client, tokens=tokens)

    def _of(self, client: Client) -> Iterator[Keeper]:
        """The access_tokens of all apps that it may have anything to do with."""
        if client.apps is None:
            return (each for each in self._keepers.values() if each.key.kind == ACCESS_TOKEN)
        found = (self._keepers.get(f"{app}/{ACCESS_TOKEN}") for app in client.apps)
        return (tokens for tokens in found if tokens)
