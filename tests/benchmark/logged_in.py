"""``python -m benchmark.logged_in STORE SEAL SESSIONS REQUESTS``: puts sessions into a store.

STORE is the socket of a Redis or the file of a SQLite, and SEAL the file of its keys. They are
begun as a login begins one, each of a user of its own, and what that writes goes to the store in
large pieces. The file REQUESTS then has look-ups of some of them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from redis.asyncio import Redis

from benchmark import requests
from benchmark.accounts import appid
from benchmark.node import CLIENTS, SESSIONS
from benchmark.program import output, python
from tokend.clock import SystemClock
from tokend.login.sessions import Sessions
from tokend.login.users import Users
from tokend.model import Secret
from tokend.store.seal_key import parse_keys
from tokend.store.shelf import SealedShelf
from tokend.store.sqlite import open_table
from tokend.store.sqlite_board import SqliteBoard
from tokend.wechat.identity import Identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from redis.asyncio.client import Pipeline

    from benchmark.stage import Stage
    from tokend.store.seals import Seals
    from tokend.store.shelf import Board

_T = TypeVar("_T")
Flush: TypeAlias = Callable[[], Awaitable[object]]

_A_PIECE = 1000
_LOOKED_UP = 10_000
_LIFETIME = timedelta(days=30)
_MILLISECOND = timedelta(milliseconds=1)


async def fill(stage: Stage, store: Path, seal: Path, *, sessions: int) -> Path:
    """Do so, on the core that no server uses yet. The file of look-ups."""
    looked_up = store.with_suffix(".requests")
    command = python("logged_in", store, seal, sessions, looked_up)
    await output(*stage.cores.on_server(*command), log=stage.log("logged_in"))
    return looked_up


def look_ups(ids: Iterable[str]) -> Iterator[bytes]:
    return (requests.get(f"{SESSIONS}/{each}", CLIENTS[0]) for each in ids)


class _Pipelined:
    """What is put on a board of Redis where nothing is."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def read(self, name: str, *, now: datetime) -> str | None:  # noqa: ARG002, as promised
        return None

    async def swap(
        self,
        name: str,
        before: str | None,  # noqa: ARG002, nothing
        after: str | None,
        *,
        ends: datetime | None,
        now: datetime,
    ) -> bool:
        assert after
        life = (ends - now) // _MILLISECOND if ends else None
        self._pipeline.set(f"tokend:{name}", after, px=life)
        return True

    async def erase(self, name: str) -> None:
        self._pipeline.delete(f"tokend:{name}")

    async def texts(
        self,
        prefix: str,  # noqa: ARG002, nothing
        *,
        now: datetime,  # noqa: ARG002, as promised
    ) -> AsyncIterator[tuple[str, str]]:
        nothing: tuple[tuple[str, str], ...] = ()
        for each in nothing:
            yield each


@asynccontextmanager
async def _redis(path: Path) -> AsyncIterator[tuple[Board, Flush]]:
    async with Redis(unix_socket_path=str(path)) as redis, redis.pipeline() as pipeline:
        yield _Pipelined(pipeline), pipeline.execute


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[tuple[Board, Flush]]:
    async with open_table(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:

        async def run(work: Callable[[sqlite3.Connection], _T]) -> _T:
            return work(connection)

        async def flush() -> None:
            connection.execute("COMMIT")
            connection.execute("BEGIN")

        connection.execute("BEGIN")
        yield SqliteBoard(read=run, write=run), flush


def main(store: str, seal: str, number: str, looked_up: str) -> None:
    path, seals = Path(store), parse_keys([Secret(Path(seal).read_text())])
    opened = _redis(path) if path.is_socket() else _sqlite(path)
    ids = asyncio.run(_filled(opened, seals, int(number)))
    requests.write(Path(looked_up), look_ups(ids))
    sys.stdout.write(f"{number}\n")


async def _filled(
    opened: AbstractAsyncContextManager[tuple[Board, Flush]], seals: Seals, number: int
) -> list[str]:
    clock = SystemClock()
    async with opened as (board, flush):
        shelf = SealedShelf(board, clock, seals)
        sessions = Sessions(shelf, Users(shelf, clock), clock, lifetime=_LIFETIME, sliding=True)
        return await _begun(sessions, number, flush)


async def _begun(sessions: Sessions, number: int, flush: Flush) -> list[str]:
    """The ids of some."""
    step, ids = ceil(number / _LOOKED_UP), []
    for each in range(number):
        identity = Identity(openid=f"o{each:027}", session_key=Secret(f"{each:022}=="), unionid="")
        begun = await sessions.begin(appid(0), identity)
        if each % step == 0:
            ids.append(begun.id)
        if each % _A_PIECE == 0:
            await flush()
    await flush()
    return ids


if __name__ == "__main__":
    main(*sys.argv[1:])
