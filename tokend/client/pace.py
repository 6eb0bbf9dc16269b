"""When to ask tokend next: at once, or after pauses that double. By the time handed in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokend.client.token import Instant

LONGEST_PAUSE = 5.0
_FIRST_PAUSE = 0.1
_MOST_DOUBLINGS = 10

# Whatever tokend answers: a hundred requests in a minute, a fifth of them at once.
_BETWEEN = 0.75
_AT_ONCE = 20


class Pace:
    def __init__(self) -> None:
        self._failures = 0
        self._ask_at: Instant = -math.inf
        self._spread_to: Instant = -math.inf

    def pause(self, now: Instant) -> float:
        """Seconds until the next request."""
        return max(self._ask_at - now, 0.0)

    def go_on(self, now: Instant) -> None:
        """The next one at once."""
        self._ask_after(0.0, now)

    def slow_down(self, now: Instant, draw: float, *, at_least: float) -> None:
        """The next one after a pause, longer than the one before."""
        self._failures += 1
        self._ask_after(max(backoff(self._failures, draw), at_least), now)

    def forgive(self) -> None:
        """The next pause is the shortest again."""
        self._failures = 0

    def _ask_after(self, pause: float, now: Instant) -> None:
        self._spread_to = max(self._spread_to, now - _AT_ONCE * _BETWEEN) + _BETWEEN
        self._ask_at = max(now + pause, self._spread_to)


def backoff(failures: int, draw: float) -> float:
    """Seconds, doubling, between half and all of it by *draw* (0 to 1)."""
    doubled = _FIRST_PAUSE * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
    return float(min(doubled, LONGEST_PAUSE) * (0.5 + draw / 2))
