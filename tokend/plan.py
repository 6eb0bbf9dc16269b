"""When one key is refreshed next, after what has happened so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend import policy
from tokend.errors import LeaseBusy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from tokend.errors import TokendError
    from tokend.model import Token
    from tokend.policy import Pace


class Plan:
    """The due moment of the kept token, and the wait after failures. Success alone resets that."""

    def __init__(self, pace: Pace, now: datetime, draw: Callable[[], float]) -> None:
        self._pace = pace
        self._draw = draw
        self._retry_at = now
        self.due_at = now
        self.failures = 0
        self.error: TokendError | None = None

    @property
    def next_at(self) -> datetime:
        """When the next scheduled refresh should happen."""
        return max(self.due_at, self._retry_at)

    def kept_new(self, token: Token, now: datetime) -> None:
        self.due_at = policy.due_at(token, self._pace, draw=self._draw())
        self._succeeded(now)

    def kept_same(self, token: Token, now: datetime) -> None:
        self.due_at = policy.again_at(token, self._pace, now)
        self._succeeded(now)

    def failed(self, error: TokendError, *, remaining: timedelta, now: datetime) -> None:
        """Wait by the clock of this class of error. That another node is at it is no failure."""
        row = policy.backoff(error, self._pace, remaining=remaining)
        failures = self.failures + 1
        self._retry_at = now + row.wait(failures, self._draw())
        if not isinstance(error, LeaseBusy):
            self.failures, self.error = failures, error

    def is_due(self, found: Token, now: datetime) -> bool:
        """Tell if a token that the store turned out to have leaves a refresh to be done."""
        return now >= policy.due_at(found, self._pace, draw=0)

    def usable_for(self, token: Token, now: datetime) -> timedelta:
        return policy.usable_until(token, self._pace, now) - now

    def wait_for_report(self, now: datetime) -> timedelta:
        """How long a caller's report must wait because of what WeChat said last."""
        return self._wait(now, forbidden=policy.forbids_reports(self.error))

    def wait_for_force(self, now: datetime) -> timedelta:
        """The same for an operator."""
        return self._wait(now, forbidden=policy.forbids_force(self.error))

    def _wait(self, now: datetime, *, forbidden: bool) -> timedelta:
        wait = self._retry_at - now
        return wait if forbidden and wait > policy.NO_TIME else policy.NO_TIME

    def _succeeded(self, now: datetime) -> None:
        self.failures, self.error, self._retry_at = 0, None, now
