"""How one key is refreshed by one node at a time: lease, look again, ask, save, release.

The steps, and why they come in this order:

1. Look into the store: another node may have refreshed already.
2. Take the lease. While another node has it, look again and again; never ask without it.
3. Look again under the lease: the refresh may have happened between 1 and 2.
4. Ask WeChat. The intent was left in the store with the lease, so a crash here is not hidden.
5. Save under the lease's fence. Refused: somebody newer was here; theirs counts, ours is dropped.
6. Release. After an unclear answer from an endpoint that gives a new token for each call, hold the
   lease instead: the call may still be acted on, and must not meet another one.

While the store is away, a call that gives everybody the same token is made without a lease.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from random import random
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from tokend import policy
from tokend.errors import LeaseBusy, RefreshLimited, StoreError, UpstreamError, UpstreamUnclear
from tokend.model import Changes, Issued, Lease, Token, TokenKey
from tokend.policy import NO_TIME

if TYPE_CHECKING:
    from tokend.clock import Clock

log = structlog.get_logger()

Issue: TypeAlias = Callable[[], Awaitable[Issued]]
Wanted: TypeAlias = Callable[[Token], bool]

_LEASE = timedelta(seconds=30)
_QUARANTINE = timedelta(seconds=90)
_POLLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Two ways to be issued a credential, both raising only ``UpstreamError``.

    *current* gives the one there is, or the next when its time has come; *new* always gives
    another one and ends the life of the one before. One function for both: asking is never free.
    """

    current: Issue
    new: Issue

    @property
    def is_idempotent(self) -> bool:
        return self.current is not self.new


class Store(Protocol):
    """What is kept between restarts and shared by nodes. All raise ``StoreError`` in trouble."""

    async def load(self, key: TokenKey) -> Token | None:
        """The kept token, expired or not."""

    async def acquire(self, key: TokenKey, *, owner: str, ttl: timedelta, above: int) -> Lease:
        """The lease for *ttl*, with a fence greater than *above* and than any before it.

        Leaves the intent. Asking again as the same *owner* gives the same lease. ``LeaseBusy`` if
        another owner has it.
        """

    async def save(self, lease: Lease, token: Token) -> Token | None:
        """Keep *token* and return it as it is kept; None if a later fence has stored.

        A value that was kept already keeps its generation. Harmless to repeat.
        """

    async def release(self, lease: Lease, *, hold: timedelta = ...) -> None:
        """Settle the intent and give the lease back; or *hold* it so long, the intent unsettled."""

    async def changes(self, since: int) -> Changes:
        """Which records changed after the cursor *since* (0: all). May repeat, must not miss."""


class Refresher:
    """Refreshes one key. Keeps nothing but the greatest fence it has seen."""

    def __init__(self, key: TokenKey, source: Source, store: Store, clock: Clock) -> None:
        self._key = key
        self._source = source
        self._store = store
        self._clock = clock
        self._greatest_fence = 0

    async def look(self) -> Token | None:
        """What the store has now."""
        token = await self._store.load(self._key)
        self._saw(token)
        return token

    async def refresh(self, wanted: Wanted) -> Token:
        """A newer token: one found in the store that leaves nothing *wanted*, or WeChat's."""
        try:
            return await self._under_lease(wanted, self._ask_current)
        except StoreError as error:
            return await self._ask_alone(error)

    async def replace(self, condemned: Token, *, limit: Callable[[], None]) -> Token:
        """A token other than *condemned*. *limit* is called before a costly call, and may raise."""

        def wanted(found: Token) -> bool:
            return found.generation <= condemned.generation

        async def ask(lease: Lease) -> Token:
            return await self._ask_another(condemned, lease, limit)

        try:
            return await self._under_lease(wanted, ask)
        except StoreError as error:
            token = await self._ask_alone(error)
            if token.value != condemned.value:
                return token
            limit()
            raise

    async def _under_lease(self, wanted: Wanted, ask: Callable[[Lease], Awaitable[Token]]) -> Token:
        for tries in count(1):
            found = await self.look()
            if found is not None and not wanted(found):
                return found
            try:
                lease = await self._acquire()
            except LeaseBusy:
                if tries == _POLLS:
                    raise
                await self._clock.sleep(policy.LEASE_POLL.wait(tries, random()))
            else:
                return await self._with_lease(lease, wanted, ask)
        raise AssertionError("count() ended")

    async def _with_lease(
        self, lease: Lease, wanted: Wanted, ask: Callable[[Lease], Awaitable[Token]]
    ) -> Token:
        """Whatever else ends this (cancelled, killed, a bug) leaves the intent, and so is seen."""
        try:
            found = await self.look()
            if found is not None and not wanted(found):
                await self._release(lease)
                return found
            token = await ask(lease)
        except UpstreamUnclear:
            await self._release(lease, hold=NO_TIME if self._source.is_idempotent else _QUARANTINE)
            raise
        except (UpstreamError, RefreshLimited, StoreError):
            await self._release(lease)
            raise
        return await self._save(lease, token)

    async def _acquire(self) -> Lease:
        lease = await self._store.acquire(
            self._key, owner=secrets.token_hex(16), ttl=_LEASE, above=self._greatest_fence
        )
        self._greatest_fence = max(self._greatest_fence, lease.fence)
        return lease

    async def _release(self, lease: Lease, *, hold: timedelta = NO_TIME) -> None:
        """A lease that cannot be given back runs out by itself."""
        try:
            await self._store.release(lease, hold=hold)
        except StoreError as error:
            log.warning("lease_not_released", key=str(self._key), error=str(error))

    async def _ask(self, issue: Issue, lease: Lease) -> Token:
        asked_at = self._clock.now()
        return Token.of(await issue(), asked_at=asked_at, generation=lease.fence)

    async def _ask_alone(self, error: StoreError) -> Token:
        """Without the store there is no lease; where asking changes nothing, none is needed."""
        if not self._source.is_idempotent:
            raise error
        log.warning("asked_without_store", key=str(self._key), error=str(error))
        asked_at = self._clock.now()
        issued = await self._source.current()
        self._greatest_fence = max(
            self._greatest_fence + 1, int(self._clock.wall().timestamp() * 1_000_000)
        )
        return Token.of(issued, asked_at=asked_at, generation=self._greatest_fence)

    async def _ask_current(self, lease: Lease) -> Token:
        return await self._ask(self._source.current, lease)

    async def _ask_another(
        self, condemned: Token, lease: Lease, limit: Callable[[], None]
    ) -> Token:
        """First the call that costs nothing, where there is one: somebody may have been quicker."""
        if self._source.is_idempotent:
            token = await self._ask_current(lease)
            if token.value != condemned.value:
                return token
        limit()
        token = await self._ask(self._source.new, lease)
        if token.value == condemned.value:
            raise UpstreamUnclear("WeChat gave the rejected token again")
        return token

    async def _save(self, lease: Lease, token: Token) -> Token:
        """As the store keeps it. While the store is away in memory alone, and the intent stays:
        it tells the next holder that the store does not know what WeChat gave last.
        """
        try:
            saved = await self._store.save(lease, token) or await self.look()
        except StoreError as error:
            log.warning("token_not_stored", key=str(self._key), error=str(error))
            return token
        if saved is None:
            raise StoreError(f"{self._key}: the record vanished while it was written")
        self._saw(saved)
        await self._release(lease)
        return saved

    def _saw(self, token: Token | None) -> None:
        if token is not None:
            self._greatest_fence = max(self._greatest_fence, token.generation)
