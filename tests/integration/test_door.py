"""What a connection may wait for, and for how long; how many there may be.

The looks that tokend has each second are had by hand here; its own may come in between.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from kit.served import connected, statuses, until_over
from structlog.testing import capture_logs

from tokend.api.door import Door
from tokend.api.problems import problems
from tokend.api.room import Room
from tokend.api.source import Proxies
from tokend.api.speaker import Speaker, tracked
from tokend.api.warden import Warden
from tokend.api.wire import read_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEAD = b"GET %b HTTP/1.1\r\nHost: localhost\r\n"
NOBODY = Proxies()
NOW, HELD, LARGE = (HEAD % path + b"\r\n" for path in (b"/now", b"/held", b"/large"))
POSTED = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nthe "
LARGE_BYTES = 64 * 1024 * 1024


class House:
    """Three routes on one port, and no looks but those of the test."""

    def __init__(self, warden: Warden) -> None:
        self.warden = warden
        self.release = asyncio.Event()
        self.port = 0
        self.asked = 0
        self.app = web.Application(middlewares=[problems])
        self.app.router.add_get("/now", self.now)
        self.app.router.add_get("/held", self.held)
        self.app.router.add_get("/large", self.large)
        self.app.router.add_post("/body", self.body)

    async def now(self, _: web.Request) -> web.Response:
        return web.Response(text="now")

    async def held(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.release.wait()
        return web.Response(text="at last")

    async def body(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await read_body(request)
        await self.release.wait()
        return web.Response(body=body)

    async def large(self, _: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE_BYTES))

    def look(self, times: int) -> None:
        for _ in range(times):
            self.warden.look()

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.asked < times:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(room: Room, proxies: Proxies = NOBODY) -> AsyncIterator[House]:
    house = House(Warden(room, proxies))
    runner = web.AppRunner(house.app, shutdown_timeout=0.1)
    await runner.setup()
    runner.server.request_handler = tracked(runner.server.request_handler)
    make = partial(Door, house.warden, lambda door: Speaker(door, runner.server))
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    house.port = server.sockets[0].getsockname()[1]
    try:
        yield house
    finally:
        server.close()
        await runner.cleanup()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with asyncio.timeout(60), opened(Room(tcp=8, per_address=8)) as house:
        yield house


async def test_who_says_nothing_is_let_go_in_silence(house: House) -> None:
    async with connected(house.port) as (reader, _):
        await served_now(house)
        house.look(4)
        still_there = not await gone(reader)
        house.look(1)

        assert still_there
        assert await until_over(reader) == b""


async def test_a_head_that_does_not_end_is_answered_and_cut_however_it_trickles(
    house: House,
) -> None:
    async with connected(house.port) as (reader, writer):
        for letter in b"GET /":
            writer.write(bytes([letter]))
            await served_now(house)
            house.look(1)
        heard = await until_over(reader)

    assert statuses(heard) == (408,)
    assert b'"code": "too_slow"' in heard


async def test_who_was_answered_may_stay_for_a_minute_and_ask_again(house: House) -> None:
    async with connected(house.port) as (reader, writer):
        writer.write(NOW)
        await reader.readuntil(b"now")
        house.look(74)
        writer.write(NOW)
        await reader.readuntil(b"now")
        house.look(75)

        assert await until_over(reader) == b""


async def test_the_next_head_has_as_long_as_the_first(house: House) -> None:
    async with connected(house.port) as (reader, writer):
        writer.write(NOW)
        await reader.readuntil(b"now")
        writer.write(b"G")
        await served_now(house)
        house.look(5)

        assert statuses(await until_over(reader)) == (408,)


async def test_who_is_being_answered_is_waited_for(house: House) -> None:
    async with connected(house.port) as (reader, writer):
        writer.write(HELD)
        await house.until_asked(1)
        house.look(500)
        house.release.set()

        assert await reader.readuntil(b"at last")


async def test_an_answer_that_nobody_reads_is_reset(house: House) -> None:
    async with connected(house.port) as (reader, writer):
        writer.write(LARGE)
        await reader.readexactly(1)
        await served_now(house)
        house.look(12)

        assert len(await until_over(reader)) < LARGE_BYTES


async def test_an_answer_that_is_read_slowly_is_all_there_in_the_end(house: House) -> None:
    heard = 0
    async with connected(house.port) as (reader, writer):
        writer.write(LARGE)
        while heard < LARGE_BYTES:
            heard += len(await reader.read(1024 * 1024))
            house.look(1)

    assert heard >= LARGE_BYTES


async def test_who_never_asked_makes_room_for_who_comes(house: House) -> None:
    async with connected(house.port) as (kept, writer):
        writer.write(NOW)
        await kept.readuntil(b"now")
        async with silent(house, 20) as waiting:
            await served_now(house)

            assert sum([await gone(reader) for reader in waiting]) >= 20 - 8
            writer.write(NOW)
            assert await kept.readuntil(b"now")


async def test_who_keeps_the_rest_of_a_body_back_makes_room_for_who_comes(house: House) -> None:
    with capture_logs() as lines:
        async with asking(house, 8, POSTED), connected(house.port) as (reader, writer):
            writer.write(NOW)

            assert await reader.readuntil(b"now")
        await served_now(house)
    assert lines == []  # there is nothing wrong with tokend


async def test_who_has_sent_a_body_is_waited_for_and_makes_no_room(house: House) -> None:
    async with asking(house, 8, POSTED + b"rest"):
        async with connected(house.port) as (reader, _):
            heard = await until_over(reader)
        house.release.set()

    assert statuses(heard) == (503,)


async def test_how_long_a_body_may_take_is_for_its_reader_to_say(house: House) -> None:
    house.release.set()
    async with connected(house.port) as (reader, writer):
        writer.write(POSTED)
        await house.until_asked(1)
        house.look(500)
        writer.write(b"rest")

        assert await reader.readuntil(b"the rest")


async def test_where_all_are_being_answered_who_comes_is_told_when_to_come_again(
    house: House,
) -> None:
    async with asking(house, 8):
        async with connected(house.port) as (reader, _):
            heard = await until_over(reader)
        house.release.set()
    async with connected(house.port) as (reader, writer):
        writer.write(NOW)

        assert await reader.readuntil(b"now")
    assert statuses(heard) == (503,)
    assert b"Retry-After: 5" in heard
    assert b'"code": "crowded"' in heard


async def test_one_address_leaves_room_for_the_others() -> None:
    async with (
        asyncio.timeout(60),
        opened(Room(tcp=8, per_address=3)) as house,
        asking(house, 3),
    ):
        async with connected(house.port) as (refused, _):
            heard = await until_over(refused)
        async with connected(house.port, come_from="127.0.0.2") as (reader, writer):
            writer.write(NOW)

            assert await reader.readuntil(b"now")
        house.release.set()
    assert statuses(heard) == (503,)


async def test_a_proxy_speaks_for_many() -> None:
    async with (
        asyncio.timeout(60),
        opened(Room(tcp=8, per_address=3), Proxies([ip_network("127.0.0.0/24")])) as house,
        asking(house, 5),
        connected(house.port) as (reader, writer),
    ):
        writer.write(NOW)

        assert await reader.readuntil(b"now")
        house.release.set()


async def served_now(house: House) -> None:
    """What was sent before has been read when this is answered."""
    async with connected(house.port) as (reader, writer):
        writer.write(NOW)
        await reader.readuntil(b"now")


async def gone(reader: asyncio.StreamReader) -> bool:
    await asyncio.sleep(0)
    return reader.at_eof()


@asynccontextmanager
async def silent(house: House, number: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    opening = [asyncio.open_connection("127.0.0.1", house.port) for _ in range(number)]
    pairs = await asyncio.gather(*opening)
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.close()


@asynccontextmanager
async def asking(house: House, number: int, sent: bytes = HELD) -> AsyncIterator[None]:
    pairs = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(number)]
    for _, writer in pairs:
        writer.write(sent)
    await house.until_asked(number)
    try:
        yield
    finally:
        for _, writer in pairs:
            writer.close()
