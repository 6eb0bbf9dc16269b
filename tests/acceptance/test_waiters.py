"""Thousands who wait for the next token of a real tokend have it soon, and others do not notice."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.process import Running

TOKEN = "/v1/apps/shop/access_token"
LONG = pytest.mark.long


def roomy(path: Path) -> Path:
    """Its configuration, with room for all who wait."""
    room = "connections = 14000\nconnections_per_address = 14000\npolls_per_client = 10500\n"
    path.write_text(path.read_text().replace("[store]", f"{room}[store]"))
    return path


@asynccontextmanager
async def crowd(
    port: int, path: str, number: int, after: int, *headers: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """So many who wait, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kit.crowd", str(port), path, str(number), str(after), *headers),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        limit=2**24,
    )
    try:
        assert await process.stdout.readline() == b"waiting\n"
        await asyncio.sleep(2)
        yield process
    finally:
        process.stdin.close()
        await process.wait()


def resident(tokend: Running) -> int:
    status = Path(f"/proc/{tokend.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", ["poll", "events"])
@pytest.mark.parametrize("number", [300, *(pytest.param(n, marks=LONG) for n in (2000, 10_000))])
async def test_all_who_wait_hear_of_the_next_token_and_others_are_served_meanwhile(
    configured, folder: Path, number: int, form: str
) -> None:
    async with serving(roomy(configured())) as (tokend, session):
        async with session.get(TOKEN) as response:
            after = (await response.json())["generation"]
        before = resident(tokend)
        path, headers = {
            "poll": (f"{TOKEN}?after={after}&wait=60", ()),
            "events": (TOKEN, ("Accept: text/event-stream",)),
        }[form]
        port = session._base_url.port  # noqa: SLF001, it has no other name
        async with crowd(port, path, number, after, *headers) as waiting:
            grown = resident(tokend) - before
            began = time.monotonic()
            forcing = asyncio.create_task(force(folder))
            hearing = asyncio.create_task(waiting.stdout.readline())
            took = []
            while not (hearing.done() and forcing.done()):
                took.append(await timed(session))
                await asyncio.sleep(0.002)
            await forcing
            met = json.loads(await hearing)

    heard = sorted(at - began for at in met["heard"])
    p99, others = quantiles(heard, n=100)[98], quantiles(took, n=100)[98]
    print(  # noqa: T201
        f"\n{number} {form}: {grown / number / 1024:.1f} KiB each; heard within {p99:.2f} s (p99), "
        f"{heard[-1]:.2f} s (all); {len(took)} others meanwhile within {others * 1000:.0f} ms (p99)"
    )
    assert met["lost"] == 0
    assert len(heard) == number
    assert heard[-1] < 30
    assert others < 2
    assert grown < number * 32 * 1024 + 16 * 2**20


async def timed(session: aiohttp.ClientSession) -> float:
    """Seconds, for a token."""
    began = time.monotonic()
    async with session.get(TOKEN) as response:
        assert response.status == 200
        await response.read()
    return time.monotonic() - began


async def force(folder: Path) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{folder}/tokend.sock")) as operator,
        operator.post(f"http://localhost{TOKEN}/refresh", json={}) as response,
    ):
        assert response.status == 200, await response.text()
