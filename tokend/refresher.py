"""How one key is refreshed by one node at a time: lease, look again, ask, save, release.

The steps, and why they come in this order:

1. Look into the store: another node may have refreshed already.
2. Take the lease. While another node has it, look again and again; never ask without it.
3. Look again under the lease: the refresh may have happened between 1 and 2.
4. Ask WeChat, unless so much time has gone by since 2 that the call could outlast the lease. The
   intent was left in the store with the lease, so a crash here is not hidden.
5. Serve what it gave, and save it under the lease's fence. Refused: somebody newer was here; theirs
   counts, ours is dropped.
6. Release. After an unclear answer from an endpoint that gives a new token for each call, hold the
   lease instead: the call may still be acted on, and must not meet another one.

While the store is away, a call that gives everybody the same token is made without a lease; any
other call only by the one node that was told to, and only when the token is about to expire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from random import random
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from tokend import policy
from tokend.alarm import Alarm
from tokend.asking import Asking, Right
from tokend.contracts import UNCOUNTED
from tokend.errors import (
    LeaseBusy,
    RecordUnreadable,
    RefreshLimited,
    StoreError,
    UpstreamError,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.leases import Leases
from tokend.model import Token
from tokend.policy import NO_TIME

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.breaker import Breakers
    from tokend.budget import Purse
    from tokend.clock import Clock
    from tokend.contracts import Meter, Source, Store
    from tokend.model import Found, Lease, TokenKey
    from tokend.terms import Terms

log = structlog.get_logger()

_POLLS = 20
_AT_ONCE = timedelta(milliseconds=1)


Wanted: TypeAlias = Callable[[Token], bool]
_Ask: TypeAlias = Callable[[Right], Awaitable[Token]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the refreshers of all keys share."""

    store: Store
    terms: Terms
    breakers: Breakers
    clock: Clock
    meter: Meter = UNCOUNTED


class Listener(Protocol):
    """Who serves the tokens of a key."""

    def answered(self, token: Token) -> None:
        """WeChat gave this. It is not saved yet, but by then the old token may be dead."""


class Refresher:
    """Refreshes one key. Of tokens it keeps nothing but the greatest fence it has seen, and the
    lease of one that could not be saved; *calls* is how many it has made that WeChat may have
    heard.

    Every refresh ends with a token that the store has, or that is not ``stored`` because the store
    is away; or it raises a ``TokendError``, and nothing has changed.
    """

    __slots__ = (
        "_alarm",
        "_greatest_fence",
        "_key",
        "_means",
        "_source",
        "_unsaved",
        "calls",
        "listener",
    )

    def __init__(self, key: TokenKey, source: Source, means: Means) -> None:
        self.listener: Listener | None = None
        self.calls = 0
        self._key = key
        self._source = source
        self._means = means
        self._alarm: Alarm | None = None
        self._greatest_fence = 0
        self._unsaved: Lease | None = None

    @property
    def _asking(self) -> Asking:
        means = self._means
        return Asking(self._key, self._source, means.breakers, means.clock, asked=self._asked)

    @property
    def _leases(self) -> Leases:
        means = self._means
        return Leases(self._key, means.store, means.terms, means.clock)

    # What can be asked of it

    @property
    def endpoint(self) -> str:
        """Where WeChat is asked."""
        return self._source.endpoint

    @property
    def is_free(self) -> bool:
        """Tell if WeChat can be asked for the current token without harm."""
        return self._source.is_idempotent

    @property
    def record_trouble(self) -> str | None:
        """What is wrong with the key's record in the store."""
        return self._alarm.trouble if self._alarm else None

    def saw(self, token: Token | None) -> None:
        """Leases will have greater fences than *token*, even should the store forget it."""
        if token is not None:
            self._greatest_fence = max(self._greatest_fence, token.fence)

    async def look(self) -> Token | None:
        """What the store has now; what cannot be read is nothing."""
        try:
            found: Found = await self._means.store.load(self._key)
        except RecordUnreadable as error:
            found = error
        return self.judge(found)

    def judge(self, found: Found) -> Token | None:
        """The same, where somebody else has looked. Raises ``StoreError`` if that failed."""
        if isinstance(found, RecordUnreadable):
            self._alarm = self._alarm or Alarm(self._key, self._means.clock)
            self._alarm.ring(found)
            return None
        if isinstance(found, StoreError):
            raise found
        if found is not None and self._alarm:
            self._alarm.end()
        self.saw(found)
        return found

    async def refresh(self, known: Token | None, wanted: Wanted, purse: Purse) -> Token:
        """A newer token: one found in the store that leaves nothing *wanted*, or WeChat's.

        Nobody planned to replace one that cannot be read: where that is all there was, and asking
        is never free, it comes out of *purse*.
        """

        async def ask(right: Right) -> Token:
            if known is None and self.record_trouble and not self.is_free:
                return await self._asking.new(right, purse)
            return await self._asking.current(right)

        try:
            return await self._under_lease(wanted, ask)
        except StoreError as error:
            if self.is_free or self._mints_alone(known):
                return await self._ask_alone(error, known)
            raise

    async def confirm(self, doubted: Token, purse: Purse) -> Token:
        """The token that WeChat accepts now. Where asking ends a token's life, out of *purse*."""

        def wanted(found: Token) -> bool:
            return found.suspect or found.fence <= doubted.fence

        async def ask(right: Right) -> Token:
            if self.is_free:
                return _same_as(doubted, await self._asking.current(right), self._means.clock.now())
            return await self._asking.new(right, purse)

        try:
            return await self._under_lease(wanted, ask)
        except StoreError as error:
            if self.is_free:
                return await self._ask_alone(error, doubted)
            raise

    async def replace(self, condemned: Token, purse: Purse) -> Token:
        """A token other than *condemned*; a costly call for it is paid out of *purse*."""

        def wanted(found: Token) -> bool:
            return found.generation <= condemned.generation

        async def ask(right: Right) -> Token:
            return await self._ask_another(condemned, right, purse)

        try:
            return await self._under_lease(wanted, ask)
        except StoreError as error:
            if not self.is_free:
                raise
            token = await self._ask_alone(error, condemned)
            if token.value == condemned.value:
                await purse.pay()
                raise
            return token

    async def restore(self, token: Token) -> Token:
        """Keep *token* again in a store that has lost it, or never got it.

        While its own lease lasts under that one: nobody can have asked WeChat since.
        """

        def wanted(found: Token) -> bool:
            return found.is_older_than(token)

        async def ask(_: Right) -> Token:
            return token

        lease = self._unsaved
        if lease and lease.fence == token.fence:
            saved = await self._means.store.save(lease, token)
            self._unsaved = None
            if saved is not None:
                await self._leases.release(lease)
                return saved
        return await self._under_lease(wanted, ask, prepared=True)

    # The steps

    async def _under_lease(self, wanted: Wanted, ask: _Ask, *, prepared: bool = False) -> Token:
        for tries in count(1):
            found = await self.look()
            if found is not None and not wanted(found):
                return found
            if not prepared:
                await self._asking.prepare()
            try:
                right = await self._leases.acquire(above=self._greatest_fence)
                self._greatest_fence = max(self._greatest_fence, right.lease.fence)
                return await self._with_lease(right, wanted, ask)
            except LeaseBusy as error:
                if tries == 1:
                    log.info("waiting_for_lease", key=str(self._key), reason=str(error))
                    self._means.meter.waited()
                if tries == _POLLS:
                    raise
            await self._means.clock.sleep(policy.LEASE_POLL.wait(tries, random()))
        raise AssertionError("count() ended")

    async def _with_lease(self, right: Right, wanted: Wanted, ask: _Ask) -> Token:
        """Whatever else ends this (cancelled, killed, a bug) leaves the intent, and so is seen."""
        lease, leases = right.lease, self._leases
        try:
            found = await self.look()
            if found is not None and not wanted(found):
                await leases.release(lease)
                return found
            token = _same_as(found, await ask(right), self._means.clock.now())
        except UpstreamUnclear:
            await leases.release(lease, hold=self._doubt(right))
            raise
        except (UpstreamError, RefreshLimited, LeaseBusy, StoreError):
            await leases.release(lease)
            raise
        if self.listener:
            self.listener.answered(token)
        return await self._save(lease, token)

    def _doubt(self, right: Right) -> timedelta:
        """How long nobody may ask after an unclear answer. The intent stays if a token may have
        died over it: every node finds the kept one suspect then.
        """
        if not right.was_costly:
            return NO_TIME
        return _AT_ONCE if self.is_free else self._means.terms.quarantine

    async def _save(self, lease: Lease, token: Token) -> Token:
        """As the store keeps it. While the store is away in memory alone, and the intent stays:
        it tells the next holder that the store does not know what WeChat gave last.
        """
        try:
            saved = await self._leases.save(lease, token)
            if saved is None:
                self._means.meter.overtaken()
            found = saved or await self.look()
        except StoreError as error:
            log.warning("token_not_stored", key=str(self._key), error=str(error))
            self._unsaved = lease
            return token
        if found is None:
            raise StoreError(f"{self._key}: the record vanished while it was written")
        self.saw(found)
        await self._leases.release(lease)
        return found

    # Asking WeChat

    def _asked(self, took: timedelta, error: UpstreamError | None) -> None:
        if not isinstance(error, UpstreamUnreachable):
            self.calls += 1
        self._means.meter.asked(self._source.endpoint, took, error)

    async def _ask_another(self, condemned: Token, right: Right, purse: Purse) -> Token:
        """First the call that costs nothing, where there is one: somebody may have been quicker."""
        if self.is_free:
            token = await self._asking.current(right)
            if token.value != condemned.value:
                return token
        token = await self._asking.new(right, purse)
        if token.value == condemned.value:
            raise UpstreamUnclear("WeChat gave the rejected token again")
        return token

    def _mints_alone(self, known: Token | None) -> bool:
        if not self._means.terms.mints_alone:
            return False
        return known is None or known.remaining(self._means.clock.now()) < policy.LAST_MOMENTS

    async def _ask_alone(self, error: StoreError, known: Token | None) -> Token:
        log.warning("asked_without_store", key=str(self._key), error=str(error))
        fence = max(self._greatest_fence + 1, int(self._means.clock.wall().timestamp() * 1_000_000))
        self._greatest_fence = fence
        token = await self._asking.alone(fence)
        return _same_as(known, token, self._means.clock.now())


def _same_as(known: Token | None, token: Token, now: datetime) -> Token:
    """The same value has the same generation, also where the store does not know it any more.

    And it does not live longer for being given again, whatever its ``expires_in``: WeCom does not
    tell. https://developer.work.weixin.qq.com/document/path/91039
    """
    if known is None or known.value != token.value:
        return token
    ends = token.expires_at if known.remaining(now) <= NO_TIME else known.expires_at
    return replace(token, generation=known.generation, expires_at=min(token.expires_at, ends))
