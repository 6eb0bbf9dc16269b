"""One key: its token is served from memory, and refreshed by one flight at a time.

Readers never wait for WeChat or the store while there is a usable token: during a refresh they
get the old one, which WeChat honours for five more minutes. A refresh that fails changes nothing
but the plan. Whoever wants a refresh (the schedule, a caller whose token was rejected, an
operator) joins the flight there is, or starts the one that everybody else will join.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import random
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend.budget import Purse
from tokend.errors import (
    LeaseBusy,
    RefreshLimited,
    TokendError,
)
from tokend.flight import Flight
from tokend.happening import noticed, refreshed
from tokend.kept import Kept
from tokend.leases import this_node
from tokend.model import Replaced, Status
from tokend.plan import LONG_AGO, NEVER, Plan, Purpose
from tokend.policy import NO_TIME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tokend.budget import Budgets
    from tokend.clock import Clock
    from tokend.flight import Outcome, Spawn
    from tokend.happening import Happening
    from tokend.model import Answer, Found, Secret, State, Token, TokenKey
    from tokend.policy import Pace
    from tokend.refresher import Refresher
    from tokend.standing import Standing

log = structlog.get_logger()

Work: TypeAlias = "Callable[[], Awaitable[Token]]"

_WAITERS = 1000
_CHECK_PAUSE = timedelta(seconds=10)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What is the same for all keepers, and so is there once.

    *spawn* starts a task and owns it. *on_plan* hears of a keeper whose ``next_at`` has changed, or
    that has become more urgent; *on_token* of one that has another token than before, and the one
    before; *on_event* of everything that happens to one.
    """

    budgets: Budgets
    clock: Clock
    spawn: Spawn
    on_plan: Callable[[Keeper], None]
    on_token: Callable[[Keeper, Token | None], None] = lambda _, __: None
    on_event: Callable[[Keeper, Happening], None] = lambda _, __: None
    draw: Callable[[], float] = random


class Keeper:
    """Keeps the token of one key."""

    __slots__ = (
        "__weakref__",
        "_checked_at",
        "_duties",
        "_flight",
        "_is_retired",
        "_kept",
        "_landing",
        "_plan",
        "_refresher",
        "_told",
        "_waiters",
        "key",
    )

    def __init__(self, key: TokenKey, refresher: Refresher, *, pace: Pace, duties: Duties) -> None:
        self.key = key
        self._duties = duties
        self._checked_at = LONG_AGO
        self._plan = Plan(pace, duties.clock.now(), duties.draw)
        self._kept = Kept(key, self._plan, duties.clock)
        self._flight: Flight[Token] | None = None
        self._landing: asyncio.Event | None = None
        self._waiters = 0
        self._told: datetime | None = None
        self._is_retired = False
        self._refresher = self._listening_to(refresher)

    # What is served

    def current(self) -> Answer:
        """The token to use now. Raises ``NotReady``."""
        return self._kept.answer()

    async def ready(self, patience: timedelta) -> Answer:
        """The token to use now; where there is none, what the refresh brings that is running, or
        waits for its turn: it comes first then.
        """
        now = self._duties.clock.now()
        if self._kept.usable(now) is None and self._is_coming(now) and self._waiters < _WAITERS:
            self._waiters += 1
            try:
                if not self._flight:
                    self._duties.on_plan(self)
                await self._landed(patience)
            finally:
                self._waiters -= 1
        return self.current()

    def _is_coming(self, now: datetime) -> bool:
        is_due = self._plan.purpose(now) is not None and not self._is_retired
        return self._flight is not None or is_due

    async def _landed(self, patience: timedelta) -> None:
        """Return once the refresh has ended that is running, and the token been saved; or another
        node's has come meanwhile, or the *patience* is over.
        """
        self._landing = self._landing or asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._landing.wait(), patience.total_seconds())

    def _land(self) -> None:
        if self._landing:
            self._landing.set()
            self._landing = None

    @property
    def standing(self) -> Standing:
        """Of the current token: over when anything about it changes, or a refresh begins."""
        return self._kept.standing

    def state(self, now: datetime) -> State:
        return self._kept.state(now)

    def status(self) -> Status:
        now = self._duties.clock.now()
        return Status(
            key=self.key,
            state=self._kept.state(now),
            token=self._kept.token,
            expires_in=self._kept.remaining(now),
            refreshing=self._flight is not None,
            refreshing_elsewhere=self._refreshing_elsewhere(),
            next_refresh_in=max(self._plan.refresh_at - now, NO_TIME),
            failures=self._plan.failures,
            error=self._plan.error,
            record_trouble=self._refresher.record_trouble,
        )

    def _refreshing_elsewhere(self) -> str:
        """As the store has told; a flight of this node waits for it meanwhile."""
        node = self._kept.token.refreshing_on if self._kept.token else ""
        return node if node and node != this_node() else ""

    @property
    def spent(self) -> int:
        """How many of this day's new tokens on request this node has asked for."""
        return self._duties.budgets.spent(self.key)

    @property
    def token(self) -> Token | None:
        """What there is, usable or not."""
        return self._kept.token

    @property
    def calls(self) -> int:
        """How many WeChat may have heard, since the app was configured as it is."""
        return self._refresher.calls

    @property
    def endpoint(self) -> str:
        """Where these go."""
        return self._refresher.endpoint

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

    @property
    def urgency(self) -> tuple[int, datetime]:
        """Of several that are due the least comes first: what readers wait for; tokens that are to
        be replaced, by their ends; what nobody has asked for yet; and last what is compared, or put
        back, for good measure.
        """
        now = self._duties.clock.now()
        token = self._kept.usable(now)
        if token is None:
            return (0 if self._waiters else 2, NEVER)
        is_replaced = token.suspect or self._plan.purpose(now) is Purpose.REFRESH
        return (1 if is_replaced else 3, token.expires_at)

    def refresh_if_due(self) -> Flight[Token] | None:
        """Start what the plan wants done now, if nobody is at it."""
        purpose = self._plan.purpose(self._duties.clock.now())
        if purpose is None or self._is_retired:
            return None
        self._told = None
        return None if self._flight else self._launch(purpose, self._planned(purpose))

    def store_is_back(self) -> None:
        """Make up for what could not be done without it."""
        self._plan.store_is_back(self._duties.clock.now())
        self._tell_plan()

    def reconfigure(self, refresher: Refresher, pace: Pace) -> None:
        """Go by these from the next flight on; the one under way keeps what it began with."""
        refresher.saw(self._kept.token)
        self._refresher = self._listening_to(refresher)
        self._plan.change(pace, self._kept.token, self._duties.clock.now())
        self._tell_plan()

    def retire(self) -> None:
        """Plan and tell nothing any more: the app is gone from the configuration. A refresh under
        way ends as it began.
        """
        self._is_retired = True
        self._duties = replace(
            self._duties,
            on_plan=lambda _: None,
            on_token=lambda _, __: None,
            on_event=lambda _, __: None,
        )

    # What others ask for

    async def refresh(self, *, rejected: Secret | int | None, by: str) -> Replaced:
        """Replace the token that WeChat *rejected*; None: the current one, whatever it is. *by* is
        who says so, and what that costs is on their share of the budget.

        A report of any other token than the current one asks WeChat nothing. Raises
        ``RefreshLimited``, ``NotReady``, ``UpstreamError``, ``StoreError``; the token stays then.
        """
        token = self._kept.usable(self._duties.clock.now())
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
        if self._flight is None and self.check_in() <= NO_TIME:
            self._checked_at = self._duties.clock.now()
            self._launch(Purpose.CONFIRM, self._planned(Purpose.CONFIRM))
        await self.settled(patience)

    def check_in(self) -> timedelta:
        """How long ``check`` will have nothing to do, if nothing happens."""
        now = self._duties.clock.now()
        if self._flight:
            return NO_TIME
        if self._kept.usable(now) is None or not self._refresher.is_free:
            return timedelta.max
        return max(self._checked_at + _CHECK_PAUSE - now, self._plan.wait_for_report(now))

    async def settled(self, patience: timedelta) -> None:
        """Return when no refresh is under way, or the *patience* is over."""
        if self._flight:
            await self._landed(patience)

    def notice(self, given: Found) -> bool:
        """This is in the store now: take a newer token, plan to restore ours where it is lost.

        Tell if somebody is refreshing it, so that it is worth another look if they die. Raises
        ``StoreError`` if that is what was *given*.
        """
        found, token = self._refresher.judge(given), self._kept.token
        is_lost = found is None or (token is not None and found.is_older_than(token))
        if is_lost and self._kept.usable(self._duties.clock.now()):
            self._kept.miss()
        elif found is not None and (token is None or is_lost or found.fence > token.fence):
            self._kept.adopt(found, asked=False)
        elif found is not None:
            self._kept.doubt(suspect=found.suspect)
        node = found.refreshing_on if found else ""
        self._kept.leased_to(node)
        self._tell(token)
        if token and self._kept.token and (happening := noticed(token, self._kept.token)):
            self._duties.on_event(self, happening)
        return bool(node)

    async def _replace_nothing(self, rejected: Secret | int | None, by: str) -> Replaced:
        """Without a usable token a report adds nothing; an operator need not wait for the plan."""
        if rejected is not None:
            raise self._kept.not_ready()
        flight = self._flight or self._launch_request(None, rejected, by)
        await flight.landed()
        return Replaced(answer=self.current(), refreshed=True)

    # Flights

    def _listening_to(self, refresher: Refresher) -> Refresher:
        refresher.listener = self
        return refresher

    def answered(self, token: Token) -> None:
        """WeChat gave this, which is not saved yet."""
        before = self._kept.token
        self._kept.publish(token)
        self._tell(before)

    def _tell(self, before: Token | None) -> None:
        """What may have changed since the token was that."""
        token = self._kept.token
        if token is not None and (before is None or before.value != token.value):
            self._duties.on_token(self, before)
            if self._flight is None:
                self._land()
        self._tell_plan()

    def _tell_plan(self) -> None:
        """A refresh under way tells when it has ended."""
        if self._flight:
            return
        next_at = self.next_at
        if self._told != next_at:
            self._told = next_at
            self._duties.on_plan(self)

    def _launch_request(
        self, condemned: Token | None, rejected: Secret | int | None, by: str
    ) -> Flight[Token]:
        now = self._duties.clock.now()
        forced = rejected is None
        wait = self._plan.wait_for_force(now) if forced else self._plan.wait_for_report(now)
        if wait:
            raise RefreshLimited(f"{self.key}: {self._plan.error}", retry_after=wait)
        budgets = self._duties.budgets
        budgets.of(self.key).check(by, by_operator=forced)
        purse = Purse(budgets, self.key, by, by_operator=forced)
        if condemned is None:
            return self._launch(Purpose.REFRESH, self._refreshing(purse))
        return self._launch(Purpose.REPLACE, partial(self._refresher.replace, condemned, purse))

    def _planned(self, purpose: Purpose) -> Work:
        token = self._kept.token
        purse = Purse(self._duties.budgets, self.key)
        if token is None or purpose is Purpose.REFRESH:
            return self._refreshing(purse)
        if purpose is Purpose.RESTORE:
            return partial(self._refresher.restore, token)
        return partial(self._refresher.confirm, token, purse)

    def _refreshing(self, purse: Purse) -> Work:
        token = self._kept.token
        return partial(self._refresher.refresh, token, partial(self._is_due, token), purse)

    def _launch(self, purpose: Purpose, work: Work) -> Flight[Token]:
        self._kept.renew()
        self._flight = Flight(task=self._duties.spawn(self._fly(purpose, work)))
        return self._flight

    async def _fly(self, purpose: Purpose, work: Work) -> Outcome:
        """Never raises: its task is awaited by nobody, or by many."""
        refresher, before, began = self._refresher, self._kept.token, self._duties.clock.elapsed()
        try:
            outcome = await self._outcome(work)
            if isinstance(outcome, TokendError):
                self._failed(purpose, outcome, refresher)
            else:
                self._adopt(outcome, asked=purpose is not Purpose.RESTORE)
        finally:
            self._flight = None
            self._tell_plan()
            self._land()
        took = self._duties.clock.elapsed() - began
        self._duties.on_event(self, refreshed(purpose, before, outcome, took))
        return outcome

    async def _outcome(self, work: Work) -> Outcome:
        try:
            return await work()
        except TokendError as error:
            return error.anew()
        except Exception:
            log.exception("refresh_crashed", key=str(self.key))
            return TokendError(f"{self.key}: the refresh crashed; the log has the traceback")

    def _adopt(self, token: Token, *, asked: bool) -> None:
        before = self._kept.token
        self._kept.adopt(token, asked=asked)
        self._tell(before)

    def _is_due(self, known: Token | None, found: Token) -> bool:
        """Tell if *found* leaves the refresh to be done that was begun with *known*."""
        if known is not None and found.generation <= known.generation:
            return True
        return self._plan.is_due(found, self._duties.clock.now())

    def _is_still(self, token: Token) -> bool:
        kept = self._kept.token
        return kept is None or kept.generation == token.generation

    def _failed(self, purpose: Purpose, error: TokendError, refresher: Refresher) -> None:
        """What went wrong by an old configuration, such as the old AppSecret, is not held against
        the new one.
        """
        now = self._duties.clock.now()
        self._plan.failed(purpose, error, self._kept.token, now)
        if refresher is not self._refresher:
            self._plan.forgive()
        if isinstance(error, LeaseBusy | RefreshLimited) or purpose is Purpose.RESTORE:
            return
        log.warning(
            "refresh_failed",
            key=str(self.key),
            purpose=purpose.value,
            **error.logged(),
            failures=self._plan.failures,
            next_refresh_in=_seconds(self._plan.refresh_at - now),
            expires_in=_seconds(self._kept.remaining(now)),
        )


def _seconds(duration: timedelta) -> int:
    return duration // _SECOND
