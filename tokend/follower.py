"""Hears of what other nodes have refreshed: one cheap question for all keys, again and again.

A wake-up from the store makes it ask sooner. It may be lost, late or forged: it says nothing but
that asking may be worth it.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog

from tokend import tasks
from tokend.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence

    from tokend.clock import Clock
    from tokend.contracts import Store
    from tokend.keeper import Keeper
    from tokend.model import Found

log = structlog.get_logger()

_PAUSE = timedelta(seconds=2)
_LEAST_PAUSE = timedelta(milliseconds=20)

# Whoever has not looked for so long has not run at all: stopped, suspended, starved.
_STANDSTILL = timedelta(seconds=5)
_LOOK_SECONDS = 1.0

# Records that are read in one step: no more than a Redis does in a few milliseconds, which is how
# long it keeps everybody else waiting. And records that are looked at without having changed: with
# a look every two seconds all of 100,000 within an hour or so.
_AT_ONCE = 250
_IN_TURN = 50


class Follower:
    """Follows the changes of a store on behalf of *keepers*, which are by their record's name.

    *trouble* is what is wrong with the store, while it is.
    """

    def __init__(self, store: Store, keepers: Mapping[str, Keeper], clock: Clock) -> None:
        self._store = store
        self._keepers = keepers
        self._to_tell: set[str] = set()
        self._again_at: dict[str, timedelta] = {}
        self._clock = clock
        self._cursor = 0
        self._round: Iterator[str] = iter(())
        self._turn_at = timedelta.min
        self.trouble: str | None = None
        self._looked_at = clock.elapsed()
        self._looked = asyncio.Event()

    async def awake(self) -> None:
        """Return at once, unless the process has stood still: other nodes have gone on meanwhile,
        and may have replaced what is in memory twice. Then return after a look at the store.
        """
        if self._clock.elapsed() - self._looked_at > _STANDSTILL:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._looked.wait(), _LOOK_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._tell_of_standstill()
            try:
                await self.look()
            except Exception:
                log.exception("follower_crashed")
            self._beat()
            self._looked.set()
            self._looked = asyncio.Event()
            await self._pause()

    def _tell_of_standstill(self) -> None:
        stood_still = self._clock.elapsed() - self._looked_at
        if stood_still > _STANDSTILL:
            log.warning("stood_still", seconds=round(stood_still.total_seconds(), 1))

    async def look(self) -> None:
        """Tell the keepers of changed records; a store that is away is told of once."""
        try:
            await self._hear()
            await self._tell()
        except StoreError as error:
            if not self.trouble:
                log.warning("store_away", error=str(error))
            self.trouble = str(error)
        else:
            if self.trouble:
                log.info("store_back")
                for keeper in tuple(self._keepers.values()):
                    keeper.store_is_back()
            self.trouble = None

    async def look_at_all(self) -> None:
        """Tell all keepers of every record, changed or not."""
        self._to_tell |= self._keepers.keys()
        await self.look()

    async def _hear(self) -> None:
        """What has changed, is lost, or is being refreshed by somebody who may give up, or die,
        which nobody announces.
        """
        changes = await self._store.changes(self._cursor)
        if changes.cursor < self._cursor:
            log.error("store_forgot", keys=len(self._keepers))
            self._to_tell |= self._keepers.keys()
        self._cursor = changes.cursor
        now = self._clock.elapsed()
        self._to_tell |= changes.records & self._keepers.keys()
        self._to_tell |= self._in_turn(now)
        self._to_tell |= {record for record, at in self._again_at.items() if now >= at}

    def _in_turn(self, now: timedelta) -> set[str]:
        """A few of all after the other, because whoever alters a record need not announce it. They
        do not come sooner for what others announce.
        """
        if now < self._turn_at:
            return set()
        self._turn_at = now + _PAUSE
        some = set(islice(self._round, _IN_TURN))
        if not some:
            self._round = iter(tuple(self._keepers))
        return some

    async def _tell(self) -> None:
        """Whom it cannot be told is told next time, and keeps nobody else from hearing."""
        trouble: StoreError | None = None
        async with aclosing(tasks.ahead(self._looks())) as looks:
            async for look in looks:
                for keeper, given in look:
                    try:
                        self._notice(keeper, given)
                    except StoreError as error:
                        trouble = error
                self._beat()
        if trouble:
            raise trouble

    def _looks(self) -> Iterator[Coroutine[Any, Any, Sequence[tuple[Keeper, Found]]]]:
        """At all who are to be told, some at a time."""
        waiting = iter(tuple(self._to_tell))
        while some := list(islice(waiting, _AT_ONCE)):
            self._to_tell.difference_update(each for each in some if each not in self._keepers)
            yield self._look([self._keepers[each] for each in some if each in self._keepers])

    async def _look(self, keepers: Sequence[Keeper]) -> Sequence[tuple[Keeper, Found]]:
        found = await self._store.load_many([keeper.key for keeper in keepers])
        return list(zip(keepers, found, strict=True))

    def _notice(self, keeper: Keeper, given: Found) -> None:
        record = keeper.key.record
        again = keeper.notice(given)
        self._to_tell.discard(record)
        self._again_at.pop(record, None)
        if again:
            self._again_at[record] = self._clock.elapsed() + _PAUSE

    def _beat(self) -> None:
        self._looked_at = self._clock.elapsed()

    async def _pause(self) -> None:
        """Until woken, or for a while; a flood of wake-ups is not followed in step."""
        await self._clock.sleep(_LEAST_PAUSE)
        waits = [
            asyncio.ensure_future(self._store.woken()),
            asyncio.ensure_future(self._clock.sleep(_PAUSE)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
