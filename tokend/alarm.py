"""Tells of a record that somebody has altered: loudly, and not again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.errors import RecordUnreadable
    from tokend.model import TokenKey

log = structlog.get_logger()

# Whoever alters a record all the time does not fill the log with it.
_PAUSE = timedelta(seconds=10)


class Alarm:
    """Of one key. *trouble* is what is wrong with its record, until a good one is seen there."""

    def __init__(self, key: TokenKey, clock: Clock) -> None:
        self.trouble: str | None = None
        self._key = key
        self._clock = clock
        self._told: tuple[str, str] | None = None
        self._told_at = clock.elapsed() - _PAUSE

    def ring(self, error: RecordUnreadable) -> None:
        """Each change of it is told once."""
        self.trouble = str(error)
        found = (self.trouble, error.found)
        now = self._clock.elapsed()
        if found != self._told and now - self._told_at >= _PAUSE:
            self._told, self._told_at = found, now
            log.error(
                "record_unreadable", key=str(self._key), error=self.trouble, found=error.found
            )

    def end(self) -> None:
        """A good one is there."""
        if self.trouble:
            log.info("record_readable", key=str(self._key))
        self.trouble = self._told = None
