"""Texts in the SQLite file of the tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Protocol, TypeVar

    _T = TypeVar("_T")

    class Run(Protocol):
        """Does *work* in the thread of the file, or raises ``StoreError``."""

        def __call__(self, work: Callable[[sqlite3.Connection], _T]) -> Awaitable[_T]: ...


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SETUP = """
    CREATE TABLE IF NOT EXISTS note (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        ends INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS note_ends ON note (ends) WHERE ends IS NOT NULL;
"""
# As bytes, and no more of them than a note may have: it may be anything, and SQLite complains of a
# text that is none with the text itself.
_LONGEST = 64 * 1024
_READ = """
    SELECT substr(CAST(text AS BLOB), 1, ?) FROM note
    WHERE name = ? AND (ends IS NULL OR ends > ?)
"""
_WRITE = "INSERT OR REPLACE INTO note (name, text, ends) VALUES (?, ?, ?)"
_PAGE = 200
_NEXT = """
    SELECT name, substr(CAST(text AS BLOB), 1, ?) FROM note
    WHERE name > ? AND name < ? AND (ends IS NULL OR ends > ?) ORDER BY name LIMIT ?
"""
_LAST = "\U0010ffff"
_ERASE = "DELETE FROM note WHERE name = ?"

# With each one that is written, some that have ended go: so there are never many more than live.
_SWEEP = "DELETE FROM note WHERE name IN (SELECT name FROM note WHERE ends <= ? LIMIT 8)"


class SqliteBoard:
    """One row each. What it is to *read* is one statement; what it is to *write*, a transaction."""

    def __init__(self, *, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def read(self, name: str, *, now: datetime) -> str | None:
        return await self._read(lambda connection: _read(connection, name, now))

    async def swap(
        self,
        name: str,
        before: str | None,
        after: str | None,
        *,
        ends: datetime | None,
        now: datetime,
    ) -> bool:
        def step(connection: sqlite3.Connection) -> bool:
            connection.execute(_SWEEP, (_microseconds(now),))
            if _read(connection, name, now) != before:
                return False
            if after is None:
                connection.execute(_ERASE, (name,))
            else:
                row = (name, after, _microseconds(ends) if ends else None)
                connection.execute(_WRITE, row)
            return True

        return await self._write(step)

    async def erase(self, name: str) -> None:
        await self._write(lambda connection: connection.execute(_ERASE, (name,)))

    async def texts(self, prefix: str, *, now: datetime) -> AsyncIterator[tuple[str, str]]:
        after = prefix
        while page := await self._read(partial(_page, after=after, prefix=prefix, now=now)):
            for name, text in page:
                yield name, text
            after, _ = page[-1]


def _read(connection: sqlite3.Connection, name: str, now: datetime) -> str | None:
    row = connection.execute(_READ, (_LONGEST, name, _microseconds(now))).fetchone()
    return (row[0] or b"").decode() if row else None


def _page(
    connection: sqlite3.Connection, *, after: str, prefix: str, now: datetime
) -> list[tuple[str, str]]:
    wanted = (_LONGEST, after, f"{prefix}{_LAST}", _microseconds(now), _PAGE)
    rows = connection.execute(_NEXT, wanted)
    return [(name, (text or b"").decode(errors="replace")) for name, text in rows]


def _microseconds(when: datetime) -> int:
    return (when - _EPOCH) // _MICROSECOND
