"""Sealed records in a real Redis and a real SQLite file, and somebody who can write there."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.redis_server import redis_server
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.errors import RecordUnreadable
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.store.local import LocalStore
from tokend.store.redis import open_redis
from tokend.store.seal_key import parse_keys
from tokend.store.seals import UNSEALED
from tokend.store.sqlite import open_table
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.contracts import Store
    from tokend.store.seals import Seals

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
OTHER = TokenKey(app="blog", appid="wxfedcba9876543210", kind="access_token")
CLOCK = SystemClock()
OLD, NEW = "0" * 64, "1" * 64
CANARY = "92_canary-of-a-token"
IN_NINE_YEARS = time.time_ns() // 1000 + 9 * 365 * 86400 * 1_000_000


def keys(*lines: str) -> Seals:
    return parse_keys([Secret(line) for line in lines])


SEALS = keys(NEW)


class InRedis:
    """What stands there, and whoever changes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "redis.sock"

    @asynccontextmanager
    async def opened(self, seals: Seals) -> AsyncIterator[Store]:
        async with open_redis(f"unix://{self._path}", CLOCK, seals=seals) as store:
            yield store

    async def read(self, key: TokenKey) -> dict[str, object]:
        async with self._client() as client:
            return await client.hgetall(f"tokend:{{{key.record}}}:token")

    async def write(self, key: TokenKey, fields: dict[str, object]) -> None:
        name = f"tokend:{{{key.record}}}:token"
        async with self._client() as client:
            await client.delete(name)
            await client.hset(name, mapping=fields)

    async def bytes(self) -> bytes:
        async with self._client() as client:
            await client.save()
        return (self._folder / "dump.rdb").read_bytes()

    async def sent(self) -> int:
        """Bytes, to anybody."""
        async with self._client() as client:
            return int((await client.info("stats"))["total_net_output_bytes"])

    def _client(self) -> Redis:
        return Redis(unix_socket_path=str(self._path), decode_responses=True)


class InSqlite:
    """The same of a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "tokend.db"

    @asynccontextmanager
    async def opened(self, seals: Seals) -> AsyncIterator[Store]:
        async with open_table(self._path) as table:
            yield LocalStore(table, CLOCK, seals)

    async def read(self, key: TokenKey) -> dict[str, object]:
        with closing(sqlite3.connect(self._path)) as file:
            (text,) = file.execute(
                "SELECT json FROM record WHERE name = ?", (key.record,)
            ).fetchone()
        return json.loads(text)

    async def write(self, key: TokenKey, fields: dict[str, object]) -> None:
        self.write_text(key, json.dumps(fields))

    def write_text(self, key: TokenKey, text: str | bytes) -> None:
        with closing(sqlite3.connect(self._path)) as file, file:
            file.execute("UPDATE record SET json = ? WHERE name = ?", (text, key.record))

    async def bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in self._folder.glob("tokend.db*"))


@pytest.fixture(params=["redis", "sqlite"])
def place(request: pytest.FixtureRequest, folder: Path):
    if request.param == "sqlite":
        yield InSqlite(folder)
        return
    with redis_server(folder, "--rdbcompression", "no"):
        yield InRedis(folder)


async def keep(store: Store, key: TokenKey = KEY, value: str = CANARY) -> Token:
    lease = await store.acquire(
        key,
        owner=f"{len(value)}",
        ttl=timedelta(seconds=30),
        above=0,
        quarantine=Terms().quarantine,
    )
    issued = Issued(value=Secret(value), lifetime=timedelta(seconds=7200))
    kept = await store.save(lease, Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence))
    await store.release(lease)
    assert kept is not None
    return kept


async def refused(store: Store, key: TokenKey = KEY) -> str:
    with pytest.raises(RecordUnreadable) as caught:
        await store.load(key)
    assert "canary" not in str(caught.value)
    return str(caught.value)


async def test_nothing_in_the_store_holds_a_token(place: InRedis | InSqlite) -> None:
    async with place.opened(SEALS) as store:
        for n in range(3):
            await keep(store, KEY, f"{CANARY}-{n}")
            await keep(store, OTHER, f"{CANARY}-of-blog-{n}")
        while_open = await place.bytes()

    assert KEY.record.encode() in while_open
    for content in (while_open, await place.bytes()):
        assert b"canary" not in content


async def test_an_altered_byte_anywhere_in_it_is_noticed(place: InRedis | InSqlite) -> None:
    async with place.opened(SEALS) as store:
        await keep(store)
        sound = await place.read(KEY)
        text = str(sound["value"])
        for n in range(len(text)):
            other = "B" if text[n] == "A" else "A"
            await place.write(KEY, {**sound, "value": text[:n] + other + text[n + 1 :]})
            await refused(store)
        for length in range(0, len(text), 7):
            await place.write(KEY, {**sound, "value": text[:length]})
            await refused(store)
        await place.write(KEY, sound)

        assert await store.load(KEY) is not None


async def test_records_that_changed_places_open_in_neither(place: InRedis | InSqlite) -> None:
    async with place.opened(SEALS) as store:
        await keep(store, KEY)
        await keep(store, OTHER, "92_of_blog")
        shop, blog = await place.read(KEY), await place.read(OTHER)
        await place.write(KEY, blog)
        await place.write(OTHER, shop)

        await refused(store, KEY)
        await refused(store, OTHER)


async def test_an_older_value_under_a_newer_fence_does_not_open(place: InRedis | InSqlite) -> None:
    async with place.opened(SEALS) as store:
        await keep(store, value="92_old")
        old = await place.read(KEY)
        await keep(store, value="92_new")
        new = await place.read(KEY)

        for fields in (("value",), ("value", "digest"), ("value", "digest", "generation")):
            await place.write(KEY, {**new, **{field: old[field] for field in fields}})
            await refused(store)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"value": CANARY}, id="plain"),
        pytest.param({"value": ""}, id="empty"),
        pytest.param({"value": "sealed:2:canary"}, id="of the future"),
        pytest.param({"value": "x" * 3_000_000}, id="huge"),
        pytest.param({"digest": "x" * 3_000_000}, id="a huge digest"),
        pytest.param({"generation": "canary"}, id="no number"),
        pytest.param({"generation": "9" * 5000}, id="a huge number"),
        pytest.param({"generation": 9 * 10**15}, id="a number beyond its fence"),
        pytest.param({"fence": 9 * 10**15}, id="another fence"),
        pytest.param({"fence": IN_NINE_YEARS}, id="a fence of the future"),
        pytest.param({"generation": IN_NINE_YEARS}, id="a generation of the future"),
        pytest.param({"expires_at": "9" * 16}, id="a life of ages"),
    ],
)
async def test_what_somebody_else_wrote_is_refused_and_the_next_token_replaces_it(
    place: InRedis | InSqlite, fields: dict[str, object]
) -> None:
    async with place.opened(SEALS) as store:
        first = await keep(store)
        await place.write(KEY, {**await place.read(KEY), **fields})
        await refused(store)

        next_one = await keep(store, value="92_next")

        loaded = await store.load(KEY)
        assert loaded is not None
        assert loaded.value == Secret("92_next")
        assert loaded.generation == next_one.generation > first.generation


async def test_bytes_that_are_no_text_are_refused_and_the_next_answer_is_its_own(
    folder: Path,
) -> None:
    with redis_server(folder):
        place = InRedis(folder)
        async with place.opened(SEALS) as store:
            await keep(store)
            await keep(store, OTHER, "92_of_blog")
            await place.write(KEY, {**await place.read(KEY), "value": b"\xff\xfe" * 50})

            await refused(store)
            other = await store.load(OTHER)

    assert other is not None
    assert other.value == Secret("92_of_blog")


@pytest.mark.parametrize("text", ["", "canary", "[]", "null", "3", b"\xff", '{"a":', "[" * 60_000])
async def test_a_row_of_sqlite_that_is_no_record_is_refused_and_replaced(
    folder: Path, text: str | bytes
) -> None:
    place = InSqlite(folder)
    async with place.opened(SEALS) as store:
        await keep(store)
        place.write_text(KEY, text)
        await refused(store)

        await keep(store, value="92_next")

        assert await store.load(KEY) is not None


async def test_a_longer_life_in_the_store_is_no_longer_life(place: InRedis | InSqlite) -> None:
    async with place.opened(SEALS) as store:
        kept = await keep(store)
        found = await place.read(KEY)
        for later in (int(str(found["expires_at"])) + 10_000_000_000, IN_NINE_YEARS):
            await place.write(KEY, {**found, "expires_at": later, "stored_at": 0})

            loaded = await store.load(KEY)

            assert loaded is not None
            assert loaded.expires_at <= kept.expires_at + timedelta(minutes=5, seconds=1)


@pytest.mark.parametrize("field", ["fence", "generation", "stored_at"])
async def test_numbers_of_no_clock_are_refused_without_a_seal_too(
    place: InRedis | InSqlite, field: str
) -> None:
    """Fences would go on from there, beyond what can be counted."""
    async with place.opened(UNSEALED) as store:
        await keep(store)
        await place.write(KEY, {**await place.read(KEY), field: 9 * 10**15})

        await refused(store)
        kept = await keep(store)

    assert kept.fence < IN_NINE_YEARS


async def test_what_is_too_large_to_be_a_token_is_not_even_sent(folder: Path) -> None:
    with redis_server(folder):
        place = InRedis(folder)
        async with place.opened(SEALS) as store:
            await keep(store)
            for field in ("value", "digest"):
                await place.write(KEY, {**await place.read(KEY), field: "x" * 3_000_000})
                before = await place.sent()
                await refused(store)

                assert await place.sent() - before < 100_000


async def test_the_same_value_keeps_its_generation_while_the_key_changes(
    place: InRedis | InSqlite,
) -> None:
    generations = []
    for lines in (("plain",), ("plain", OLD), (OLD, "plain"), (OLD, NEW), (NEW, OLD), (NEW,)):
        async with place.opened(keys(*lines)) as store:
            found = await store.load(KEY) if generations else None
            assert not generations or (found is not None and not found.suspect)
            generations.append((await keep(store)).generation)
    assert len(set(generations)) == 1


async def test_a_record_that_only_a_lost_key_opens_says_which(place: InRedis | InSqlite) -> None:
    async with place.opened(keys(OLD)) as store:
        await keep(store)

    async with place.opened(SEALS) as store:
        assert f"sealed with key {keys(OLD).ids[0]}" in await refused(store)
