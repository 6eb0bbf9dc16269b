"""Server-sent events: what is there to tell, and what comes as soon as it does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tokend.api.audited import deed_of
from tokend.api.problem_table import problem_of
from tokend.api.stream import Stream, retry
from tokend.audit.deed import OK
from tokend.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tokend.api.polls import Polls, Watched
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


class Teller(Protocol):
    """What one reader is told of *watched*, of which he knows the generation *known*."""

    @property
    def watched(self) -> Watched: ...

    @property
    def known(self) -> int: ...

    @property
    def patience(self) -> timedelta:
        """For how long there is nothing to tell, as long as *watched* stays as it is."""

    def news(self, now: datetime) -> bytes:
        """What the reader does not know, or a comment; *now* by the wall clock."""


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

    async def tokens(
        self, request: web.Request, known: int, readable: Callable[[], Keeper]
    ) -> web.StreamResponse:
        """Tell of *readable*'s tokens after *known*. It raises ``CallerError`` once *request* may
        not read any more, and the stream is over then.
        """
        stream = Stream(readable(), known, self._rendered, self._noted(request))
        return await self.serve(request, stream, lambda: readable() is stream.watched)

    async def serve(
        self, request: web.Request, teller: Teller, goes_on: Callable[[], bool]
    ) -> web.StreamResponse:
        """What *teller* has to tell, for as long as it *goes_on*; that may raise ``CallerError``
        as well.
        """
        response = web.StreamResponse(headers=_HEADERS)
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write(retry(_SOONEST + (_LATEST - _SOONEST) * self._draw()))
            try:
                await self._tell(request, response, teller, goes_on)
            except CallerError as error:
                deed_of(request).outcome = problem_of(error).code
        return response

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        teller: Teller,
        goes_on: Callable[[], bool],
    ) -> None:
        ends_at = self._clock.elapsed() + _LONGEST
        while not self._polls.is_ending and self._clock.elapsed() < ends_at:
            await self._awake()
            transport = request.transport
            if transport is None or not goes_on():
                return
            if transport.get_write_buffer_size():
                await self._polls.news(teller.watched, teller.watched.generation, _UNREAD)
            else:
                await response.write(teller.news(self._clock.wall()))
                await self._polls.news(teller.watched, teller.known, teller.patience)

    def _noted(self, request: web.Request) -> Callable[[int], None]:
        """Each token that is given is a deed of its own; that of the request gives none."""
        deed = deed_of(request)
        return lambda generation: self._trail.add(replace(deed, generation=generation, outcome=OK))
