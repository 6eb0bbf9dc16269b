"""Records in this process only: for tests, and for a node that may forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.model import Changes
from tokend.store.record import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from datetime import datetime

    from tokend.errors import RecordUnreadable


class MemoryTable:
    """A dictionary of records."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._changed: dict[str, int] = {}
        self._cursor = 0
        self.board = MemoryBoard()

    async def read(self, names: Sequence[str]) -> list[Record | RecordUnreadable]:
        return [self._read(name) for name in names]

    def _read(self, name: str) -> Record:
        return self._records.get(name, Record())

    async def update(self, name: str, step: Callable[[Record], Record]) -> Record:
        before = self._read(name)
        after = step(before)
        self._records[name] = after
        if after.shows() != before.shows():
            self._cursor += 1
            self._changed[name] = self._cursor
        return after

    async def changes(self, since: int) -> Changes:
        names = (name for name, cursor in self._changed.items() if cursor > since)
        return Changes(cursor=self._cursor, records=frozenset(names))


class MemoryBoard:
    """A dictionary of texts and their ends."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, datetime | None]] = {}
        self._sweep_at = 1000

    @property
    def names(self) -> Collection[str]:
        return self._texts.keys()

    async def read(self, name: str, *, now: datetime) -> str | None:
        text, ends = self._texts.get(name, (None, None))
        return None if ends and ends <= now else text

    async def swap(
        self,
        name: str,
        before: str | None,
        after: str | None,
        *,
        ends: datetime | None,
        now: datetime,
    ) -> bool:
        if await self.read(name, now=now) != before:
            return False
        self._texts.pop(name, None)
        if after is not None:
            self._texts[name] = after, ends
        if len(self._texts) >= self._sweep_at:
            self._sweep(now)
        return True

    async def erase(self, name: str) -> None:
        self._texts.pop(name, None)

    async def texts(self, prefix: str, *, now: datetime) -> AsyncIterator[tuple[str, str]]:
        for name, (text, ends) in tuple(self._texts.items()):
            if name.startswith(prefix) and not (ends and ends <= now):
                yield name, text

    def _sweep(self, now: datetime) -> None:
        """What has ended goes each time there are twice as many as were left."""
        living = {name: kept for name, kept in self._texts.items() if not kept[1] or kept[1] > now}
        self._texts, self._sweep_at = living, max(1000, 2 * len(living))
