"""How often costly calls may be made that nothing planned. Pure; times are microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1) // _MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """At least *pause* apart, at most *daily* in 24 hours."""

    pause: timedelta
    daily: int

    def spend(self, spent: tuple[int, ...], now: int) -> tuple[tuple[int, ...], int]:
        """What counts as spent after this, and how long to wait; 0: granted, and counted.

        The clock may have been set back since: what lies in the future is taken for just now.
        """
        recent = tuple(min(at, now) for at in spent if now - at < DAY)
        wait = recent[-1] + self.pause // _MICROSECOND - now if recent else 0
        if len(recent) >= self.daily:
            wait = max(wait, recent[-self.daily] + DAY - now)
        return (recent, wait) if wait > 0 else ((*recent, now), 0)
