"""``GET /v1/events``: what happens to the keys that a client may see, as it happens."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

from tokend.api import wire
from tokend.api.stream import HEARTBEAT, NOTHING, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from tokend.api.access import Access
    from tokend.api.polls import Polls
    from tokend.api.streams import Streams
    from tokend.chronicle import Chronicle, Event
    from tokend.model import Client

# What happens soon after one another is told together: however much it is, to tell two hundred
# readers of it takes a fraction of a core.
_TOGETHER_SECONDS = 0.1

# Some 40 KB, written in one go while others wait.
_MOST_AT_ONCE = 50

# Readers are at about the same place; who is further behind has them written again.
_MOST_WRITTEN = 200


class Happenings:
    """The handler of the route."""

    def __init__(
        self, chronicle: Chronicle, access: Access, polls: Polls, streams: Streams
    ) -> None:
        self._feed = Feed(chronicle)
        self._access = access
        self._polls = polls
        self._streams = streams

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """All since the event that the reader knows, or since now."""
        allowed = partial(self._access.watcher, request)
        client = allowed()
        known = wire.last_number(request)
        with self._polls.counted(client):
            onlooker = Onlooker(self._feed, known, allowed)
            return await self._streams.serve(request, onlooker, onlooker.goes_on)


class Feed:
    """A chronicle as it is told: its *watchers* are called soon after there is more of it."""

    def __init__(self, chronicle: Chronicle) -> None:
        self.chronicle = chronicle
        self.watchers: dict[Callable[[], None], None] = {}
        self._is_to_wake = False
        self._written: dict[int, bytes] = {}
        chronicle.listeners.append(self._heard)

    @property
    def generation(self) -> int:
        """The number of the newest event."""
        return self.chronicle.last

    def written(self, happened: Event) -> bytes:
        """As a server-sent event, the same for all who hear of it."""
        found = self._written.get(happened.number)
        if found is None:
            data = json.dumps(wire.event_json(happened)).encode()
            found = event(happened.happening.what.encode(), data, happened.number)
            self._written[happened.number] = found
            if len(self._written) > _MOST_WRITTEN:
                del self._written[next(iter(self._written))]
        return found

    def _heard(self, _: Event) -> None:
        if self.watchers and not self._is_to_wake:
            self._is_to_wake = True
            asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._wake)

    def _wake(self) -> None:
        self._is_to_wake = False
        for wake in tuple(self.watchers):
            wake()


class Onlooker:
    """One reader, who has heard of all up to number *known*, or None, and whom *allowed* tells; it
    raises ``CallerError`` once there is none.

    What he hears first is where he is: to come back from there he needs its id, though nothing may
    happen for long. ``begin``, or ``reset`` where that is not what he knows.

    Nothing is kept for him: who is behind hears of some at a time, and who is behind by more than
    is known any more hears a ``reset`` in place of it.
    """

    def __init__(self, feed: Feed, known: int | None, allowed: Callable[[], Client]) -> None:
        self.watched = feed
        self.known = feed.generation if known is None else known
        self.patience = HEARTBEAT
        self._greeting = _place(b"begin", self.known)
        self._allowed = allowed
        self._client = allowed()

    def goes_on(self) -> bool:
        """For as long as he may."""
        self._client = self._allowed()
        return True

    def news(self, _: object) -> bytes:
        """The next events, or a comment; *known* moves on over those that are not for him, too."""
        greeting, self._greeting = self._greeting, b""
        events = self.watched.chronicle.since(self.known)
        if events is None:
            self.known = self.watched.generation
            return _place(b"reset", self.known)
        some = events[:_MOST_AT_ONCE]
        if some:
            self.known = some[-1].number
        ours = [each for each in some if self._client.has(each.status.key.app)]
        return b"".join([greeting, *map(self.watched.written, ours)]) or NOTHING


def _place(name: bytes, number: int) -> bytes:
    """That the reader is there now."""
    return event(name, b'{"number": %d}' % number, number)
