"""Records in this process only: for tests, and for a node that may forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.model import Changes
from tokend.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokend.errors import RecordUnreadable


class MemoryTable:
    """A dictionary of records."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._changed: dict[str, int] = {}
        self._cursor = 0

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
