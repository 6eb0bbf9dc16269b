"""Many connections at once, and nobody who means well notices: real processes, real time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import ssl
import statistics
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.process import TOKEND, one_shot, running
from kit.served import connected, until_over
from kit.tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.process import Running, Simulator

PORT = re.compile(r'"urls": \["https?://127.0.0.1:(\d+)"')
ASK = b"GET /v1/apps/shop/access_token HTTP/1.1\r\nHost: localhost\r\n\r\n"
ASKED = 300
PAUSE = 3
MOST_OF_ONE_ADDRESS = 1024


@asynccontextmanager
async def idle(port: int, number: int, *, begun: bytes = b"") -> AsyncIterator[None]:
    """So many connections that say no more than *begun*, each opened again when it was closed."""

    async def hold() -> None:
        while True:
            try:
                async with connected(port) as (reader, writer):
                    writer.write(begun)
                    await until_over(reader)
            except OSError:
                pass
            await asyncio.sleep(PAUSE)

    holding = [asyncio.create_task(hold()) for _ in range(number)]
    await asyncio.sleep(2)
    try:
        yield
    finally:
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)


@pytest.mark.parametrize(
    "number", [500, pytest.param(2000, marks=pytest.mark.long)], ids=["500", "2000"]
)
async def test_idle_connections_keep_nobody_from_a_token(configured, number: int) -> None:
    async with running("serve", str(configured())) as tokend:
        port = int((await tokend.said(PORT))[1])
        await token(port)
        before = resident(tokend)
        async with idle(port, number):
            took = [await timed(port) for _ in range(ASKED)]
            grown = resident(tokend) - before

    p99 = statistics.quantiles(took, n=100)[98]
    print(f"\n{number} idle: p99 {p99 * 1000:.1f} ms, {grown / 2**20:.1f} MiB more")  # noqa: T201
    assert p99 < (0.1 if number > 500 else 1)
    assert grown < 64 * 2**20


@pytest.mark.parametrize(
    "number", [500, pytest.param(2000, marks=pytest.mark.long)], ids=["500", "2000"]
)
async def test_half_open_handshakes_keep_nobody_from_a_token(
    configured, folder: Path, number: int
) -> None:
    """Each has an open file, and a buffer of asyncio's, of 256 KiB, from its first byte on.

    How long it takes depends on the machine: each of them costs half a handshake.
    """
    path = configured()
    trust = encrypt(path, folder)
    async with running("serve", str(path)) as tokend:
        port = int((await tokend.said(PORT))[1])
        await token(port, trust)
        before = resident(tokend)
        async with idle(port, number, begun=hello(trust)):
            took = [await timed(port, trust) for _ in range(ASKED)]
            grown = resident(tokend) - before
            files = open_files(tokend)

    p99 = statistics.quantiles(took, n=100)[98]
    print(f"\n{number} half-open: p99 {p99 * 1000:.1f} ms, {grown / 2**20:.1f} MiB more")  # noqa: T201
    assert files < MOST_OF_ONE_ADDRESS + 64
    assert grown < MOST_OF_ONE_ADDRESS * 512 * 1024


def encrypt(path: Path, folder: Path) -> ssl.SSLContext:
    """Have *path* name a certificate; what trusts it."""
    authority = Authority(folder)
    authority.issue("server", "127.0.0.1")
    path.write_text(path.read_text().replace("[server]\n", '[server]\ncert_file = "server.pem"\n'))
    return authority.context()


def hello(trust: ssl.SSLContext) -> bytes:
    """How a handshake begins."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trust.wrap_bio(heard, said, server_hostname="127.0.0.1").do_handshake()
    return said.read()


async def test_with_few_open_files_and_many_connections_a_refresh_succeeds(
    configured, folder: Path, wechat: Simulator
) -> None:
    path = configured()
    limited = ("sh", "-c", 'ulimit -n 64 && exec "$0" "$@"', TOKEND)
    async with running("serve", str(path), program=limited) as tokend:
        port = int((await tokend.said(PORT))[1])
        first = await token(port)
        async with idle(port, 200):
            code, out, err = await one_shot(
                "refresh", "shop/access_token", "--socket", f"{folder}/tokend.sock"
            )
            second = await token(port)

    assert (code, err) == (0, ""), out
    assert first != second
    assert await wechat.accepts(second)
    assert "few_open_files" in "".join(tokend.lines)
    assert "Traceback" not in "".join(tokend.lines)


async def token(port: int, trust: ssl.SSLContext | None = None) -> str:
    connecting = connected(port, come_from="127.0.0.2", trust=trust)
    async with asyncio.timeout(30), connecting as (reader, writer):
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        return json.loads(await reader.readexactly(length))["access_token"]


async def timed(port: int, trust: ssl.SSLContext | None = None) -> float:
    """Seconds, for a new connection and a token."""
    began = time.perf_counter()
    await token(port, trust)
    return time.perf_counter() - began


def resident(tokend: Running) -> int:
    """Bytes."""
    pages = Path(f"/proc/{tokend.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def open_files(tokend: Running) -> int:
    return sum(1 for _ in Path(f"/proc/{tokend.process.pid}/fd").iterdir())


SLOW = {
    "by its head": ASK[:20],
    "by its body": b"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 9\r\n\r\n{",
}


async def test_who_sends_too_slowly_is_told_and_cut(configured) -> None:
    async with running("serve", str(configured())) as tokend:
        port = int((await tokend.said(PORT))[1])
        heard = await asyncio.gather(*(slowly(port, sent) for sent in SLOW.values()))

    for answer, seconds in heard:
        assert b" 408 " in answer
        assert b"Connection: close" in answer
        assert 3 < seconds < 15


async def slowly(port: int, sent: bytes) -> tuple[bytes, float]:
    """What comes of it, and after how many seconds."""
    began = time.perf_counter()
    async with asyncio.timeout(60), connected(port) as (reader, writer):
        writer.write(sent)
        return await until_over(reader), time.perf_counter() - began


async def test_without_the_c_parser_it_does_not_start(configured) -> None:
    code, _, err = await one_shot("serve", str(configured()), env={"AIOHTTP_NO_EXTENSIONS": "1"})

    assert code == os.EX_UNAVAILABLE
    assert "tokend: error: aiohttp has no C parser here" in err
