"""An old store is restored as README says: without tokens and sessions, with users."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kit.mini_users import Business, User, with_login
from kit.process import ready, serving
from redis.asyncio import Redis

if TYPE_CHECKING:
    from kit.process import Simulator

README = (Path(__file__).parents[2] / "README.md").read_text()


def found(pattern: str) -> str:
    match = re.search(pattern, README)
    assert match
    return match[1]


def strip_sqlite(folder: Path) -> None:
    statements = found(r'tokend\.db "(DELETE [^"]+)"')
    with closing(sqlite3.connect(folder / "tokend.db")) as connection:
        connection.executescript(statements)


async def strip_redis(path: Path) -> None:
    pattern = found(r"--scan --pattern '([^']+)'")
    stays = re.compile(found(r"--scan [^|]+\| grep -v '([^']+)' \| xargs"))
    async with Redis(unix_socket_path=str(path), decode_responses=True) as client:
        keys = [key async for key in client.scan_iter(pattern)]
        await client.delete(*(key for key in keys if not stays.search(key)))


async def test_users_are_known_and_tokens_and_sessions_are_new(
    configured, folder: Path, redis_socket: Path, wechat: Simulator, store: str
) -> None:
    path, ann = with_login(configured(store=store)), User(wechat)
    async with serving(path) as (_, session):
        await ready(session)
        business = Business(session)
        begun = await business.log_in(await ann.code())
        await business.ask("PUT", f"sessions/{begun['session']}/user", {"user": "ann"})
    before = await wechat.calls()

    if store == "sqlite":
        strip_sqlite(folder)
    else:
        await strip_redis(redis_socket)
    async with serving(path) as (_, session):
        await ready(session)
        business = Business(session)
        known = await business.ask("GET", f"sessions/{begun['session']}")
        again = await business.log_in(await ann.code())

    assert (known["status"], known["code"]) == (404, "unknown_session")
    assert (again["user"], again["new"]) == ("ann", False)
    assert await wechat.calls() == before + 1
