"""The guard rails: how often callers and operators may make tokend ask WeChat for a new token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.errors import RefreshLimited
from tokend.policy import REQUEST_PAUSE

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.model import TokenKey


class Budget:
    """One costly call in ``REQUEST_PAUSE``; what the schedule does is not counted."""

    def __init__(self, key: TokenKey, now: datetime) -> None:
        self._key = key
        self._free_at = now
        self._refused_until = now

    def check(self, now: datetime) -> None:
        """Refuse at once what ``spend`` has refused, so that a loop of reports asks nobody."""
        if now < self._refused_until:
            raise self._limited(now)

    def spend(self, now: datetime) -> None:
        """Called when nothing but a costly call is left. Raises ``RefreshLimited``."""
        if now < self._free_at:
            self._refused_until = self._free_at
            raise self._limited(now)
        self._free_at = now + REQUEST_PAUSE

    def _limited(self, now: datetime) -> RefreshLimited:
        pause = REQUEST_PAUSE.seconds
        return RefreshLimited(
            f"{self._key}: a new token was asked for less than {pause} s ago",
            retry_after=self._refused_until - now,
        )
