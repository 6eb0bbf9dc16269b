"""One key: its token is served from memory, and refreshed by one flight at a time.

Readers never wait for WeChat or the store while there is a usable token: during a refresh they
get the old one, which WeChat honours for five more minutes. A refresh that fails changes nothing
but the plan. Whoever wants a refresh (the schedule, a caller whose token was rejected, an
operator) joins the flight there is, or starts the one that everybody else will join.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend.budget import Budget
from tokend.errors import LeaseBusy, NotReady, RefreshLimited, TokendError, UpstreamRefused
from tokend.model import Answer, Replaced, State, Status
from tokend.plan import Plan

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.model import Secret, Token, TokenKey
    from tokend.policy import Pace
    from tokend.refresher import Refresher

log = structlog.get_logger()

Outcome: TypeAlias = "Token | TokendError"
Spawn: TypeAlias = Callable[[Coroutine[None, None, Outcome]], "asyncio.Task[Outcome]"]

_WAITERS = 1000
_NO_TIME = timedelta(0)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flight:
    """A refresh under way."""

    task: asyncio.Task[Outcome]

    async def landed(self) -> Token:
        """Its token, or raise its error. A caller who leaves does not end the flight."""
        outcome = await asyncio.shield(self.task)
        if isinstance(outcome, TokendError):
            raise outcome
        return outcome


class Keeper:
    """Keeps the token of one key.

    *spawn* starts a task and owns it; *on_plan* is told whenever ``next_refresh_at`` has changed.
    """

    def __init__(
        self,
        key: TokenKey,
        refresher: Refresher,
        *,
        pace: Pace,
        clock: Clock,
        spawn: Spawn,
        on_plan: Callable[[Keeper], None],
        draw: Callable[[], float] = random,
    ) -> None:
        self.key = key
        self._refresher = refresher
        self._clock = clock
        self._spawn = spawn
        self._on_plan = on_plan
        self._token: Token | None = None
        self._plan = Plan(pace, clock.now(), draw)
        self._budget = Budget(key, clock.now())
        self._flight: _Flight | None = None
        self._changed = asyncio.Event()
        self._waiters = 0

    # What is served

    def current(self) -> Answer:
        """The token to use now. Raises ``NotReady``."""
        now = self._clock.now()
        token = self._usable(now)
        if token is None:
            raise self._not_ready(now)
        return Answer(
            token=token, state=self._state(now), expires_in=self._plan.usable_for(token, now)
        )

    async def ready(self, patience: timedelta) -> Answer:
        """The token to use now; where there is none, what the refresh that is running brings."""
        missing = self._usable(self._clock.now()) is None
        if missing and self._flight and self._waiters < _WAITERS:
            self._waiters += 1
            try:
                await asyncio.wait([self._flight.task], timeout=patience.total_seconds())
            finally:
                self._waiters -= 1
        return self.current()

    async def newer(self, after: int, patience: timedelta) -> Answer | None:
        """A token of a generation greater than *after*; None if none comes in time."""
        try:
            async with asyncio.timeout(patience.total_seconds()):
                while self._token is None or self._token.generation <= after:
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self.current()

    def status(self) -> Status:
        now = self._clock.now()
        return Status(
            key=self.key,
            state=self._state(now),
            token=self._token,
            expires_in=self._remaining(now),
            refreshing=self._flight is not None,
            next_refresh_in=max(self.next_refresh_at - now, _NO_TIME),
            failures=self._plan.failures,
            error=self._plan.error,
        )

    # What is planned

    @property
    def next_refresh_at(self) -> datetime:
        """When ``refresh_if_due`` will next have something to do."""
        return self._plan.next_at

    def refresh_if_due(self) -> None:
        """Start the scheduled refresh if its time has come and nobody is at it."""
        if self._flight is None and self._clock.now() >= self.next_refresh_at:
            self._launch(None)

    # What others ask for

    async def refresh(self, *, rejected: Secret | int | None) -> Replaced:
        """Replace the token that WeChat *rejected*; None: the current one, whatever it is.

        A report of any other token than the current one asks WeChat nothing. Raises
        ``RefreshLimited``, ``NotReady``, ``UpstreamError``, ``StoreError``; the token stays then.
        """
        token = self._usable(self._clock.now())
        if token is None:
            return await self._replace_nothing(rejected)
        if rejected is not None and not token.is_reported(rejected):
            return Replaced(answer=self.current(), refreshed=False)
        while self._token is None or self._token.generation == token.generation:
            flight = self._flight or self._launch_request(token, rejected)
            await flight.landed()
        return Replaced(answer=self.current(), refreshed=True)

    async def notice(self) -> None:
        """Another node has changed the record: take its token if it is newer."""
        found = await self._refresher.look()
        if found is None:
            return
        if self._token is None or found.generation > self._token.generation:
            self._adopt(found)
            self._on_plan(self)
        elif found.generation == self._token.generation:
            self._token = replace(self._token, suspect=found.suspect)

    async def _replace_nothing(self, rejected: Secret | int | None) -> Replaced:
        """Without a usable token a report adds nothing; an operator need not wait for the plan."""
        if rejected is not None:
            raise self._not_ready(self._clock.now())
        flight = self._flight or self._launch_request(None, rejected)
        await flight.landed()
        return Replaced(answer=self.current(), refreshed=True)

    # Flights

    def _launch_request(self, condemned: Token | None, rejected: Secret | int | None) -> _Flight:
        now = self._clock.now()
        forced = rejected is None
        wait = self._plan.wait_for_force(now) if forced else self._plan.wait_for_report(now)
        if wait:
            raise RefreshLimited(f"{self.key}: {self._plan.error}", retry_after=wait)
        self._budget.check(now)
        return self._launch(condemned)

    def _launch(self, condemned: Token | None) -> _Flight:
        self._flight = _Flight(task=self._spawn(self._fly(condemned)))
        return self._flight

    async def _fly(self, condemned: Token | None) -> Outcome:
        """Never raises: its task is awaited by nobody, or by many."""
        try:
            token = await self._refreshed(condemned)
        except RefreshLimited as refusal:
            return refusal
        except TokendError as error:
            self._failed(error)
            return error
        except Exception:
            log.exception("refresh_crashed", key=str(self.key))
            crash = TokendError(f"{self.key}: the refresh crashed; the log has the traceback")
            self._failed(crash)
            return crash
        else:
            self._adopt(token)
            return token
        finally:
            self._flight = None
            self._on_plan(self)

    async def _refreshed(self, condemned: Token | None) -> Token:
        if condemned is None:
            return await self._refresher.refresh(self._is_due)
        return await self._refresher.replace(
            condemned, limit=lambda: self._budget.spend(self._clock.now())
        )

    def _is_due(self, found: Token) -> bool:
        if self._token is not None and found.generation <= self._token.generation:
            return True
        return self._plan.is_due(found, self._clock.now())

    def _adopt(self, token: Token) -> None:
        known, now = self._token, self._clock.now()
        if known is not None and known.value == token.value:
            self._token = replace(token, generation=known.generation)
            self._plan.kept_same(token, now)
            log.info("token_unchanged", **self._facts(token))
            return
        self._token = token
        self._plan.kept_new(token, now)
        log.info("token_replaced", **self._facts(token))
        self._changed.set()
        self._changed = asyncio.Event()

    def _failed(self, error: TokendError) -> None:
        now = self._clock.now()
        self._plan.failed(error, remaining=self._remaining(now), now=now)
        if isinstance(error, LeaseBusy):
            return
        log.warning(
            "refresh_failed",
            key=str(self.key),
            error=str(error),
            advice=error.advice if isinstance(error, UpstreamRefused) else None,
            failures=self._plan.failures,
            next_refresh_in=_seconds(self.next_refresh_at - now),
            expires_in=_seconds(self._remaining(now)),
        )

    # What is known

    def _usable(self, now: datetime) -> Token | None:
        """The token, unless it has less than a second to live: it would be dead on arrival."""
        return self._token if self._remaining(now) >= _SECOND else None

    def _remaining(self, now: datetime) -> timedelta:
        return self._token.remaining(now) if self._token else _NO_TIME

    def _state(self, now: datetime) -> State:
        token = self._usable(now)
        if token is None:
            return State.EXPIRED if self._token else State.MISSING
        if token.suspect:
            return State.SUSPECT
        return State.STALE if now >= self._plan.due_at else State.FRESH

    def _not_ready(self, now: datetime) -> NotReady:
        why = f": {self._plan.error}" if self._plan.error else ""
        return NotReady(
            f"{self.key}: the token is {self._state(now)}{why}",
            retry_after=max(self.next_refresh_at - now, _SECOND),
            cause=self._plan.error,
        )

    def _facts(self, token: Token) -> dict[str, object]:
        now = self._clock.now()
        return {
            "key": str(self.key),
            "generation": token.generation,
            "token": token.value.fingerprint,
            "expires_in": _seconds(token.remaining(now)),
            "next_refresh_in": _seconds(self.next_refresh_at - now),
        }


def _seconds(duration: timedelta) -> int:
    return duration // _SECOND
