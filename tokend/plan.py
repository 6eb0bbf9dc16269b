"""When one key is next asked for and what for, after what has happened so far."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from tokend import policy
from tokend.errors import LeaseBusy, RefreshLimited, StoreError, UpstreamUnclear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from tokend.errors import TokendError
    from tokend.model import Token
    from tokend.policy import Pace


NEVER = datetime.max.replace(tzinfo=UTC)
LONG_AGO = datetime.min.replace(tzinfo=UTC)

# How many tries have failed by each clock, which its first wait names. Of most keys none have.
_UNTRIED: Mapping[timedelta, int] = MappingProxyType({})


class Purpose(Enum):
    """What a flight is for. Only REPLACE is asked for by others than the plan."""

    REFRESH = "refresh"
    CONFIRM = "confirm"
    RESTORE = "restore"
    REPLACE = "replace"


class Plan:
    """The due moment of the kept token, and the wait after failures, which grows with those of the
    same kind. Success alone resets that.
    """

    __slots__ = (
        "_confirm_at",
        "_draw",
        "_jitter",
        "_pace",
        "_restore_at",
        "_retry_at",
        "_tries",
        "due_at",
        "error",
        "failures",
        "same_answers",
    )

    def __init__(self, pace: Pace, now: datetime, draw: Callable[[], float]) -> None:
        self._pace = pace
        self._draw = draw
        self._jitter = draw()
        self._confirm_at = self._restore_at = NEVER
        self._retry_at = LONG_AGO
        self._tries = _UNTRIED
        self.due_at = now
        self.same_answers = 0
        self.failures = 0
        self.error: TokendError | None = None

    @property
    def next_at(self) -> datetime:
        """When there is next something to do."""
        return min(self.refresh_at, self._confirm_or_retry_at, self._restore_at)

    @property
    def refresh_at(self) -> datetime:
        """When the next scheduled refresh should happen."""
        return max(self.due_at, self._retry_at)

    def purpose(self, now: datetime) -> Purpose | None:
        """What there is to do now; of several things the one that matters most."""
        return next((purpose for purpose, at in self._times().items() if now >= at), None)

    def _times(self) -> dict[Purpose, datetime]:
        return {
            Purpose.REFRESH: self.refresh_at,
            Purpose.CONFIRM: self._confirm_or_retry_at,
            Purpose.RESTORE: self._restore_at,
        }

    @property
    def _confirm_or_retry_at(self) -> datetime:
        return max(self._confirm_at, self._retry_at)

    # What happened

    def kept(self, token: Token, now: datetime, *, same: bool) -> None:
        """WeChat, or another node by way of the store, gave this; the *same* value or a new one."""
        if not same:
            self._jitter, self.same_answers = self._draw(), 0
        elif self.due_at <= now:
            self.same_answers += 1
        self.due_at = (
            policy.again_at(token, self._pace, now, answers=self.same_answers)
            if self.same_answers
            else policy.due_at(token, self._pace, draw=self._jitter)
        )
        self.forgive()
        self._confirm_at = NEVER
        self.seen(token, now)

    def seen(self, token: Token, now: datetime) -> None:
        """Plan what a token needs beside its refresh. Doubt said twice puts nothing off."""
        confirm_at = policy.confirm_at(token, self._pace, now, draw=self._draw()) or NEVER
        self._confirm_at = min(confirm_at, self._confirm_at) if token.suspect else confirm_at
        self._restore_at = NEVER if token.stored else now

    def failed(
        self, purpose: Purpose, error: TokendError, token: Token | None, now: datetime
    ) -> None:
        """Plan the next try. What was not asked of WeChat, or not needed, is no failure."""
        if purpose is Purpose.RESTORE:
            self._restore_at = now + policy.RESTORE_PAUSE
        elif isinstance(error, RefreshLimited):
            if purpose is Purpose.CONFIRM:
                self._confirm_at = now + error.retry_after
            elif purpose is Purpose.REFRESH:
                self._retry_at, self.error = now + error.retry_after, error
        elif purpose is Purpose.CONFIRM and token and self._may_stay_unconfirmed(token, error):
            self.seen(token, now)
        else:
            self._retry(error, token, now)
        if purpose is Purpose.REPLACE and isinstance(error, UpstreamUnclear):
            self._confirm_at = now + self._pace.quarantine  # WeChat may have replaced it

    def change(self, pace: Pace, token: Token | None, now: datetime) -> None:
        """The configuration has changed: what was refused may be granted now. Whether it is, is
        found out at once where asking costs nothing.
        """
        had_failed = self.failures
        self._pace = pace
        self.forgive()
        if token is not None:
            self.due_at = policy.due_at(token, pace, draw=self._jitter)
            self.seen(token, now)
            if had_failed and pace.reconcile:
                self._confirm_at = now

    def _may_stay_unconfirmed(self, token: Token, error: TokendError) -> bool:
        """A good token that could not be compared stays good, unless WeChat meant what it said."""
        busy = isinstance(error, LeaseBusy)
        return not (busy or token.suspect or policy.forbids_reports(error))

    def _retry(self, error: TokendError, token: Token | None, now: datetime) -> None:
        """Wait by the clock of this class of error. That another node is at it is no failure."""
        remaining = token.remaining(now) if token else policy.NO_TIME
        row = policy.backoff(error, self._pace, remaining=remaining)
        tries = self._tries.get(row.first, 0) + 1
        self._retry_at = now + row.wait(tries, self._draw())
        if not isinstance(error, LeaseBusy):
            self._tries = {**self._tries, row.first: tries}
            self.failures, self.error = self.failures + 1, error

    def forgive(self) -> None:
        """What failed need not fail again."""
        self.failures, self.error, self._retry_at, self._tries = 0, None, LONG_AGO, _UNTRIED

    def store_is_back(self, now: datetime) -> None:
        """What failed for want of the store need not wait any longer than it takes those who have
        a token that the store has not to put it there.
        """
        if isinstance(self.error, StoreError):
            self.forgive()
            self._retry_at = now + policy.RESTORE_PATIENCE
        if self._restore_at is not NEVER:
            self._restore_at = now

    # What follows

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
