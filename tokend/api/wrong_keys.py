"""How often keys that nobody knows come from one source."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.errors import TooManyWrongKeys

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.clock import Clock

_MINUTE = timedelta(minutes=1)
_A_MINUTE = 30

# Of so many sources at once; beyond that the one that was quiet the longest is forgotten.
_MOST = 10_000


class WrongKeys:
    """A bucket for each source, of thirty wrong keys, filled by one each two seconds.

    Only wrong keys are counted, and a good one is never asked how many there were: programs that
    share an address with one that is misconfigured do not notice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at: dict[str, datetime] = {}

    def count(self, source: str) -> None:
        """Raises ``TooManyWrongKeys`` where there have been too many before this one."""
        now = self._clock.now()
        before = max(self._full_at.pop(source, now), now)
        after = before + _MINUTE / _A_MINUTE
        wait = after - (now + _MINUTE)
        is_empty = wait > timedelta(0)
        self._full_at[source] = before if is_empty else after
        if len(self._full_at) > _MOST:
            del self._full_at[next(iter(self._full_at))]
        if is_empty:
            raise TooManyWrongKeys(
                f"more than {_A_MINUTE} wrong client keys a minute come from {source}",
                retry_after=wait,
            )
