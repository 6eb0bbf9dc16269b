"""Which client may have which calls passed on, and with which app's token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.api.audited import deed_of, name_of
from tokend.budget import SEVERAL
from tokend.facade import errcodes
from tokend.facade.errcodes import Refused
from tokend.model import Permission, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from tokend.audit.deed import Deed
    from tokend.facade.callers import Callers
    from tokend.forward.target import Target
    from tokend.keeper import Keeper
    from tokend.model import Client, Platform

_PATIENCE = timedelta(seconds=10)


class Passages:
    """*upstreams* are where the accounts of each platform are called."""

    def __init__(self, callers: Callers, upstreams: Mapping[Platform, str]) -> None:
        self._callers = callers
        self._upstreams = upstreams

    def __call__(self, given: str, request: web.Request) -> Passage:
        """Of whoever has *given* for an access_token. Raises ``Refused``."""
        deed = deed_of(request)
        callers = [
            caller
            for caller in self._callers.by_token(request, Secret(given))
            if caller.may(Permission.CALL)
        ]
        if not callers:
            raise Refused(errcodes.UNAUTHORIZED, "api unauthorized, this client may not call")
        names = [name_of(caller.client, request) for caller in callers]
        deed.who = " or ".join(names)
        tokens = callers[0].tokens
        deed.generation = tokens.generation
        return Passage(
            by=names[0] if len(names) == 1 else SEVERAL,
            clients=[caller.client for caller in callers],
            tokens=tokens,
            upstream=self._upstreams[tokens.key.platform],
            deed=deed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Of one of *clients*: a token was given to all of them, and any may have sent it. *by* is who
    pays for another one.
    """

    by: str
    clients: Sequence[Client]
    tokens: Keeper
    upstream: str
    deed: Deed

    def allows(self, target: Target) -> bool:
        allows = _names if target.is_of_power else _allows
        return any(allows(client.paths, target.path) for client in self.clients)

    def token(self) -> Secret:
        return self.tokens.current().token.value

    async def replace(self, rejected: Secret) -> Secret:
        """What replaces *rejected*, which may be the same. Raises ``TokendError``."""
        self.deed.before = self.tokens.generation
        await self.tokens.report(rejected, _PATIENCE, by=self.by)
        self.deed.generation = self.tokens.generation
        return self.token()


def _names(paths: Sequence[str], path: str) -> bool:
    """By its own name, not with all that is below another."""
    return path in paths


def _allows(paths: Sequence[str], path: str) -> bool:
    """None named is all; ``/cgi-bin/media/*`` is everything below."""
    return not paths or any(
        path.startswith(each[:-1]) if each.endswith("*") else path == each for each in paths
    )
