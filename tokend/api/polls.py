"""Long polls: as many as there is room for, woken a few at a time, ended when tokend ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING

from tokend.errors import Crowded, TooManyPolls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from tokend.keeper import Keeper
    from tokend.model import Answer, Client

_RETRY_AFTER = timedelta(seconds=5)

# All that wait for a key wake at once. Up to a few hundred are answered before anybody notices;
# of more, each waits so long at most for each that waits: as long as all their answers take.
_CROWD = 200
_SPREAD_SECONDS = 0.0005


class Polls:
    """At most *most*, of which *most_per_client* are one client's."""

    def __init__(
        self, *, most: int, most_per_client: int, draw: Callable[[], float] = random
    ) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._draw = draw
        self._limits: set[asyncio.Timeout] = set()
        self._of: Counter[str] = Counter()
        self._is_stopping = False

    async def newer(
        self, keeper: Keeper, after: int, patience: timedelta, client: Client
    ) -> Answer | None:
        """None if nothing newer comes in time, or tokend stops meanwhile.

        Raises ``Crowded`` or ``TooManyPolls``.
        """
        seconds = 0 if self._is_stopping else patience.total_seconds()
        limit = asyncio.timeout(seconds)
        with self._counted(limit, client.name):
            try:
                async with limit:
                    answer = await keeper.newer(after)
                    await self._take_turns()
                    return answer
            except TimeoutError:
                return None

    async def end(self, _: web.Application) -> None:
        """Answer all that wait."""
        self._is_stopping = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)

    @contextmanager
    def _counted(self, limit: asyncio.Timeout, client: str) -> Iterator[None]:
        if len(self._limits) >= self._most:
            raise Crowded("as many long polls wait as there is room for", retry_after=_RETRY_AFTER)
        if self._of[client] >= self._most_per_client:
            raise TooManyPolls(
                f"{client}: {self._most_per_client} long polls wait already",
                retry_after=_RETRY_AFTER,
            )
        self._limits.add(limit)
        self._of[client] += 1
        try:
            yield
        finally:
            self._limits.discard(limit)
            self._of[client] -= 1

    async def _take_turns(self) -> None:
        if len(self._limits) > _CROWD:
            await asyncio.sleep(self._draw() * len(self._limits) * _SPREAD_SECONDS)
