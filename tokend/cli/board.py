"""What ``tokend status --watch`` knows of each key, in tokend's own time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from tokend.cli import words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
_LIFE_SECONDS = 7200

# Whole seconds are told: what seems to be older by one need not be.
_ROUNDING_SECONDS = 1

# Time that passes so much faster than here is the simulator's.
_FLYING = 2

# What needs somebody comes first.
_GRAVITY = {"expired": 0, "missing": 0, "suspect": 2, "stale": 2}
_FAILING, _GOOD = 1, 3


@dataclass(slots=True)
class Key:
    """One row. Times are seconds since the epoch; *begun* is where the bar to *next_at* begins.
    *elsewhere* is the other node that refreshes it, or "".
    """

    name: str
    state: str
    as_of: float
    expires_at: float | None
    next_at: float
    begun: float
    refreshing: bool
    elsewhere: str
    failures: int
    errors: list[str]
    happened: str = ""
    happened_at: float = 0
    took: str = ""

    @property
    def gravity(self) -> int:
        """The less, the sooner somebody has to look."""
        gravity = _GRAVITY.get(self.state, _GOOD)
        return min(gravity, _FAILING) if self.failures or self.errors else gravity

    def progress(self, now: float) -> float:
        """Of the way to the next refresh, from 0 to 1."""
        way = self.next_at - self.begun
        return min(max((now - self.begun) / way, 0), 1) if way > 0 else 1


class Board:
    """The keys in one of *states*, or all if there are none; *notes* are about all of tokend."""

    def __init__(self, states: Collection[str] = ()) -> None:
        self.keys: dict[str, Key] = {}
        self.notes: list[str] = []
        self.time = Time()
        self._states = states

    def learn(self, status: dict[str, Any]) -> Key:
        """What ``/v1/apps`` or an event has told of a key, unless newer things are known."""
        key, old = _key(status), self.keys.get(words.name(status))
        if old:
            key.happened, key.happened_at, key.took = old.happened, old.happened_at, old.took
            if key.as_of < old.as_of - _ROUNDING_SECONDS:
                return old
            if abs(key.next_at - old.next_at) <= _ROUNDING_SECONDS:
                key.begun = old.begun
        self.keys[key.name] = key
        if self._states and key.state not in self._states:
            del self.keys[key.name]
        return key

    def page(self, page: dict[str, Any], at: float) -> list[str]:
        """A page of ``/v1/apps`` that came *at* a monotonic time: the names of its keys."""
        keys = [self.learn(status) for status in page["keys"]]
        if keys:
            self.time.heard(max(key.as_of for key in keys), at)
        self.notes = words.notes(page)
        return [key.name for key in keys]

    def happened(self, event: dict[str, Any]) -> None:
        """An event of ``/v1/events``."""
        key = self.learn(event["status"])
        key.happened_at = _epoch(event["at"])
        key.happened = words.plain(event["what"])
        key.took = f", took {event['took']:.2f} s" if event["took"] else ""

    def keep(self, names: Iterable[str]) -> None:
        """There are no other keys than these."""
        for gone in self.keys.keys() - set(names):
            del self.keys[gone]

    def first(self, number: int) -> list[Key]:
        """Those to show if there is room for so many."""
        return nsmallest(number, self.keys.values(), key=lambda key: (key.gravity, key.name))


class Time:
    """What time it is at tokend, between two times at which it was heard. In ``tokend demo`` it
    flies.
    """

    def __init__(self) -> None:
        self._heard: float = 0
        self._at: float = 0
        self._speed: float = 1

    def heard(self, shown: float, at: float) -> None:
        """It was *shown* there at the monotonic time *at* of ours."""
        there, here = shown - self._heard, at - self._at
        if self._heard and here > _ROUNDING_SECONDS:
            flies = there > _FLYING * (here + _ROUNDING_SECONDS)
            self._speed = there / here if flies else 1
        self._heard, self._at = shown, at

    def now(self, at: float) -> float:
        return self._heard + (at - self._at) * self._speed


def _key(status: dict[str, Any]) -> Key:
    """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for what tokend would not say."""
    next_at, is_kept = _epoch(status["next_refresh_at"]), status["expires_at"] is not None
    as_of = next_at - int(status["next_refresh_in"])
    expires_at = _epoch(status["expires_at"]) if is_kept else None
    failures = int(status["failures"])
    is_ahead = expires_at is not None and not failures
    return Key(
        name=words.name(status),
        state=words.plain(status["state"]),
        as_of=as_of,
        expires_at=expires_at,
        next_at=next_at,
        begun=min(expires_at - _LIFE_SECONDS, as_of) if expires_at and is_ahead else as_of,
        refreshing=bool(status["refreshing"]),
        elsewhere=words.elsewhere(status),
        failures=failures,
        errors=words.error_lines(status),
    )


def _epoch(shown: str) -> float:
    return datetime.fromisoformat(shown).timestamp()
