"""Notes, which are what is kept besides tokens: one contract for memory, SQLite and Redis."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import ManualClock
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.errors import RecordUnreadable, StoreError
from tokend.model import Secret
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.redis import open_redis
from tokend.store.seal_key import parse_keys
from tokend.store.seals import UNSEALED
from tokend.store.sqlite import open_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.contracts import Shelf
    from tokend.store.seals import Seals

CLOCK = SystemClock()
NAME, TEXT, OTHER = "session:abc", Secret("canary-of-a-note"), Secret("canary-of-another")
SEALED = parse_keys([Secret("0" * 64)])


class Place:
    """Where a shelf stands. It is opened again and again, as restarts and other nodes do."""

    def __init__(self, folder: Path, redis: Path, kind: str) -> None:
        self.kind = kind
        self.table = MemoryTable()
        self.file = folder / "tokend.db"
        self.redis = redis

    @asynccontextmanager
    async def open(self, seals: Seals = SEALED, clock=CLOCK) -> AsyncIterator[Shelf]:
        if self.kind == "memory":
            yield LocalStore(self.table, clock, seals).shelf
        elif self.kind == "sqlite":
            async with open_table(self.file) as table:
                yield LocalStore(table, clock, seals).shelf
        else:
            async with open_redis(f"unix://{self.redis}", clock, seals=seals) as store:
                yield store.shelf


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, redis_socket: Path) -> Place:
    if request.param == "redis":
        async with Redis(unix_socket_path=str(redis_socket)) as client:
            await client.flushall()
    return Place(tmp_path, redis_socket, request.param)


@pytest.fixture
async def shelf(place: Place) -> AsyncIterator[Shelf]:
    async with place.open() as shelf:
        yield shelf


async def put(shelf: Shelf, text: Secret = TEXT, **ends) -> None:
    assert await shelf.swap(NAME, await shelf.find(NAME), text, **ends)


async def test_there_is_no_note_in_the_beginning(shelf: Shelf) -> None:
    assert await shelf.find(NAME) is None


@pytest.mark.parametrize("seals", [UNSEALED, SEALED], ids=["as it is", "sealed"])
async def test_a_note_is_there_after_a_restart(place: Place, seals: Seals) -> None:
    async with place.open(seals) as before:
        await put(before, Secret("ab\n{é}\u4e2d"))

    async with place.open(seals) as after:
        note = await after.find(NAME)

    assert note.text.reveal() == "ab\n{é}\u4e2d"


async def test_one_is_put_in_the_place_of_what_was_read(shelf: Shelf) -> None:
    await put(shelf)
    note = await shelf.find(NAME)

    assert await shelf.swap(NAME, note, OTHER)
    assert (await shelf.find(NAME)).text == OTHER


async def test_what_somebody_else_has_put_there_meanwhile_stays(shelf: Shelf) -> None:
    await put(shelf)
    note = await shelf.find(NAME)
    await put(shelf, OTHER)

    assert not await shelf.swap(NAME, note, Secret("late"))
    assert not await shelf.swap(NAME, note, None)
    assert not await shelf.swap(NAME, None, Secret("late"))
    assert (await shelf.find(NAME)).text == OTHER


async def test_a_note_that_is_gone_does_not_come_back(shelf: Shelf) -> None:
    await put(shelf)
    note = await shelf.find(NAME)

    assert await shelf.swap(NAME, note, None)
    assert not await shelf.swap(NAME, note, OTHER)
    assert await shelf.find(NAME) is None


async def test_of_many_who_put_the_first_one_does(shelf: Shelf) -> None:
    texts = [Secret(f"{n}") for n in range(30)]

    done = await asyncio.gather(*(shelf.swap(NAME, None, text) for text in texts))

    assert done.count(True) == 1
    assert (await shelf.find(NAME)).text == texts[done.index(True)]


async def test_names_do_not_mix(shelf: Shelf) -> None:
    await shelf.swap("user:one", None, TEXT)
    await shelf.swap("user:two", None, OTHER)

    assert [(await shelf.find(f"user:{n}")).text for n in ("one", "two")] == [TEXT, OTHER]


async def test_a_note_ends(shelf: Shelf) -> None:
    await put(shelf, ends=CLOCK.wall() + timedelta(seconds=2))
    assert await shelf.find(NAME)

    await asyncio.sleep(2.05)

    assert await shelf.find(NAME) is None
    assert await shelf.swap(NAME, None, OTHER)


async def test_what_is_put_without_an_end_has_none_any_more(shelf: Shelf) -> None:
    await put(shelf, ends=CLOCK.wall() + timedelta(seconds=0.2))
    await put(shelf, OTHER)

    await asyncio.sleep(0.25)

    assert (await shelf.find(NAME)).text == OTHER


async def test_one_whose_end_is_past_is_not_there(shelf: Shelf) -> None:
    await put(shelf, ends=CLOCK.wall() - timedelta(days=1))

    await asyncio.sleep(0.01)

    assert await shelf.find(NAME) is None


@pytest.mark.parametrize("place", ["sqlite", "memory"], indirect=True)
async def test_what_has_ended_goes_from_the_store(place: Place) -> None:
    clock = ManualClock()
    async with place.open(clock=clock) as shelf:
        for n in range(1200):
            await shelf.swap(f"old:{n}", None, TEXT, ends=clock.wall() + timedelta(seconds=1))
        await clock.advance(2)
        for n in range(1200):
            await shelf.swap(f"new:{n}", None, TEXT, ends=clock.wall() + timedelta(days=1))
    left = place.table.board.names if place.kind == "memory" else names(place.file)

    assert all(name.startswith("new:") for name in left)
    assert len(left) == 1200


def names(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM note")}


# Keys that seal are replaced

OLD, NEW = Secret("0" * 64), Secret("1" * 64)


async def sealed(shelf: Shelf, kind: str = "session:") -> list[tuple[str, str]]:
    """One may come twice."""
    return sorted({found async for found in shelf.sealed(kind)})


async def test_of_each_that_has_not_ended_is_told_which_key_has_sealed_it(place: Place) -> None:
    async with place.open(parse_keys([OLD, NEW])) as before:
        await before.swap("session:old", None, TEXT)
        await before.swap("session:over", None, TEXT, ends=CLOCK.wall() + timedelta(seconds=0.3))
        await before.swap("user:old", None, TEXT)
    async with place.open(UNSEALED) as plain:
        await plain.swap("session:plain", None, TEXT)
        await plain.swap("session:broken", None, Secret("sealed:in no way"))

    async with place.open(parse_keys([NEW, OLD])) as after:
        await after.swap("session:new", None, TEXT)
        await asyncio.sleep(0.35)
        found = await sealed(after), await sealed(after, "user:")

    old, new = parse_keys([OLD, NEW]).ids
    sessions = [("session:new", new), ("session:old", old), ("session:plain", "plain")]
    assert found == (sessions, [("user:old", old)])


async def test_of_very_many_none_is_left_out(place: Place) -> None:
    names = [f"user:{n:03}" for n in range(601)]
    async with place.open(parse_keys([OLD])) as before:
        await asyncio.gather(*(before.swap(name, None, TEXT) for name in names))

    async with place.open(parse_keys([NEW, OLD])) as after:
        found = [name for name, _ in await sealed(after, "user:")]

    assert found == names


# Somebody else writes there, too


async def test_a_sealed_note_cannot_be_read_by_others(place: Place) -> None:
    async with place.open() as shelf:
        await put(shelf)

    async with place.open(UNSEALED) as other:
        with pytest.raises(RecordUnreadable, match="it is sealed with key"):
            await other.find(NAME)


@pytest.mark.parametrize("place", ["redis"], indirect=True)
class TestInRedis:
    @pytest.fixture
    async def client(self, redis_socket: Path) -> AsyncIterator[Redis]:
        async with Redis(unix_socket_path=str(redis_socket)) as client:
            yield client

    async def test_a_sealed_note_that_was_moved_is_not_taken(
        self, shelf: Shelf, client: Redis
    ) -> None:
        await put(shelf)
        await client.copy(f"tokend:{NAME}", "tokend:session:of-another")

        with pytest.raises(RecordUnreadable, match="altered, or moved"):
            await shelf.find("session:of-another")

    async def test_a_sealed_note_ends_although_somebody_lets_it_stay(
        self, place: Place, client: Redis
    ) -> None:
        clock = ManualClock()
        async with place.open(clock=clock) as shelf:
            await put(shelf, ends=clock.wall() + timedelta(hours=1))
            await client.persist(f"tokend:{NAME}")
            await clock.advance(3600 + 299)
            assert await shelf.find(NAME)
            await clock.advance(2)
            assert await shelf.find(NAME) is None

    async def test_it_is_forgotten_by_the_server_at_its_end(
        self, shelf: Shelf, client: Redis
    ) -> None:
        await put(shelf, ends=CLOCK.wall() + timedelta(seconds=60))

        assert 59_000 < await client.pttl(f"tokend:{NAME}") <= 60_000

    @pytest.mark.parametrize("text", [b"\xff\xfe", b""], ids=["no text", "nothing"])
    async def test_what_no_tokend_wrote_is_told_of(
        self, shelf: Shelf, client: Redis, text: bytes
    ) -> None:
        await client.set(f"tokend:{NAME}", text)

        with pytest.raises(StoreError):
            await shelf.find(NAME)

    async def test_what_no_tokend_wrote_keeps_no_key_in_use(
        self, shelf: Shelf, client: Redis
    ) -> None:
        await client.set("tokend:session:bytes", b"\xff\xfe")
        await client.lpush("tokend:session:list", "x")
        await client.set("tokend:session:plain", "x")

        assert await sealed(shelf) == [("session:plain", "plain")]

    async def test_another_type_is_told_of(self, shelf: Shelf, client: Redis) -> None:
        await client.lpush(f"tokend:{NAME}", "x")

        with pytest.raises(StoreError, match="WRONGTYPE"):
            await shelf.find(NAME)
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await shelf.swap(NAME, None, TEXT)
