"""Connections over TLS before they are that: half-open, hostile, crowded, and those that mean well.

The looks that tokend has each second are had by hand here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import struct
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.hall import HELD, LARGE, NOW, Hall, opened
from kit.served import connected, until_over
from kit.tls import Authority
from structlog.testing import capture_logs

from tokend.api import handshakes
from tokend.api.room import Room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def hall(authority: Authority) -> AsyncIterator[Hall]:
    room = Room(tcp=8, per_address=4)
    async with asyncio.timeout(60), opened(room, authority=authority) as hall:
        yield hall


class Client:
    """OpenSSL by hand: what it sends, and when, is up to the test."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self._heard, self._said, server_hostname="127.0.0.1")

    def hello(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.said()

    def said(self) -> bytes:
        """All that was not sent yet."""
        return self._said.read()

    async def shake(self, reader: asyncio.StreamReader) -> None:
        """To its end, which is not sent yet."""
        while True:
            self._heard.write(await reader.read(65536))
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                return

    async def until(self, reader: asyncio.StreamReader, last: bytes) -> bytes:
        """All that is answered, up to *last*."""
        text = b""
        while not text.endswith(last):
            try:
                text += self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._heard.write(await reader.read(65536))
        return text


def half(hall: Hall) -> dict[str, bytes]:
    """How a handshake may begin and not go on."""
    hello = Client(hall.trust).hello()
    return {"silence": b"", "a byte": hello[:1], "half a hello": hello[:99], "a hello": hello}


HALVES = ["silence", "a byte", "half a hello", "a hello"]


async def hold(
    hall: Hall, begun: bytes, number: int, stack: AsyncExitStack, come_from: str = "127.0.0.1"
) -> list[asyncio.StreamReader]:
    """So many connections, each begun and left so until *stack* is."""
    readers = []
    for _ in range(number):
        reader, writer = await stack.enter_async_context(connected(hall.port, come_from=come_from))
        writer.write(begun)
        readers.append(reader)
    return readers


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# Crowds


@pytest.mark.parametrize("begun", HALVES)
async def test_one_address_that_holds_all_it_can_keeps_no_other_out(hall: Hall, begun: str) -> None:
    async with AsyncExitStack() as stack:
        before = open_files()
        await hold(hall, half(hall)[begun], 20, stack)
        await hall.served_now(come_from="127.0.0.2")
        there_are = open_files() - before - 20

        await hall.served_now(come_from="127.0.0.2")

    assert there_are <= 4 + 2


@pytest.mark.parametrize("begun", HALVES)
async def test_who_means_well_gets_in_at_the_same_address(hall: Hall, begun: str) -> None:
    async with AsyncExitStack() as stack:
        await hold(hall, half(hall)[begun], 20, stack)

        await hall.served_now()


@pytest.mark.parametrize("begun", HALVES)
async def test_many_addresses_keep_nobody_out(hall: Hall, begun: str) -> None:
    async with AsyncExitStack() as stack:
        for last in range(2, 12):
            await hold(hall, half(hall)[begun], 3, stack, come_from=f"127.0.0.{last}")

        await hall.served_now()


async def test_who_has_shaken_hands_makes_no_room_for_who_has_not(hall: Hall) -> None:
    async with AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(hall.connected())
        writer.write(NOW)
        await reader.readuntil(b"now")
        await hold(hall, half(hall)["a hello"], 20, stack)
        writer.write(NOW)

        assert await reader.readuntil(b"now")


async def test_where_all_are_being_answered_no_handshake_begins(hall: Hall) -> None:
    async with AsyncExitStack() as stack:
        for number in range(4):
            _, writer = await stack.enter_async_context(hall.connected())
            writer.write(HELD)
            await hall.until_asked(number + 1)
        (refused,) = await hold(hall, half(hall)["a hello"], 1, stack)

        assert await until_over(refused) == b""
        hall.release.set()


async def test_who_gave_up_takes_no_room(hall: Hall) -> None:
    """Told by what is not told: nobody was closed to let another in."""
    with capture_logs() as told:
        for begun in half(hall).values():
            for reset in (False, True):
                for _ in range(4):
                    give_up(hall.port, begun, reset=reset)
                await hall.served_now(come_from="127.0.0.2")
                await hall.served_now(come_from="127.0.0.2")
        hall.look(1)
        await hall.served_now()

    assert told == []


def give_up(port: int, begun: bytes, *, reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(begun)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_a_connection_that_is_closed_to_make_room_has_no_open_file(hall: Hall) -> None:
    """Nor waits for a goodbye: who does not say it may as well not say it for five seconds."""
    async with AsyncExitStack() as stack:
        before = open_files()
        for _ in range(12):
            _, writer = await stack.enter_async_context(hall.connected())
            writer.transport.pause_reading()
        await hall.served_now(come_from="127.0.0.2")
        there_are = open_files() - before - 12

    assert there_are <= 4 + 2


async def test_a_flood_of_hellos_leaves_no_more_behind_than_is_open(hall: Hall) -> None:
    """Half of them are closed between their first byte and what that begins."""
    hello, before = Client(hall.trust).hello(), handshakes_left()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            flood = [socket.create_connection(("127.0.0.1", hall.port)) for _ in range(10)]
            for sock in flood:
                stack.callback(sock.close)
                sock.sendall(hello)
            await asyncio.sleep(0)
        await hall.served_now(come_from="127.0.0.2")
        await hall.served_now(come_from="127.0.0.2")
        left = handshakes_left() - before

    assert left <= 4 + 2


async def test_what_was_closed_before_its_handshake_began_begins_none(
    authority: Authority,
) -> None:
    before = handshakes_left()
    ours, theirs = socket.socketpair()
    with theirs:
        wire, protocol = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, sock=ours
        )
        wire.close()

        assert await authority.handshakes().shake(wire, protocol, b"\x16") is None
        await asyncio.sleep(0)
    assert handshakes_left() <= before


def handshakes_left() -> int:
    """What asyncio has for each, with a buffer of 256 KiB; earlier tests may have left some."""
    gc.collect()
    return sum(type(each).__name__ == "SSLProtocol" for each in gc.get_objects())


# Each alone


@pytest.mark.parametrize("begun", [*HALVES, "HTTP", "noise", "much noise", "a goodbye"])
async def test_who_does_not_shake_hands_is_cut(
    hall: Hall, begun: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In silence; and asyncio does not fill the log."""
    caplog.set_level(logging.INFO)
    noise = {
        "HTTP": NOW,
        "noise": b"\x00" * 99,
        "much noise": bytes(4 * 1024 * 1024),
        "a goodbye": b"\x15\x03\x03\x00\x02\x01\x00",
    }
    async with AsyncExitStack() as stack:
        (reader,) = await hold(hall, (half(hall) | noise)[begun], 1, stack)
        await hall.served_now()
        hall.look(5)
        heard = await until_over(reader)

    assert b"HTTP" not in heard
    assert caplog.records == []


async def test_a_handshake_has_five_seconds_however_it_trickles(hall: Hall) -> None:
    async with connected(hall.port) as (reader, writer):
        for byte in Client(hall.trust).hello()[:5]:
            writer.write(bytes([byte]))
            await hall.served_now()
            still_there = not reader.at_eof()
            hall.look(1)

        assert still_there
        assert await until_over(reader) == b""


async def test_who_shook_hands_has_as_long_for_a_request_as_any(hall: Hall) -> None:
    client = Client(hall.trust)
    async with connected(hall.port) as (reader, writer):
        hall.look(4)
        writer.write(client.hello())
        await hall.served_now()
        hall.look(4)
        await client.shake(reader)
        writer.write(client.said())
        await hall.served_now()
        hall.look(4)
        client.tls.write(NOW)
        writer.write(client.said())

        assert await client.until(reader, b"now")


@pytest.mark.parametrize("size", [1, 7, 100, 9999])
async def test_a_hello_may_come_in_pieces(hall: Hall, size: int) -> None:
    client = Client(hall.trust)
    hello = client.hello()
    async with connected(hall.port) as (reader, writer):
        for at in range(0, len(hello), size):
            writer.write(hello[at : at + size])
            await asyncio.sleep(0)
        await client.shake(reader)
        client.tls.write(NOW)
        writer.write(client.said())

        assert await client.until(reader, b"now")


async def test_a_request_may_come_with_the_last_bytes_of_the_handshake(hall: Hall) -> None:
    client = Client(hall.trust)
    async with connected(hall.port) as (reader, writer):
        writer.write(client.hello())
        await client.shake(reader)
        client.tls.write(NOW)
        client.tls.write(NOW)
        writer.write(client.said())

        assert (await client.until(reader, b"now")).count(b"200 OK")


@pytest.mark.parametrize("asked", [b"", NOW, LARGE])
async def test_a_goodbye_that_comes_as_early_harms_nobody(
    hall: Hall, asked: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(hall.trust)
    async with connected(hall.port) as (reader, writer):
        writer.write(client.hello())
        await client.shake(reader)
        client.tls.write(asked)
        with suppress(ssl.SSLError):
            client.tls.unwrap()
        writer.write(client.said())
        await hall.served_now()
        hall.look(20)

        await until_over(reader)
    await hall.served_now()
    assert caplog.records == []


async def test_who_does_not_answer_a_goodbye_is_cut(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "GOODBYE_SECONDS", 0.2)
    last = NOW.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    client = Client(hall.trust)
    async with connected(hall.port) as (reader, writer):
        writer.write(client.hello())
        await client.shake(reader)
        client.tls.write(last)
        writer.write(client.said())
        async with asyncio.timeout(5):
            await until_over(reader)


async def test_a_goodbye_in_the_middle_of_an_answer_does_not_end_the_looks(hall: Hall) -> None:
    """asyncio's transport is not to be asked anything after it was closed twice."""
    client = Client(hall.trust)
    last = LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with connected(hall.port) as (reader, writer):
        writer.write(client.hello())
        await client.shake(reader)
        client.tls.write(last)
        writer.write(client.said())
        await reader.readexactly(1)
        with suppress(ssl.SSLError):
            client.tls.unwrap()
        writer.write(client.said())
        await hall.served_now(come_from="127.0.0.2")
        hall.look(20)

        await hall.served_now()


async def test_handshakes_end_when_tokend_does(authority: Authority) -> None:
    room = Room(tcp=8, per_address=8)
    async with asyncio.timeout(60), AsyncExitStack() as held:
        async with opened(room, authority=authority) as hall:
            begun = [await hold(hall, each, 1, held) for each in half(hall).values()]
            await hall.served_now()
        for (reader,) in begun:
            await until_over(reader)
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
