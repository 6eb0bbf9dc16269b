"""The guard rails: how often anybody may make tokend spend a call that was not planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tokend.allowance import Allowance
from tokend.errors import RefreshLimited, StoreError
from tokend.share import Shares

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.contracts import Store
    from tokend.model import TokenKey
    from tokend.terms import Terms

log = structlog.get_logger()

# What comes of no caller's asking.
NOBODY = ""

# One of several callers, and nobody knows which.
SEVERAL = "one of several clients"

_SHORT, _IN_SHORT = timedelta(minutes=10), 3
_DAY = timedelta(days=1)

# A caller in a loop is one alarm in this time.
_TOLD_EACH = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Budgets:
    """Those of all keys. Most are never asked for."""

    def __init__(self, store: Store, terms: Terms, clock: Clock) -> None:
        self._store = store
        self._terms = terms
        self._clock = clock
        self._of_keys: dict[TokenKey, Budget] = {}

    def of(self, key: TokenKey) -> Budget:
        if key not in self._of_keys:
            self._of_keys[key] = Budget(key, self._store, self._terms, self._clock)
        return self._of_keys[key]

    def spent(self, key: TokenKey) -> int:
        """How many of this day's calls this node has made."""
        return self._of_keys[key].spent if key in self._of_keys else 0


@dataclass(frozen=True, slots=True)
class Purse:
    """The budget of a key in somebody's hand."""

    budgets: Budgets
    key: TokenKey
    caller: str = NOBODY
    by_operator: bool = False

    async def pay(self) -> None:
        await self.budgets.of(self.key).spend(self.caller, by_operator=self.by_operator)

    async def refund(self) -> None:
        await self.budgets.of(self.key).refund(self.caller, by_operator=self.by_operator)


class Budget:
    """Costly calls for one key: those that end a token's life early.

    The store counts for all nodes, this object for its own, in case the store forgets: the
    stricter of the two decides. What the schedule plans is not counted. No *caller* gets more than
    a part of it from one node: half of it; an operator the reserve as well; ``SEVERAL`` a quarter,
    so that with it nobody gets all. ``NOBODY``, for whom a suspect token is looked into, gets what
    is left.
    """

    def __init__(self, key: TokenKey, store: Store, terms: Terms, clock: Clock) -> None:
        self._key = key
        self._store = store
        self._terms = terms
        self._clock = clock
        self._spent: tuple[int, ...] = ()
        half, quarter = max(1, terms.daily // 2), max(1, terms.daily // 4)
        self._reporters = Shares({_SHORT: _IN_SHORT, _DAY: half})
        self._operators = Shares({_SHORT: _IN_SHORT, _DAY: half + terms.reserve})
        self._several = Shares({_SHORT: 1, _DAY: quarter})
        self._told_of: dict[str, datetime] = {}
        self._refused_until = {True: clock.now(), False: clock.now()}

    def check(self, caller: str, *, by_operator: bool) -> None:
        """Refuse at once what ``spend`` would refuse, so that a loop of reports asks nobody."""
        self._refuse_more_than_a_share(caller, self._shares(caller, by_operator=by_operator))
        wait = self._refused_until[by_operator] - self._clock.now()
        self._refuse(wait, by_operator=by_operator)

    async def spend(self, caller: str, *, by_operator: bool) -> None:
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
        if caller != NOBODY:
            self._shares(caller, by_operator=by_operator).take(caller, self._clock.now())
        if len(spent) == (self._terms.daily + 1) // 2:
            log.warning(
                "half_of_budget_spent",
                key=str(self._key),
                spent=len(spent),
                daily=self._terms.daily,
                advice="see the audit trail for who reports this token, or forces it, so often",
            )

    @property
    def spent(self) -> int:
        """How many calls this node has made in the last 24 hours."""
        a_day_ago = (self._clock.now() - _EPOCH - _DAY) // _MICROSECOND
        return sum(when > a_day_ago for when in self._spent)

    async def refund(self, caller: str, *, by_operator: bool) -> None:
        """The last costly call never got to WeChat. Raises ``StoreError``."""
        self._spent = self._spent[:-1]
        if caller != NOBODY:
            self._shares(caller, by_operator=by_operator).give_back(caller)
        await self._store.refund(self._key)

    def _shares(self, caller: str, *, by_operator: bool) -> Shares:
        if by_operator:
            return self._operators
        return self._several if caller == SEVERAL else self._reporters

    def _refuse_more_than_a_share(self, caller: str, shares: Shares) -> None:
        now = self._clock.now()
        free_at = shares.free_at(caller, now)
        if free_at <= now:
            return
        if self._told_of.get(caller, now) <= now:
            log.error(
                "caller_limited",
                key=str(self._key),
                caller=caller,
                seconds=(free_at - now).seconds,
                advice="it reports good tokens, or somebody else fetches them; others are served",
            )
            self._told_of = {each: at for each, at in self._told_of.items() if at > now}
            self._told_of[caller] = now + _TOLD_EACH
        raise RefreshLimited(
            f"{self._key}: too many new tokens were asked for by {caller}, which gets {shares}",
            retry_after=free_at - now,
        )

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
