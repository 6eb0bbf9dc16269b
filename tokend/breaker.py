"""The last resort: more calls than anything planned could need, and WeChat is left alone."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tokend.errors import BreakerOpen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokend.clock import Clock

log = structlog.get_logger()

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_REST = timedelta(minutes=5)

# The fastest that anything planned gets is one call in 5 s, for a minute.
APP_LIMITS = {_MINUTE: 20, _HOUR: 600}


def process_limits(keys: int) -> dict[timedelta, int]:
    """Keys that were got together are due together; while WeChat fails, each is tried up to eight
    times a minute.
    """
    return {_MINUTE: max(100, 12 * keys)}


class Breaker:
    """Opens for five minutes when more than *limits* calls come within a time. That is a bug, or
    somebody's loop: it is told as an error, because no schedule gets there.
    """

    def __init__(self, name: str, limits: Mapping[timedelta, int], clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._calls: dict[timedelta, deque[datetime]] = {}
        self._open_until = clock.now()
        self.limit(limits)

    def limit(self, limits: Mapping[timedelta, int]) -> None:
        """From now on these."""
        self._calls = {
            within: deque(self._calls.get(within, ()), maxlen=most)
            for within, most in limits.items()
        }

    def take_back(self) -> None:
        """The call that was admitted last never got to WeChat."""
        for calls in self._calls.values():
            if calls:
                calls.pop()

    def admit(self) -> None:
        """Called before each call to WeChat. Raises ``BreakerOpen``."""
        now = self._clock.now()
        if now >= self._open_until and self._is_exceeded(now):
            self._open_until = now + _REST
            log.error("breaker_open", breaker=self._name, rest_seconds=_REST.seconds)
        if now < self._open_until:
            raise BreakerOpen(
                f"{self._name}: too many calls to WeChat, none for "
                f"{(self._open_until - now).seconds} s; see the log for what asks so often"
            )
        for calls in self._calls.values():
            calls.append(now)

    def _is_exceeded(self, now: datetime) -> bool:
        return any(
            len(calls) == calls.maxlen and calls[0] > now - within
            for within, calls in self._calls.items()
        )
