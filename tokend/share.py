"""What one caller may have of a budget that is for all."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)

# Callers are clients, which are configured, and users of the socket: this is for good measure.
_MOST = 1000


class Shares:
    """At most so many within each of *limits*, for each caller by its name; in memory."""

    def __init__(self, limits: Mapping[timedelta, int]) -> None:
        self._limits = limits
        self._taken: dict[str, deque[datetime]] = {}

    def __str__(self) -> str:
        return " and ".join(f"{most} in {_spoken(within)}" for within, most in self._limits.items())

    def free_at(self, caller: str, now: datetime) -> datetime:
        """When there is something left for *caller*; *now*, if there is."""
        taken = self._taken.get(caller, ())
        ends = [
            taken[-most] + within for within, most in self._limits.items() if len(taken) >= most
        ]
        return max([now, *ends])

    def take(self, caller: str, now: datetime) -> None:
        taken = self._taken.pop(caller, deque(maxlen=max(self._limits.values())))
        taken.append(now)
        self._taken[caller] = taken
        if len(self._taken) > _MOST:
            del self._taken[next(iter(self._taken))]

    def give_back(self, caller: str) -> None:
        """What was taken last."""
        self._taken[caller].pop()


def _spoken(within: timedelta) -> str:
    if within < _HOUR:
        return f"{within // _MINUTE} minutes"
    return f"{within // _HOUR} hours"
