"""Asking WeChat for a credential of one key: not too late, not too often, and not for nothing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tokend.errors import BreakerOpen, LeaseBusy, UpstreamError, UpstreamUnreachable
from tokend.model import Token
from tokend.policy import NO_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from tokend.breaker import Breakers
    from tokend.budget import Purse
    from tokend.clock import Clock
    from tokend.contracts import Issue, Source
    from tokend.model import Issued, Lease, TokenKey

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Right:
    """A lease, and the time since boot after which it is too late to ask under it.

    *was_costly* once a call was made that ends the life of a token.
    """

    lease: Lease
    ask_before: timedelta
    was_costly: bool = False


class Asking:
    """All raise ``UpstreamError``; under a right also ``LeaseBusy`` where that is too old.

    *asked* hears of each call: how long it took, and the error it ended with.
    """

    def __init__(
        self,
        key: TokenKey,
        source: Source,
        breakers: Breakers,
        clock: Clock,
        *,
        asked: Callable[[timedelta, UpstreamError | None], None],
    ) -> None:
        self._key = key
        self._source = source
        self._breakers = breakers
        self._clock = clock
        self._asked = asked

    @property
    def is_free(self) -> bool:
        """Tell if there is a call that gives everybody the same token and ends no token's life."""
        return self._source.is_idempotent

    async def prepare(self) -> None:
        """See to what asking takes, before a lease is taken."""
        await self._source.prepare()

    async def current(self, right: Right) -> Token:
        """The token there is; the next one where its time has come, or asking is never free."""
        right.was_costly = right.was_costly or not self.is_free
        return await self._ask(self._source.current, right)

    async def new(self, right: Right, purse: Purse) -> Token:
        """Another token, out of *purse*. A call that never got to WeChat costs nothing."""
        self._refuse_late(right)
        await purse.pay()
        right.was_costly = True
        try:
            return await self._ask(self._source.new, right)
        except (UpstreamUnreachable, BreakerOpen, LeaseBusy):
            await purse.refund()
            raise

    async def alone(self, fence: int) -> Token:
        """The token there is, under no lease."""
        await self.prepare()
        return await self._issued(self._source.current, fence=fence)

    async def _ask(self, issue: Issue, right: Right) -> Token:
        self._refuse_late(right)
        return await self._issued(issue, fence=right.lease.fence)

    def _refuse_late(self, right: Right) -> None:
        """Raise ``LeaseBusy`` where the lease may be another node's before the call ends."""
        late = self._clock.elapsed() - right.ask_before
        if late > NO_TIME:
            log.warning("lease_too_old", key=str(self._key), late_seconds=late.total_seconds())
            raise LeaseBusy(f"{self._key}: its lease was too old to ask under; beginning again")

    async def _issued(self, issue: Issue, *, fence: int) -> Token:
        breakers = self._breakers.of(self._key)
        for breaker in breakers:
            breaker.admit()
        asked_at = self._clock.now()
        try:
            return Token.of(await self._timed(issue), asked_at=asked_at, fence=fence)
        except UpstreamUnreachable:
            for breaker in breakers:
                breaker.take_back()
            raise

    async def _timed(self, issue: Issue) -> Issued:
        with timed(self._clock, self._asked):
            return await issue()


@contextmanager
def timed(clock: Clock, asked: Callable[[timedelta, UpstreamError | None], None]) -> Iterator[None]:
    """Around a call: *asked* hears how long it took, and the error of WeChat's it ended with."""
    began = clock.elapsed()
    try:
        yield
    except UpstreamError as error:
        asked(clock.elapsed() - began, error)
        raise
    asked(clock.elapsed() - began, None)
