"""What a connection may wait for, and for how long; how many there may be. Over TCP, and over TLS.

The looks that tokend has each second are had by hand here.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from kit.hall import HELD, LARGE, LARGE_BYTES, NOW, PIECE, POSTED, STREAM, Hall, opened
from kit.served import statuses, until_over
from kit.tls import Authority
from structlog.testing import capture_logs

from tokend.api.room import Room
from tokend.api.source import Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Of a stream that nobody reads: asyncio takes so much, and aiohttp as much again before it waits.
MOST_UNSENT = 2 * 64 * 1024 + 2 * PIECE


@pytest.fixture(params=["tcp", "tls"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    return Authority(tmp_path) if request.param == "tls" else None


@pytest.fixture
async def hall(authority: Authority | None) -> AsyncIterator[Hall]:
    room = Room(tcp=8, per_address=8)
    async with asyncio.timeout(60), opened(room, authority=authority) as hall:
        yield hall


async def test_who_says_nothing_is_let_go_in_silence(hall: Hall) -> None:
    async with hall.connected() as (reader, _):
        await hall.served_now()
        hall.look(4)
        still_there = not await gone(reader)
        hall.look(1)

        assert still_there
        assert await until_over(reader) == b""


async def test_a_head_that_does_not_end_is_answered_and_cut_however_it_trickles(
    hall: Hall,
) -> None:
    async with hall.connected() as (reader, writer):
        for letter in b"GET /":
            writer.write(bytes([letter]))
            await hall.served_now()
            hall.look(1)
        heard = await until_over(reader)

    assert statuses(heard) == (408,)
    assert b'"code": "too_slow"' in heard


async def test_who_was_answered_may_stay_for_a_minute_and_ask_again(hall: Hall) -> None:
    async with hall.connected() as (reader, writer):
        writer.write(NOW)
        await reader.readuntil(b"now")
        hall.look(74)
        writer.write(NOW)
        await reader.readuntil(b"now")
        hall.look(75)

        assert await until_over(reader) == b""


async def test_the_next_head_has_as_long_as_the_first(hall: Hall) -> None:
    async with hall.connected() as (reader, writer):
        writer.write(NOW)
        await reader.readuntil(b"now")
        writer.write(b"G")
        await hall.served_now()
        hall.look(5)

        assert statuses(await until_over(reader)) == (408,)


async def test_who_is_being_answered_is_waited_for(hall: Hall) -> None:
    async with hall.connected() as (reader, writer):
        writer.write(HELD)
        await hall.until_asked(1)
        hall.look(500)
        hall.release.set()

        assert await reader.readuntil(b"at last")


async def test_an_answer_that_nobody_reads_is_reset(hall: Hall) -> None:
    async with hall.connected() as (reader, writer):
        writer.write(LARGE)
        await reader.readexactly(1)
        await hall.served_now()
        hall.look(12)

        assert len(await until_over(reader)) < LARGE_BYTES


async def test_no_more_is_held_for_who_does_not_read_than_a_few_pieces(hall: Hall) -> None:
    async with hall.connected() as (reader, writer):
        writer.write(STREAM)
        await reader.readexactly(1)

        assert 0 < await until_still(hall) <= MOST_UNSENT


async def test_an_answer_that_is_read_slowly_is_all_there_in_the_end(hall: Hall) -> None:
    heard = 0
    async with hall.connected() as (reader, writer):
        writer.write(LARGE)
        while heard < LARGE_BYTES:
            heard += len(await reader.read(1024 * 1024))
            hall.look(1)

    assert heard >= LARGE_BYTES


async def test_who_never_asked_makes_room_for_who_comes(hall: Hall) -> None:
    async with hall.connected() as (kept, writer):
        writer.write(NOW)
        await kept.readuntil(b"now")
        async with silent(hall, 20) as waiting:
            await until_gone(waiting, 20 - 8)

            writer.write(NOW)
            assert await kept.readuntil(b"now")


async def test_who_keeps_the_rest_of_a_body_back_makes_room_for_who_comes(hall: Hall) -> None:
    with capture_logs() as lines:
        async with asking(hall, 8, POSTED), hall.connected() as (reader, writer):
            writer.write(NOW)

            assert await reader.readuntil(b"now")
        await hall.served_now()
    assert lines == []  # there is nothing wrong with tokend


async def test_who_has_sent_a_body_is_waited_for_and_makes_no_room(hall: Hall) -> None:
    async with asking(hall, 8, POSTED + b"rest"):
        heard = await refused(hall)
        hall.release.set()

    assert statuses(heard) == (() if hall.trust else (503,))


async def test_how_long_a_body_may_take_is_for_its_reader_to_say(hall: Hall) -> None:
    hall.release.set()
    async with hall.connected() as (reader, writer):
        writer.write(POSTED)
        await hall.until_asked(1)
        hall.look(500)
        writer.write(b"rest")

        assert await reader.readuntil(b"the rest")


async def test_where_all_are_being_answered_who_comes_is_told_when_to_come_again(
    hall: Hall,
) -> None:
    """But not over TLS, where nothing can be told before a handshake."""
    async with asking(hall, 8):
        heard = await refused(hall)
        hall.release.set()
    async with hall.connected() as (reader, writer):
        writer.write(NOW)

        assert await reader.readuntil(b"now")
    if hall.trust:
        assert heard == b""
        return
    assert statuses(heard) == (503,)
    assert b"Retry-After: 5" in heard
    assert b'"code": "crowded"' in heard


async def test_one_address_leaves_room_for_the_others(authority: Authority | None) -> None:
    async with (
        asyncio.timeout(60),
        opened(Room(tcp=8, per_address=3), authority=authority) as hall,
        asking(hall, 3),
    ):
        heard = await refused(hall)
        async with hall.connected(come_from="127.0.0.2") as (reader, writer):
            writer.write(NOW)

            assert await reader.readuntil(b"now")
        hall.release.set()
    assert statuses(heard) == (() if authority else (503,))


async def test_a_proxy_speaks_for_many(authority: Authority | None) -> None:
    proxies = Proxies([ip_network("127.0.0.0/24")])
    async with (
        asyncio.timeout(60),
        opened(Room(tcp=8, per_address=3), proxies, authority=authority) as hall,
        asking(hall, 5),
        hall.connected() as (reader, writer),
    ):
        writer.write(NOW)

        assert await reader.readuntil(b"now")
        hall.release.set()


async def gone(reader: asyncio.StreamReader) -> bool:
    await asyncio.sleep(0)
    return reader.at_eof()


async def until_gone(waiting: list[asyncio.StreamReader], number: int) -> None:
    async with asyncio.timeout(10):
        while sum([await gone(reader) for reader in waiting]) < number:
            await asyncio.sleep(0.01)


async def until_still(hall: Hall) -> int:
    """What lies here of a stream once nothing more goes."""
    async with asyncio.timeout(20):
        before, now = -1, 0
        while before != now:
            await asyncio.sleep(0.5)
            before, now = now, hall.streams[0].get_write_buffer_size()
    return now


async def refused(hall: Hall) -> bytes:
    """What one who is not let in is told."""
    try:
        async with hall.connected() as (reader, _):
            return await until_over(reader)
    except OSError:
        return b""


@asynccontextmanager
async def silent(hall: Hall, number: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    pairs = [
        await asyncio.open_connection("127.0.0.1", hall.port, ssl=hall.trust) for _ in range(number)
    ]
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.close()


@asynccontextmanager
async def asking(hall: Hall, number: int, sent: bytes = HELD) -> AsyncIterator[None]:
    pairs = [
        await asyncio.open_connection("127.0.0.1", hall.port, ssl=hall.trust) for _ in range(number)
    ]
    for _, writer in pairs:
        writer.write(sent)
    await hall.until_asked(number)
    try:
        yield
    finally:
        for _, writer in pairs:
            writer.close()
