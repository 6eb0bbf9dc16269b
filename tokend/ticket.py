"""Tickets: asked for with the access_token of the same app, and after it.

A ticket lives by itself: it stays when the access_token is replaced.
https://developers.weixin.qq.com/doc/service/api/webdev/jssdk/api_getticket.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tokend.errors import NotReady, RefreshLimited, TokenRejected, UpstreamUnreachable
from tokend.wechat.replies import read_ticket, without

if TYPE_CHECKING:
    from tokend.keeper import Keeper
    from tokend.model import App, Issued, Secret
    from tokend.wechat.recipes import TicketRecipe
    from tokend.wechat.transport import Transport

log = structlog.get_logger()

_PATIENCE = timedelta(seconds=5)

# When so many access_tokens were rejected and replaced in a row, it is not for their sake.
_MOST_REPLACED = 3


class TicketSource:
    """Where one kind of ticket of *app* comes from; *tokens* keeps its access_token."""

    __slots__ = ("_app", "_recipe", "_rejected", "_replaced", "_tokens", "_transport")

    # A ticket lives by itself, but whether the next one ends its life is not told.
    is_idempotent = False

    def __init__(
        self, recipe: TicketRecipe, app: App, transport: Transport, tokens: Keeper
    ) -> None:
        self._recipe = recipe
        self._app = app
        self._transport = transport
        self._tokens = tokens
        self._rejected: Secret | None = None
        self._replaced = 0

    @property
    def endpoint(self) -> str:
        return self._recipe.path

    async def prepare(self) -> None:
        """See to an access_token that WeChat has not rejected, before any lease is taken: the one
        that is being got now; another one, where the last ticket was refused for its sake. What
        WeChat refuses with each of them waits for the one that comes anyway.
        """
        await self._tokens.settled(_PATIENCE)
        if self._access_token() == self._rejected:
            await self._replace(self._rejected)

    async def _replace(self, rejected: Secret) -> None:
        if self._replaced >= _MOST_REPLACED:
            raise _waiting(f"WeChat has rejected {self._replaced} in a row; see kinds of the app")
        by = f"tokend {self._app.name}{self._recipe.path}"
        try:
            replaced = await self._tokens.refresh(rejected=rejected, by=by)
        except (NotReady, RefreshLimited) as error:
            raise _waiting(error) from None
        self._replaced += replaced.refreshed
        if self._replaced == _MOST_REPLACED:
            log.error("ticket_refused_with_each_token", app=self._app.name, path=self._recipe.path)

    async def current(self) -> Issued:
        access_token = self._access_token()
        body = await self._transport.send(self._recipe.request(access_token))
        try:
            ticket = read_ticket(without(access_token, body), self._app)
        except TokenRejected:
            self._rejected = access_token
            raise
        self._replaced = 0
        return ticket

    new = current

    def _access_token(self) -> Secret:
        try:
            return self._tokens.current().token.value
        except NotReady as error:
            raise _waiting(error) from None


def _waiting(error: Exception | str) -> UpstreamUnreachable:
    return UpstreamUnreachable(f"waiting for the access_token: {error}")
