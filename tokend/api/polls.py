"""Those who wait for the next token: as many as there is room for, woken a few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tokend.api.access import OPERATOR
from tokend.api.turns import Turns
from tokend.errors import Crowded, TooManyPolls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from tokend.keeper import Keeper
    from tokend.model import Answer, Client

_RETRY_AFTER = timedelta(seconds=5)


class Watched(Protocol):
    """Something of which there may be news, numbered by a *generation* that grows."""

    @property
    def generation(self) -> int: ...

    @property
    def watchers(self) -> dict[Callable[[], None], None]:
        """Called when there is another generation."""


class Polls:
    """At most *most*, of which *most_per_client* are one client's, and *most_at_socket* those of
    the Unix socket.

    *is_ending* once tokend stops: nobody waits any more.
    """

    def __init__(self, *, most: int, most_per_client: int, most_at_socket: int) -> None:
        self.is_ending = False
        self._most = most
        self._most_per_client = most_per_client
        self._most_at_socket = most_at_socket
        self._of: Counter[str] = Counter()
        self._wakes: dict[Callable[[], None], None] = {}
        self._turns = Turns()

    @property
    def open(self) -> int:
        """How many wait."""
        return self._of.total()

    async def newer(
        self, keeper: Keeper, after: int, patience: timedelta, client: Client
    ) -> Answer | None:
        """The token of a generation greater than *after*; None if none comes in time, or tokend
        stops meanwhile.

        Raises ``Crowded`` or ``TooManyPolls``, and ``NotReady`` if it has come and gone.
        """
        if keeper.generation <= after:
            with self.counted(client):
                await self.news(keeper, after, patience)
        return keeper.current() if keeper.generation > after else None

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        """Among those who wait, until left. Raises ``Crowded`` or ``TooManyPolls``."""
        most = self._most_at_socket if client is OPERATOR else self._most_per_client
        if self._of.total() >= self._most:
            raise Crowded("as many long polls wait as there is room for", retry_after=_RETRY_AFTER)
        if self._of[client.name] >= most:
            raise TooManyPolls(
                f"{client.name}: {most} long polls wait already", retry_after=_RETRY_AFTER
            )
        self._of[client.name] += 1
        try:
            yield
        finally:
            self._of[client.name] -= 1

    async def news(self, watched: Watched, after: int, patience: timedelta) -> None:
        """Return when there is something newer than *after*, after *patience*, or when tokend
        stops: in each case in turn with all others.
        """
        if self.is_ending:
            return
        if watched.generation > after:
            patience = timedelta(0)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        wake = partial(self._turns.add, turn)
        timer = loop.call_later(patience.total_seconds(), wake)
        self._wakes[wake] = watched.watchers[wake] = None
        try:
            await turn
        finally:
            timer.cancel()
            del self._wakes[wake], watched.watchers[wake]

    async def end(self, _: web.Application) -> None:
        """Answer all who wait."""
        self.is_ending = True
        for wake in self._wakes:
            wake()
