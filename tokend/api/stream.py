"""What one reader of server-sent events knows of a key, and what there is to tell.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.api.problems import problem
from tokend.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.api.rendered import Rendered
    from tokend.keeper import Keeper
    from tokend.model import Answer

# What stands between tokend and the reader takes longer to find a connection idle.
HEARTBEAT = timedelta(seconds=15)

# A line that readers skip. An empty one after it would be an event without data to some.
NOTHING = b":\n"

_SECOND = timedelta(seconds=1)


class Stream:
    """*known* is the generation of the token that the reader has; *given* hears of each he gets.

    Nothing is kept for him: who reads slowly is told of the newest token, and of none in between.
    """

    __slots__ = ("_given", "_is_over", "_rendered", "known", "watched")

    def __init__(
        self, keeper: Keeper, known: int, rendered: Rendered, given: Callable[[int], None]
    ) -> None:
        self.watched = keeper
        self.known = known
        self._is_over = False
        self._rendered = rendered
        self._given = given

    def news(self, now: datetime) -> bytes:
        """The event that brings the reader up to date, or a comment; *now* by the wall clock."""
        try:
            answer = self.watched.current()
        except NotReady as error:
            return self._expired(error)
        return self._token(answer, now)

    @property
    def patience(self) -> timedelta:
        """For how long there is nothing to tell, as long as there is no other token."""
        if self._is_over:
            return HEARTBEAT
        return max(min(self.watched.status().expires_in, HEARTBEAT), _SECOND)

    def _token(self, answer: Answer, now: datetime) -> bytes:
        generation = answer.token.generation
        if generation < self.known or (generation == self.known and not self._is_over):
            return NOTHING
        self.known, self._is_over = generation, False
        self._given(generation)
        return event(b"token", self._rendered.json(self.watched, answer, now), generation)

    def _expired(self, error: NotReady) -> bytes:
        """It is told once, in the words that a GET would be answered with."""
        if self.watched.generation < self.known:
            return NOTHING
        is_told, self._is_over = self._is_over, True
        self.known = self.watched.generation
        if is_told:
            return NOTHING
        return event(b"expired", (problem(error).text or "").encode(), self.known)


def retry(pause: timedelta) -> bytes:
    """When the reader is to come back after the end of a stream."""
    return b"retry: %d\n" % (pause // timedelta(milliseconds=1))


def event(name: bytes, data: bytes, number: int) -> bytes:
    """*data* is one line; *number* is what the reader comes back with."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name, data)
