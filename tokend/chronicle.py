"""What happened to the keys, for those who watch: how refreshes ended, and what else changed. Never
a value.

Of all there is a number that grows, also from one process to the next, so that whoever was away can
ask for what came since.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from typing import TYPE_CHECKING

from tokend.happening import Happening, What
from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.model import Status, TokenKey

# An hour of a thousand accounts in steady state, at some 500 bytes each.
_MOST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, *at* a time of the wall clock, and how the key was afterwards."""

    number: int
    at: datetime
    happening: Happening
    status: Status


class _Trouble(Enum):
    FAILING = auto()
    EXPIRED = auto()


class Chronicle:
    """The last events, of which *last* is the number of the newest. *listeners* hear of each at
    once, and never raise.
    """

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=most)
        self._troubles: dict[TokenKey, _Trouble] = {}
        self.listeners: list[Callable[[Event], None]] = []
        # Microseconds, of which there are more than events: a later process goes on above them.
        self._first = self.last = int(clock.wall().timestamp() * 1_000_000)

    def add(self, keeper: Keeper, happening: Happening) -> None:
        """This happened to *keeper*, and what follows from it."""
        status = keeper.status()
        self._add(status, happening)
        self.look(status)

    def look(self, status: Status) -> None:
        """A key is like this now: time alone may have brought about something."""
        trouble, before = _trouble(status), self._troubles.get(status.key)
        if trouble is before:
            return
        if trouble is None:
            del self._troubles[status.key]
            self._add(status, Happening(what=What.RECOVERED))
            return
        self._troubles[status.key] = trouble
        if trouble is _Trouble.EXPIRED:
            self._add(status, Happening(what=What.EXPIRED, error=status.error))

    def forget(self, keeper: Keeper) -> None:
        """Nobody keeps this key any more."""
        self._troubles.pop(keeper.key, None)

    def since(self, number: int) -> list[Event] | None:
        """All that came after that one, in order; None where some of it is not known any more, or
        never was.
        """
        is_known = self._first <= number <= self.last
        if not is_known:
            return None
        return list(takewhile(lambda event: event.number > number, reversed(self._events)))[::-1]

    def of(self, keys: Collection[TokenKey]) -> dict[TokenKey, list[Event]]:
        """What is known of each of *keys*, the newest first."""
        found: dict[TokenKey, list[Event]] = {key: [] for key in keys}
        for event in reversed(self._events):
            if event.status.key in found:
                found[event.status.key].append(event)
        return found

    def _add(self, status: Status, happening: Happening) -> None:
        if len(self._events) == self._events.maxlen:
            self._first = self._events[0].number
        self.last += 1
        event = Event(number=self.last, at=self._clock.wall(), happening=happening, status=status)
        self._events.append(event)
        for listener in self.listeners:
            listener(event)


def _trouble(status: Status) -> _Trouble | None:
    """A key that nobody has got a token for yet is in none before that has failed."""
    is_there = status.state not in {State.EXPIRED, State.MISSING}
    if status.state is State.EXPIRED or (status.failures and not is_there):
        return _Trouble.EXPIRED
    return _Trouble.FAILING if status.failures else None
