"""The last resort: more calls than anything planned could need, and WeChat is left alone."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from tokend.errors import BreakerOpen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.model import TokenKey

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


class Breakers:
    """That of the process, and one of each key that WeChat was lately asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_all = Breaker("tokend", process_limits(0), clock)
        self._of_keys: OrderedDict[TokenKey, Breaker] = OrderedDict()

    def expect(self, keys: int) -> None:
        """From now on calls for so many."""
        self._of_all.limit(process_limits(keys))

    def of(self, key: TokenKey) -> tuple[Breaker, ...]:
        """All that a call for *key* has to pass."""
        self._forget()
        breaker = self._of_keys.get(key) or Breaker(str(key), APP_LIMITS, self._clock)
        self._of_keys[key] = breaker
        self._of_keys.move_to_end(key)
        return (breaker, self._of_all)

    def _forget(self) -> None:
        """Those that would admit whatever comes, of the two that were longest not asked for: so
        there are never many more than were asked for within the hour.
        """
        for key, breaker in tuple(islice(self._of_keys.items(), 2)):
            if breaker.is_idle():
                del self._of_keys[key]


class Breaker:
    """Opens for five minutes when more than *limits* calls come within a time. That is a bug, or
    somebody's loop: it is told as an error, because no schedule gets there.
    """

    __slots__ = ("_calls", "_clock", "_limits", "_name", "_open_until")

    def __init__(self, name: str, limits: Mapping[timedelta, int], clock: Clock) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._calls: list[datetime] = []
        self._open_until = clock.now()

    def limit(self, limits: Mapping[timedelta, int]) -> None:
        """From now on these."""
        self._limits = limits

    def is_idle(self) -> bool:
        """Tell if it is as if no call had ever come."""
        now = self._clock.now()
        self._forget(now)
        return not self._calls and now >= self._open_until

    def take_back(self) -> None:
        """The call that was admitted last never got to WeChat."""
        if self._calls:
            self._calls.pop()

    def admit(self) -> None:
        """Called before each call to WeChat. Raises ``BreakerOpen``."""
        now = self._clock.now()
        self._forget(now)
        if now >= self._open_until and self._is_exceeded(now):
            self._open_until = now + _REST
            log.error("breaker_open", breaker=self._name, rest_seconds=_REST.seconds)
        if now < self._open_until:
            raise BreakerOpen(
                f"{self._name}: too many calls to WeChat, none for "
                f"{(self._open_until - now).seconds} s; see the log for what asks so often"
            )
        self._calls.append(now)

    def _is_exceeded(self, now: datetime) -> bool:
        return any(
            len(self._calls) >= most and self._calls[-most] > now - within
            for within, most in self._limits.items()
        )

    def _forget(self, now: datetime) -> None:
        """Calls that no limit is about any more."""
        del self._calls[: bisect_right(self._calls, now - max(self._limits))]
