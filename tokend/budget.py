"""The guard rails: how often anybody may make tokend spend a call that was not planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tokend.allowance import Allowance
from tokend.errors import RefreshLimited, StoreError

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.contracts import Store
    from tokend.model import TokenKey
    from tokend.terms import Terms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget in somebody's hand."""

    budget: Budget
    by_operator: bool

    async def pay(self) -> None:
        await self.budget.spend(by_operator=self.by_operator)

    async def refund(self) -> None:
        await self.budget.refund()


class Budget:
    """Costly calls for one key: those that end a token's life early.

    The store counts for all nodes, this object for its own, in case the store forgets: the
    stricter of the two decides. What the schedule plans is not counted.
    """

    def __init__(self, key: TokenKey, store: Store, terms: Terms, clock: Clock) -> None:
        self._key = key
        self._store = store
        self._terms = terms
        self._clock = clock
        self._spent: tuple[int, ...] = ()
        self._refused_until = {True: clock.now(), False: clock.now()}

    def check(self, *, by_operator: bool) -> None:
        """Refuse at once what ``spend`` has refused, so that a loop of reports asks nobody."""
        wait = self._refused_until[by_operator] - self._clock.now()
        self._refuse(wait, by_operator=by_operator)

    async def spend(self, *, by_operator: bool) -> None:
        """Called when nothing but a costly call is left. Raises ``RefreshLimited``, ``StoreError``.

        Counted before the call is made: what a crash hides is counted too.
        """
        reserve = self._terms.reserve if by_operator else 0
        allowance = Allowance(pause=self._terms.pause, daily=self._terms.daily + reserve)
        now = (self._clock.now() - _EPOCH) // _MICROSECOND
        spent, wait = allowance.spend(self._spent, now)
        self._refuse(wait * _MICROSECOND, by_operator=by_operator)
        try:
            wait_of_all = await self._store.spend(self._key, allowance)
        except StoreError:
            self._spent = spent
            raise
        self._refuse(wait_of_all, by_operator=by_operator)
        self._spent = spent

    async def refund(self) -> None:
        """The last costly call never got to WeChat. Raises ``StoreError``."""
        self._spent = self._spent[:-1]
        await self._store.refund(self._key)

    def _refuse(self, wait: timedelta, *, by_operator: bool) -> None:
        if wait <= timedelta(0):
            return
        self._refused_until[by_operator] = self._clock.now() + wait
        raise RefreshLimited(f"{self._key}: {self._why(wait)}", retry_after=wait)

    def _why(self, wait: timedelta) -> str:
        if wait > self._terms.pause:
            return (
                f"{self._terms.daily} new tokens were asked for in 24 hours (an operator may ask "
                f"for {self._terms.reserve} more)"
            )
        return f"a new token was asked for less than {self._terms.pause.seconds} s ago"
