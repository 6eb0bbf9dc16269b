"""Hears of what other nodes have refreshed: one cheap question for all keys, again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tokend.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.refresher import Store

log = structlog.get_logger()

_PAUSE = timedelta(seconds=2)


class Follower:
    """Follows the changes of a store on behalf of *keepers*."""

    def __init__(self, store: Store, keepers: Iterable[Keeper], clock: Clock) -> None:
        self._store = store
        self._keepers = {keeper.key.record: keeper for keeper in keepers}
        self._clock = clock
        self._cursor = 0
        self._store_is_away = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("follower_crashed")
            await self._clock.sleep(_PAUSE)

    async def look(self) -> None:
        """Tell the keepers of changed records; a store that is away is told of once."""
        try:
            changes = await self._store.changes(self._cursor)
            for record in changes.records & self._keepers.keys():
                await self._keepers[record].notice()
            self._cursor = changes.cursor
        except StoreError as error:
            if not self._store_is_away:
                log.warning("store_away", error=str(error))
            self._store_is_away = True
        else:
            if self._store_is_away:
                log.info("store_back")
            self._store_is_away = False
