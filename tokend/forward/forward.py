"""Calls of WeChat's API passed on, with the current token in place of what the caller wrote.

A business server then needs neither the AppSecret nor the token. Bodies are streamed; no more
than 64 KiB of a call is kept, so that a small one can be sent again with a new token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from tokend.api.audited import deed_of
from tokend.api.problem_table import problem_of
from tokend.errors import TokendError
from tokend.facade.errcodes import UNAUTHORIZED, Refused, shaped
from tokend.forward.answer import deliver, open_answer
from tokend.forward.call import read_call, while_there
from tokend.forward.target import read_target
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from aiohttp.typedefs import Handler

    from tokend.audit.deed import Deed
    from tokend.forward.call import Call
    from tokend.forward.passages import Passage
    from tokend.forward.target import Target
    from tokend.wechat.relay import Relay, Reply

log = structlog.get_logger()

_METHODS = ("GET", "POST")


class Forward:
    """For every path that no other route has, but tokend's own."""

    def __init__(
        self,
        relay: Relay,
        passages: Callable[[str, web.Request], Passage],
        *,
        awake: Callable[[], Awaitable[None]],
    ) -> None:
        self._relay = relay
        self._passages = passages
        self._awake = awake
        self.handle: Handler = shaped(self._pass_on)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_route("*", "/{path:(?!v1/).*}", self.handle)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        target = read_target(request.raw_path)
        await self._awake()
        deed_of(request).of_power = target.is_of_power
        passage = self._passage(request, target)
        try:
            async with while_there(request):
                call = await read_call(request, target)
                passage = self._passage(request, target)  # a reload may have taken that away
                response = await self._answer(call, passage)
        except (Refused, TokendError) as error:
            log.debug("call_failed", method=request.method, path=target.path, why=str(error))
            raise
        log.debug("call_forwarded", method=request.method, path=target.path, status=response.status)
        return response

    def _passage(self, request: web.Request, target: Target) -> Passage:
        """Raises ``Refused``."""
        deed = deed_of(request)
        try:
            passage = self._passages(target.caller, request)
        finally:
            deed.path = target.path if deed.who else ""  # strangers make things up
        if not passage.allows(target):
            raise Refused(UNAUTHORIZED, f"this client may not call {target.path}")
        return passage

    async def _answer(self, call: Call, passage: Passage) -> web.StreamResponse:
        """Send *call* on, and if the token is rejected and replaced, once more."""
        token = passage.token()
        async with self._sent(call, passage, token) as reply:
            opening = await open_answer(reply)
            errcode = opening.rejection()
            if errcode is None:
                return await deliver(call.request, reply, opening)
            rejection = opening.response()
        log.warning(
            "token_rejected", path=call.target.path, errcode=errcode, token=token.fingerprint
        )
        replacement = await _replacement(passage, token, deed_of(call.request))
        if replacement is None or call.kept is None:
            return rejection
        async with self._sent(call, passage, replacement) as reply:
            return await deliver(call.request, reply, await open_answer(reply))

    def _sent(
        self, call: Call, passage: Passage, token: Secret
    ) -> AbstractAsyncContextManager[Reply]:
        return self._relay.call(
            call.request.method,
            Secret(f"{passage.upstream}{call.target.with_token(token)}"),
            headers=call.headers,
            body=call.body(),
        )


async def _replacement(passage: Passage, rejected: Secret, deed: Deed) -> Secret | None:
    """None if there is no other token: then WeChat's own answer says it best, and *deed* why."""
    try:
        token = await passage.replace(rejected)
    except TokendError as error:
        log.debug("no_replacement", why=str(error))
        deed.outcome = problem_of(error).code
        return None
    return None if token == rejected else token
