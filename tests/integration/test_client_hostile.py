"""The Python client before servers that mean it harm: bounded in time and size, and told plainly.

By whatever is said, the client tells neither it nor its own key, and serves what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from kit.stranger import Say, saying, stranger

from tokend.client import AsyncClient, Away, Client, address, wire
from tokend.client.connection import Connection
from tokend.client.line import exchange as exchange_by_aiohttp
from tokend.client.line import session

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tokend.client.address import Address

KEY = "shop/access_token"
CANARY = "canary"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_TOKEND = "not tokend's own"
TOO_LONG = "the answer is too long"

# What may be asked of the two, whose request is patient for half a second, on a busy machine.
SECONDS = 15
BYTES = 16 * 1024 * 1024


def full(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return HEAD + f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def issued(**changes: object) -> bytes:
    answer = {"app": "shop", "kind": "access_token", "access_token": "92_1", "generation": 1}
    return full(json.dumps({**answer, "expires_in": 7200, **changes}).encode())


def endless(begin: bytes, piece: bytes) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(piece)

    return say


def dripping(begin: bytes) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(b"c")
            time.sleep(0.2)

    return say


def cut(answer: bytes) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.close()

    return say


HOSTILE = {
    "endless body": (endless(HEAD + b"\r\n", CANARY.encode() * 9999), TOO_LONG),
    "endless chunks": (endless(CHUNKED, b"6\r\ncanary\r\n" * 999), TOO_LONG),
    "chunk of minus one": (endless(CHUNKED + b"-1\r\n", CANARY.encode() * 9999), ""),
    "endless trailers": (endless(CHUNKED + b"0\r\n", b"canary: canary\r\n" * 999), ""),
    "endless headers": (endless(HEAD, b"canary: canary\r\n" * 999), ""),
    "endless status line": (endless(b"HTTP/1.1 200 ", CANARY.encode() * 9999), ""),
    "flood of 1xx": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), ""),
    "a header of a megabyte": (saying(HEAD + b"canary: " + b"x" * 2**20 + b"\r\n\r\n"), ""),
    "ten megabytes of JSON": (saying(full(b'["' + CANARY.encode() * 1_700_000 + b'"]')), TOO_LONG),
    "gzip bomb": (
        saying(full(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")),
        NOT_TOKEND,
    ),
    "promise of a terabyte": (saying(HEAD + b"Content-Length: 1099511627776\r\n\r\ncanary"), ""),
    "negative length": (saying(HEAD + b"Content-Length: -5\r\n\r\ncanary"), ""),
    "length of 5000 digits": (
        saying(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\ncanary"),
        "",
    ),
    "chunks of garbage": (saying(CHUNKED + b"canary\r\ncanary"), ""),
    "slow body": (dripping(HEAD + b"Content-Length: 999\r\n\r\n"), "TimeoutError"),
    "slow headers": (dripping(HEAD + b"x: "), "TimeoutError"),
    "slow status line": (dripping(b""), ""),
    "end within the body": (cut(issued(access_token=CANARY)[:-9]), ""),
    "end within the headers": (cut(HEAD + b"canary"), ""),
    "end at once": (cut(b""), ""),
    "redirect": (
        saying(b"HTTP/1.1 307 canary\r\nLocation: /canary\r\nContent-Length: 0\r\n\r\n"),
        f"HTTP status 307, {NOT_TOKEND}",
    ),
    "another protocol": (
        saying(b"HTTP/1.1 101 canary\r\nUpgrade: canary\r\nConnection: upgrade\r\n\r\n"),
        "",
    ),
    "no HTTP": (saying(b"SSH-2.0-canary\r\n"), ""),
    "deep nesting": (saying(full(b"[" * 60_000)), NOT_TOKEND),
    "another key's token": (saying(issued(app="other", access_token=CANARY)), NOT_TOKEND),
    "a token of two lines": (saying(issued(access_token="canary\ncanary")), NOT_TOKEND),
}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{CANARY}-key")
    return path


def ask(where: Address, request: wire.Request) -> wire.Reply:
    connection = Connection(where)
    try:
        return connection.ask(request)
    finally:
        connection.close()


def ask_by_aiohttp(where: Address, request: wire.Request) -> wire.Reply:
    async def exchange() -> wire.Reply:
        async with session(where) as http:
            return await exchange_by_aiohttp(http, where, request)

    return asyncio.run(exchange())


BOTH = pytest.mark.parametrize("exchange", [ask, ask_by_aiohttp], ids=["sync", "async"])


@contextlib.contextmanager
def measured() -> Iterator[list[int]]:
    """The most bytes of this process, the server's too; there when it is over."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_little_and_is_not_repeated(
    key_file: Path, exchange: Callable[[Address, wire.Request], wire.Reply], name: str
) -> None:
    say, words = HOSTILE[name]
    request = replace(wire.get(KEY), patience=0.5)
    with stranger(say) as url:
        where = address.find(url=url, socket=None, key_file=key_file)
        began = time.monotonic()
        with measured() as peak, pytest.raises(Away) as caught:
            wire.read(exchange(where, request), KEY, asked_at=0, now=0)
        took = time.monotonic() - began

    said = str(caught.value)
    assert words in said
    assert said.startswith((KEY, url))
    assert said.isprintable()
    assert CANARY not in said
    assert took < SECONDS
    assert peak[0] < BYTES


GOOD = {
    "by length": issued(),
    "in chunks": CHUNKED
    + b"".join(b"1\r\n%c\r\n" % byte for byte in issued().partition(b"\r\n\r\n")[2])
    + b"0\r\n\r\n",
    "and no more on this connection": issued().replace(HEAD, HEAD + b"Connection: close\r\n"),
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + issued(),
    "with headers of its own": issued().replace(HEAD, HEAD + b"X: " + b"y" * 4000 + b"\r\n"),
}


@BOTH
@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_a_token_may_come_by_any_way_that_http_has(
    exchange: Callable[[Address, wire.Request], wire.Reply], answer: bytes
) -> None:
    with stranger(saying(answer)) as url:
        where = address.find(url=url, socket=None, key_file=None)
        held = wire.read(exchange(where, wire.get(KEY)), KEY, asked_at=0, now=0)

    assert held
    assert held.token == "92_1"


@BOTH
def test_a_token_may_come_until_the_end_of_the_connection(
    exchange: Callable[[Address, wire.Request], wire.Reply],
) -> None:
    """As from a proxy that speaks HTTP/1.0."""
    _, _, body = issued().partition(b"\r\n\r\n")
    with stranger(cut(b"HTTP/1.0 200 OK\r\n\r\n" + body)) as url:
        where = address.find(url=url, socket=None, key_file=None)
        held = wire.read(exchange(where, wire.get(KEY)), KEY, asked_at=0, now=0)

    assert held
    assert held.token == "92_1"


def then(first: bytes, say: Say) -> Say:
    """*first* to the first who asks."""
    firsts = [first]

    def say_next(connection: socket.socket) -> None:
        if firsts:
            connection.sendall(firsts.pop())
        else:
            say(connection)

    return say_next


# The flood of 1xx is not among them: aiohttp follows it for as long as the request has time.
STRANGE = ["endless body", "endless headers", "another key's token", "no HTTP", "redirect"]


@pytest.mark.parametrize("name", STRANGE)
async def test_what_was_held_before_is_served(name: str) -> None:
    say, _ = HOSTILE[name]
    heard: list[bytes] = []
    with stranger(then(issued(), say), heard=heard) as url, Client(url=url) as client:
        assert client.token(KEY) == "92_1"
        async with asyncio.timeout(SECONDS):
            while len(heard) < 4:
                await asyncio.sleep(0.01)
        assert client.token(KEY) == "92_1"

    heard.clear()
    with stranger(then(issued(), say), heard=heard) as url:
        async with AsyncClient(url=url) as aio, asyncio.timeout(SECONDS):
            assert await aio.token(KEY) == "92_1"
            while len(heard) < 4:
                await asyncio.sleep(0.01)
            assert await aio.token(KEY) == "92_1"


async def test_cookies_are_not_kept() -> None:
    """Of a host with a name; aiohttp takes none from an address."""
    asked: list[bytes] = []

    def say(connection: socket.socket) -> None:
        answer = issued(generation=len(asked) + 1)
        connection.sendall(answer.replace(HEAD, HEAD + b"Set-Cookie: a=canary\r\n"))

    with stranger(say, heard=asked) as url:
        named = url.replace("127.0.0.1", "localhost")
        async with AsyncClient(url=named) as aio, asyncio.timeout(SECONDS):
            await aio.token(KEY)
            while len(asked) < 3:
                await asyncio.sleep(0.01)

    assert b"canary" not in b"".join(asked)
