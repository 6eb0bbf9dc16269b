"""Steps that wait for the thread of a SQLite file go to the disk together, and fail alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tokend.store.sqlite import open_table
from tokend.store.sqlite_transactions import SharedTransactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Bench:
    """A file with numbers in it, and the statements that it was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = self.connect()
        self.connection.execute("CREATE TABLE number (value TEXT PRIMARY KEY)")
        self.statements: list[str] = []
        self.connection.set_trace_callback(self.statements.append)
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.shared = SharedTransactions(self.connection, self.thread)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0.01
        )

    def kept(self) -> set[str]:
        """As another process sees it."""
        with closing(self.connect()) as other:
            return {value for (value,) in other.execute("SELECT value FROM number")}

    async def add(self, value: object) -> None:
        await self.shared.do(adding(str(value)))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Its thread is, until left."""
        go_on = threading.Event()
        self.thread.submit(go_on.wait)
        try:
            yield
        finally:
            go_on.set()


def adding(value: str) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: connection.execute("INSERT INTO number VALUES (?)", (value,))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "numbers.db")
    yield bench
    bench.thread.shutdown()
    bench.connection.close()


async def waiting(bench: Bench, *values: object) -> list[asyncio.Task[None]]:
    """Those who add them, and have asked."""
    tasks = [asyncio.create_task(bench.add(value)) for value in values]
    await asyncio.sleep(0)
    return tasks


async def test_all_that_wait_share_one_transaction(bench: Bench) -> None:
    with bench.busy():
        tasks = await waiting(bench, *range(50))
    await asyncio.gather(*tasks)

    assert len(bench.kept()) == 50
    assert bench.statements.count("COMMIT") == 1


async def test_whoever_has_an_answer_has_it_on_the_disk(bench: Bench) -> None:
    for value in range(5):
        await bench.add(value)

        assert str(value) in bench.kept()


async def test_what_comes_of_a_step_is_told_to_its_own_caller(bench: Bench) -> None:
    with bench.busy():
        tasks = [
            asyncio.create_task(bench.shared.do(lambda _, value=value: value * 2))
            for value in range(20)
        ]
        await asyncio.sleep(0)

    assert await asyncio.gather(*tasks) == [value * 2 for value in range(20)]


async def test_a_step_that_fails_leaves_nothing_and_the_others_alone(bench: Bench) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        adding("half")(connection)
        raise ValueError("on the way")

    with bench.busy():
        before, after = await waiting(bench, "before", "after")
        failing = asyncio.create_task(bench.shared.do(half_done))
        twice = await waiting(bench, "before", "last")
    outcomes = await asyncio.gather(before, after, failing, *twice, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [
        *(type(None), type(None), ValueError, sqlite3.IntegrityError, type(None))
    ]
    assert bench.kept() == {"before", "after", "last"}


async def test_who_has_left_before_its_turn_is_not_done(bench: Bench) -> None:
    with bench.busy():
        stays, leaves = await waiting(bench, "stays", "leaves")
        leaves.cancel()
        with suppress(asyncio.CancelledError):
            await leaves
    await stays

    assert bench.kept() == {"stays"}


async def test_all_are_told_that_the_file_is_locked_and_later_it_goes_on(bench: Bench) -> None:
    with closing(bench.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(*(bench.add(n) for n in range(3)), return_exceptions=True)
    await bench.add("later")

    assert {str(outcome) for outcome in outcomes} == {"database is locked"}
    assert bench.kept() == {"later"}


async def test_where_the_end_of_a_transaction_fails_the_next_one_begins_anew(bench: Bench) -> None:
    """Where a file system has no WAL, whoever reads keeps others from ending what they write."""
    with closing(bench.connect()) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM number").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            await bench.add("lost")
    await bench.add("later")

    assert bench.kept() == {"later"}


async def test_a_full_disk_is_told_as_such_and_what_has_room_later_goes_on(bench: Bench) -> None:
    (pages,) = bench.connection.execute("PRAGMA page_count").fetchone()
    bench.connection.execute(f"PRAGMA max_page_count = {pages}")
    with bench.busy():
        small, large, last = await waiting(bench, "small", "x" * 100_000, "last")
    outcomes = await asyncio.gather(small, large, last, return_exceptions=True)
    await bench.add("later")

    assert "database or disk is full" in map(str, outcomes)
    told_good = {
        value for value, out in zip(("small", "x", "last"), outcomes, strict=True) if not out
    }
    assert bench.kept() == told_good | {"later"}


async def test_a_note_is_read_while_another_process_writes(tmp_path: Path) -> None:
    path, now = tmp_path / "tokend.db", datetime(2026, 11, 20, tzinfo=UTC)
    async with open_table(path) as table:
        await table.board.swap("user:ann", None, "text", ends=None, now=now)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            assert await table.board.read("user:ann", now=now) == "text"
