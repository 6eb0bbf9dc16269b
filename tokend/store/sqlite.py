"""Records in one SQLite file: durable, one host, no server to install.

WAL with ``synchronous=FULL``: a record that was written survives kill -9 and loss of power.
Several processes of one host may share the file; SQLite's own lock makes an update atomic.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tokend.errors import RecordUnreadable, StoreError
from tokend.model import Changes
from tokend.store import sqlite_board
from tokend.store.record import Record
from tokend.store.seals import unreadable
from tokend.store.sqlite_board import SqliteBoard
from tokend.store.sqlite_transactions import SharedTransactions, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

_T = TypeVar("_T")

_LONGEST_RECORD = 64 * 1024

_SETUP = f"""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS record (
        name TEXT PRIMARY KEY,
        json TEXT NOT NULL,
        change INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS record_change ON record (change);
    {sqlite_board.SETUP}
"""
# As bytes, and no more of them than a record may have: it may be anything.
_READ = """
    SELECT name, CAST(substr(json, 1, ?) AS BLOB), change FROM record
    WHERE name IN (SELECT value FROM json_each(?))
"""
_LAST_CHANGE = "SELECT coalesce(max(change), 0) FROM record"
_WRITE = "INSERT OR REPLACE INTO record (name, json, change) VALUES (?, ?, ?)"
_CHANGES = "SELECT name, change FROM record WHERE change > ?"

_BUSY_TIMEOUT_SECONDS = 1.0


@asynccontextmanager
async def open_table(path: Path, *, read_only: bool = False) -> AsyncIterator[SqliteTable]:
    """Open the file, or make it, readable by its owner only; *read_only*, one that is there."""
    with _told(path):
        file = await asyncio.to_thread(_File, path, _open_there if read_only else _open)
    try:
        yield SqliteTable(path, file)
    finally:
        file.close()


class SqliteTable:
    """Records as JSON. A transaction is one call in one thread: no cancelled caller halves it."""

    def __init__(self, path: Path, file: _File) -> None:
        self._path = path
        self._file = file
        self.board = SqliteBoard(read=self._look, write=self._step)

    async def read(self, names: Sequence[str]) -> list[Record | RecordUnreadable]:
        return await self._run(lambda: self._file.read(names))

    async def update(self, name: str, step: Callable[[Record], Record]) -> Record:
        return await self._run(lambda: self._file.update(name, step))

    async def changes(self, since: int) -> Changes:
        return await self._run(lambda: self._file.changes(since))

    async def durability(self) -> tuple[str, int]:
        """``journal_mode`` and ``synchronous`` as SQLite has set them, whatever it was asked."""
        return await self._run(self._file.durability)

    async def _look(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await self._run(lambda: self._file.look(work))

    async def _step(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with _told(self._path):
            return await self._file.shared.do(work)

    async def _run(self, work: Callable[[], _T]) -> _T:
        with _told(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._file.thread, work)


class _File:
    """The connection, and the thread it is used in."""

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self._connection = connect(path)
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self.shared = SharedTransactions(self._connection, self.thread)

    def close(self) -> None:
        self.thread.shutdown()
        self._connection.close()

    def read(self, names: Sequence[str]) -> list[Record | RecordUnreadable]:
        rows = self._rows(names)
        return [_record(name, rows[name][0]) if name in rows else Record() for name in names]

    def _rows(self, names: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """Of those that are there: what stands there, and the number of its last change."""
        rows = self._connection.execute(_READ, (_LONGEST_RECORD, json.dumps(names)))
        return {name: (text, change) for name, text, change in rows}

    def update(self, name: str, step: Callable[[Record], Record]) -> Record:
        """One that cannot be read, which ``read`` tells of, begins anew."""
        with transaction(self._connection):
            text, change = self._rows([name]).get(name, (b"{}", 0))
            before = _record(name, text)
            if isinstance(before, RecordUnreadable):
                before, change = Record(), 0
            after = step(before)
            if after.shows() != before.shows():
                change = self._last_change() + 1
            self._connection.execute(_WRITE, (name, json.dumps(asdict(after)), change))
        return after

    def changes(self, since: int) -> Changes:
        rows = self._connection.execute(_CHANGES, (since,)).fetchall()
        cursor = max((change for _, change in rows), default=min(since, self._last_change()))
        return Changes(cursor=cursor, records=frozenset(name for name, _ in rows))

    def look(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Outside of a transaction, which would wait for those of other processes."""
        return work(self._connection)

    def durability(self) -> tuple[str, int]:
        (journal,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = self._connection.execute("PRAGMA synchronous").fetchone()
        return journal, synchronous

    def _last_change(self) -> int:
        last: int = self._connection.execute(_LAST_CHANGE).fetchone()[0]
        return last


def _record(name: str, text: bytes) -> Record | RecordUnreadable:
    """What *text* says; the error never shows it."""
    try:
        return Record.parse(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        found = hashlib.sha256(text or b"").hexdigest()[:8]
        return unreadable(name, "no tokend wrote it", found=found)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(str(path))
    try:
        connection.executescript(_SETUP)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open_there(path: Path) -> sqlite3.Connection:
    """Without leaving anything beside it: SQLite would make a WAL even to read.

    https://www.sqlite.org/wal.html#read_only_databases
    """
    is_in_use = Path(f"{path}-wal").exists()
    return _connect(f"{path.as_uri()}?{'mode=ro' if is_in_use else 'immutable=1'}")


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        uri=name.startswith("file:"),
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what is wrong with the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(f"sqlite: {path}: {reason}") from error
    except (ValueError, TypeError):
        raise StoreError(f"sqlite: {path}: a change that tokend did not write") from None
