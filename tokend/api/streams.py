"""Server-sent events: the current token, and each next one as soon as it is there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.api.audited import deed_of
from tokend.api.problems import problem_of
from tokend.api.stream import Stream, retry
from tokend.audit.deed import OK
from tokend.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokend.api.polls import Polls
    from tokend.api.rendered import Rendered
    from tokend.audit.trail import Trail
    from tokend.clock import Clock
    from tokend.keeper import Keeper

# So that an open connection is not for ever: who reads comes back, and is told the same again.
_LONGEST = timedelta(hours=1)

# All whose streams ended at once come back one after another.
_SOONEST, _LATEST = timedelta(seconds=1), timedelta(seconds=5)

_UNREAD = timedelta(seconds=1)

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
    "X-Accel-Buffering": "no",
}


class Streams:
    """*awake* is asked before each event whether what is in memory may be told."""

    def __init__(
        self,
        polls: Polls,
        rendered: Rendered,
        trail: Trail,
        clock: Clock,
        *,
        awake: Callable[[], Awaitable[None]],
        draw: Callable[[], float] = random,
    ) -> None:
        self._polls = polls
        self._rendered = rendered
        self._trail = trail
        self._clock = clock
        self._awake = awake
        self._draw = draw

    async def serve(
        self, request: web.Request, known: int, readable: Callable[[], Keeper]
    ) -> web.StreamResponse:
        """Tell of *readable*'s tokens after *known*. It raises ``CallerError`` once *request* may
        not read any more, and the stream is over then.
        """
        response = web.StreamResponse(headers=_HEADERS)
        stream = Stream(readable(), known, self._rendered, self._noted(request))
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write(retry(_SOONEST + (_LATEST - _SOONEST) * self._draw()))
            try:
                await self._tell(request, response, stream, readable)
            except CallerError as error:
                deed_of(request).outcome = problem_of(error).code
        return response

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        stream: Stream,
        readable: Callable[[], Keeper],
    ) -> None:
        ends_at = self._clock.elapsed() + _LONGEST
        while not self._polls.is_ending and self._clock.elapsed() < ends_at:
            await self._awake()
            transport = request.transport
            if transport is None or readable() is not stream.keeper:
                return
            if transport.get_write_buffer_size():
                await self._polls.news(stream.keeper, stream.keeper.generation, _UNREAD)
            else:
                await response.write(stream.news(self._clock.wall()))
                await self._polls.news(stream.keeper, stream.known, stream.patience)

    def _noted(self, request: web.Request) -> Callable[[int], None]:
        """Each token that is given is a deed of its own; that of the request gives none."""
        deed = deed_of(request)
        return lambda generation: self._trail.add(replace(deed, generation=generation, outcome=OK))
