"""One key: its token is served from memory, and refreshed by one flight at a time.

Readers never wait for WeChat or the store while there is a usable token: during a refresh they
get the old one, which WeChat honours for five more minutes. A refresh that fails changes nothing
but the plan. Whoever wants a refresh (the schedule, a caller whose token was rejected, an
operator) joins the flight there is, or starts the one that everybody else will join.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from random import random
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend.budget import NOBODY, Purse
from tokend.errors import (
    LeaseBusy,
    RefreshLimited,
    TokendError,
    UpstreamRefused,
)
from tokend.flight import Flight
from tokend.kept import Kept
from tokend.model import Replaced, Status
from tokend.plan import Plan, Purpose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tokend.budget import Budget
    from tokend.clock import Clock
    from tokend.flight import Outcome, Spawn
    from tokend.model import Answer, Secret, Token, TokenKey
    from tokend.policy import Pace
    from tokend.refresher import Refresher
    from tokend.standing import Standing

log = structlog.get_logger()

Work: TypeAlias = "Callable[[], Awaitable[Token]]"

_WAITERS = 1000
_CHECK_PAUSE = timedelta(seconds=10)
_NO_TIME = timedelta(0)
_SECOND = timedelta(seconds=1)


class Keeper:
    """Keeps the token of one key.

    *spawn* starts a task and owns it; *on_plan* is told whenever ``next_at`` may have changed.
    """

    def __init__(
        self,
        key: TokenKey,
        refresher: Refresher,
        budget: Budget,
        *,
        pace: Pace,
        clock: Clock,
        spawn: Spawn,
        on_plan: Callable[[Keeper], None],
        draw: Callable[[], float] = random,
    ) -> None:
        self.key = key
        self._clock = clock
        self._spawn = spawn
        self._on_plan = on_plan
        self._checked_at = clock.now() - _CHECK_PAUSE
        self._plan = Plan(pace, clock.now(), draw)
        self._kept = Kept(key, self._plan, clock)
        self._budget = budget
        self._flight: Flight | None = None
        self._waiters = 0
        self._is_retired = False
        self._refresher = self._listening_to(refresher)

    # What is served

    def current(self) -> Answer:
        """The token to use now. Raises ``NotReady``."""
        return self._kept.answer()

    async def ready(self, patience: timedelta) -> Answer:
        """The token to use now; where there is none, what the refresh that is running brings."""
        missing = self._kept.usable() is None
        if missing and self._flight and self._waiters < _WAITERS:
            self._waiters += 1
            try:
                await self.settled(patience)
            finally:
                self._waiters -= 1
        return self.current()

    @property
    def standing(self) -> Standing:
        """Of the current token: over when anything about it changes, or a refresh begins."""
        return self._kept.standing

    def status(self) -> Status:
        return Status(
            key=self.key,
            state=self._kept.state(),
            token=self._kept.token,
            expires_in=self._kept.remaining(),
            refreshing=self._flight is not None,
            next_refresh_in=max(self._plan.refresh_at - self._clock.now(), _NO_TIME),
            failures=self._plan.failures,
            error=self._plan.error,
            record_trouble=self._refresher.record_trouble,
        )

    @property
    def generation(self) -> int:
        """Of the token there is, usable or not; 0 if there is none."""
        return self._kept.token.generation if self._kept.token else 0

    @property
    def watchers(self) -> dict[Callable[[], None], None]:
        """Called when there is another token, in the order in which they came; they never raise."""
        return self._kept.watchers

    # What is planned

    @property
    def next_at(self) -> datetime:
        """When ``refresh_if_due`` will next have something to do."""
        return self._plan.next_at

    def refresh_if_due(self) -> None:
        """Start what the plan wants done now, if nobody is at it."""
        purpose = self._plan.purpose(self._clock.now())
        if self._flight is None and purpose and not self._is_retired:
            self._launch(purpose, self._planned(purpose))

    def store_is_back(self) -> None:
        """Make up for what could not be done without it."""
        self._plan.store_is_back(self._clock.now())
        self._on_plan(self)

    def reconfigure(self, refresher: Refresher, pace: Pace) -> None:
        """Go by these from the next flight on; the one under way keeps what it began with."""
        refresher.saw(self._kept.token)
        self._refresher = self._listening_to(refresher)
        self._plan.change(pace, self._kept.token, self._clock.now())
        self._on_plan(self)

    def retire(self) -> None:
        """Plan nothing any more: the app is gone from the configuration."""
        self._is_retired = True

    # What others ask for

    async def refresh(self, *, rejected: Secret | int | None, by: str) -> Replaced:
        """Replace the token that WeChat *rejected*; None: the current one, whatever it is. *by* is
        who says so, and what that costs is on their share of the budget.

        A report of any other token than the current one asks WeChat nothing. Raises
        ``RefreshLimited``, ``NotReady``, ``UpstreamError``, ``StoreError``; the token stays then.
        """
        token = self._kept.usable()
        if token is None:
            return await self._replace_nothing(rejected, by)
        if rejected is not None and not token.is_reported(rejected):
            return Replaced(answer=self.current(), refreshed=False)
        while self._is_still(token):
            flight = self._flight or self._launch_request(token, rejected, by)
            await flight.landed()
        return Replaced(answer=self.current(), refreshed=True)

    async def report(self, rejected: Secret | int, patience: timedelta, *, by: str) -> None:
        """``refresh`` for those who take the current token if there is no other: past the guard
        rails it is compared with WeChat's, where that is free. Raises what ``refresh`` does, but
        ``RefreshLimited`` only if that has brought no other.
        """
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self.refresh(rejected=rejected, by=by)
        except RefreshLimited:
            generation = self.generation
            await self.check(patience)
            if self.generation == generation:
                raise
        except TimeoutError:
            return

    async def check(self, patience: timedelta) -> None:
        """Somebody may have met a rejection, and does not say so: compare the token with WeChat's,
        where that is free, and not too often. Never raises.
        """
        if self._flight is None and self.check_in() <= _NO_TIME:
            self._checked_at = self._clock.now()
            self._launch(Purpose.CONFIRM, self._planned(Purpose.CONFIRM))
        await self.settled(patience)

    def check_in(self) -> timedelta:
        """How long ``check`` will have nothing to do, if nothing happens."""
        if self._flight:
            return _NO_TIME
        if not self._is_checkable:
            return timedelta.max
        now = self._clock.now()
        return max(self._checked_at + _CHECK_PAUSE - now, self._plan.wait_for_report(now))

    @property
    def _is_checkable(self) -> bool:
        return self._kept.usable() is not None and self._refresher.is_free

    async def settled(self, patience: timedelta) -> None:
        """Return when no refresh is under way, or the *patience* is over."""
        if self._flight:
            await asyncio.wait([self._flight.task], timeout=patience.total_seconds())

    async def notice(self) -> bool:
        """The record may have changed, or be lost: take a newer token, plan to restore ours.

        Tell if somebody is refreshing it, so that it is worth another look if they die.
        """
        found, token = await self._refresher.look(), self._kept.token
        is_lost = found is None or (token is not None and found.is_older_than(token))
        if is_lost and self._kept.usable():
            self._kept.miss()
        elif found is not None and (token is None or is_lost or found.fence > token.fence):
            self._kept.adopt(found, asked=False)
        elif found is not None:
            self._kept.doubt(suspect=found.suspect)
        self._on_plan(self)
        return found is not None and found.refreshing

    async def _replace_nothing(self, rejected: Secret | int | None, by: str) -> Replaced:
        """Without a usable token a report adds nothing; an operator need not wait for the plan."""
        if rejected is not None:
            raise self._kept.not_ready()
        flight = self._flight or self._launch_request(None, rejected, by)
        await flight.landed()
        return Replaced(answer=self.current(), refreshed=True)

    # Flights

    def _listening_to(self, refresher: Refresher) -> Refresher:
        refresher.on_answer = self._publish
        return refresher

    def _publish(self, token: Token) -> None:
        self._kept.publish(token)
        self._on_plan(self)

    def _launch_request(
        self, condemned: Token | None, rejected: Secret | int | None, by: str
    ) -> Flight:
        now = self._clock.now()
        forced = rejected is None
        wait = self._plan.wait_for_force(now) if forced else self._plan.wait_for_report(now)
        if wait:
            raise RefreshLimited(f"{self.key}: {self._plan.error}", retry_after=wait)
        self._budget.check(by, by_operator=forced)
        purse = Purse(self._budget, by, by_operator=forced)
        if condemned is None:
            return self._launch(Purpose.REFRESH, self._refreshing(purse))
        return self._launch(Purpose.REPLACE, partial(self._refresher.replace, condemned, purse))

    def _planned(self, purpose: Purpose) -> Work:
        token = self._kept.token
        purse = Purse(self._budget, NOBODY)
        if token is None or purpose is Purpose.REFRESH:
            return self._refreshing(purse)
        if purpose is Purpose.RESTORE:
            return partial(self._refresher.restore, token)
        return partial(self._refresher.confirm, token, purse)

    def _refreshing(self, purse: Purse) -> Work:
        token = self._kept.token
        return partial(self._refresher.refresh, token, partial(self._is_due, token), purse)

    def _launch(self, purpose: Purpose, work: Work) -> Flight:
        self._kept.renew()
        self._flight = Flight(task=self._spawn(self._fly(purpose, work)))
        return self._flight

    async def _fly(self, purpose: Purpose, work: Work) -> Outcome:
        """Never raises: its task is awaited by nobody, or by many."""
        refresher = self._refresher
        try:
            token = await work()
        except TokendError as error:
            self._failed(purpose, error, refresher)
            return error
        except Exception:
            log.exception("refresh_crashed", key=str(self.key))
            crash = TokendError(f"{self.key}: the refresh crashed; the log has the traceback")
            self._failed(purpose, crash, refresher)
            return crash
        else:
            self._kept.adopt(token, asked=purpose is not Purpose.RESTORE)
            if purpose is Purpose.RESTORE:
                log.info("token_restored", key=str(self.key))
            return token
        finally:
            self._flight = None
            self._on_plan(self)

    def _is_due(self, known: Token | None, found: Token) -> bool:
        """Tell if *found* leaves the refresh to be done that was begun with *known*."""
        if known is not None and found.generation <= known.generation:
            return True
        return self._plan.is_due(found, self._clock.now())

    def _is_still(self, token: Token) -> bool:
        kept = self._kept.token
        return kept is None or kept.generation == token.generation

    def _failed(self, purpose: Purpose, error: TokendError, refresher: Refresher) -> None:
        """What went wrong by an old configuration, such as the old AppSecret, is not held against
        the new one.
        """
        now = self._clock.now()
        self._plan.failed(purpose, error, self._kept.token, now)
        if refresher is not self._refresher:
            self._plan.forgive(now)
        if isinstance(error, LeaseBusy | RefreshLimited) or purpose is Purpose.RESTORE:
            return
        log.warning(
            "refresh_failed",
            key=str(self.key),
            purpose=purpose.value,
            error=str(error),
            advice=error.advice if isinstance(error, UpstreamRefused) else None,
            rid=(error.rid or None) if isinstance(error, UpstreamRefused) else None,
            failures=self._plan.failures,
            next_refresh_in=_seconds(self._plan.refresh_at - now),
            expires_in=_seconds(self._kept.remaining()),
        )


def _seconds(duration: timedelta) -> int:
    return duration // _SECOND
