"""Transactions of a SQLite file. Steps that wait for its thread share one, and so one fsync."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

_T = TypeVar("_T")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # of what a full disk stops, SQLite itself undoes all
            connection.execute("ROLLBACK")
        raise


@dataclass(slots=True)
class _Step:
    """Something to be done. *done* is told what came of it, once that is on the disk."""

    work: Callable[[sqlite3.Connection], Any]
    done: Future[Any] = field(default_factory=Future)
    value: Any = None
    error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """What goes wrong with it is nothing to the others, unless all is undone by that."""
        connection.execute("SAVEPOINT step")
        try:
            self.value = self.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise
            self.error = error
            connection.execute("ROLLBACK TO step")
        connection.execute("RELEASE step")

    def tell(self) -> None:
        if self.error:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.value)


class SharedTransactions:
    """On *connection*, in its *thread*."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._waiting: SimpleQueue[_Step] = SimpleQueue()

    async def do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """All of *work*, or nothing. Raises what that raises, and ``sqlite3.Error``."""
        step = _Step(work)
        self._waiting.put(step)
        self._thread.submit(self._commit)
        value: _T = await asyncio.wrap_future(step.done)
        return value

    def _commit(self) -> None:
        steps = list(self._taken())
        if not steps:
            return
        try:
            with transaction(self._connection):
                for step in steps:
                    step.run(self._connection)
        except sqlite3.Error as error:
            for step in steps:
                step.error = error
        for step in steps:
            step.tell()

    def _taken(self) -> Iterator[_Step]:
        """All that wait by now, but for those whose caller has left."""
        while True:
            try:
                step = self._waiting.get_nowait()
            except Empty:
                return
            if step.done.set_running_or_notify_cancel():
                yield step
