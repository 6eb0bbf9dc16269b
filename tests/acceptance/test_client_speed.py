"""What a read of a kept token costs, beside asking tokend and asking a Redis each time.

``pytest -n 0 -m long -s tests/acceptance/test_client_speed.py`` prints the line that README shows.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import serving
from redis import Redis

from tokend.client import AsyncClient, Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.long

KEY = "shop/access_token"
ROUNDS = 20
READS = 10_000
REQUESTS = 50


def each(read: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        read()
    return (time.perf_counter() - began) / times


async def each_awaited(read: Callable[[], Awaitable[object]], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        await read()
    return (time.perf_counter() - began) / times


async def test_a_read_of_a_kept_token_takes_less_than_a_microsecond(
    configured: Callable[..., Path], folder: Path, redis_socket: Path
) -> None:
    socket = folder / "tokend.sock"
    costs: dict[str, list[float]] = {"sync": [], "async": [], "HTTP": [], "Redis": []}
    async with (
        serving(configured()),
        AsyncClient(socket=socket) as aio,
        aiohttp.ClientSession("http://a", connector=aiohttp.UnixConnector(str(socket))) as http,
    ):
        with Client(socket=socket) as client, Redis(unix_socket_path=str(redis_socket)) as redis:
            redis.set("token", await asyncio.to_thread(client.token, KEY))
            await aio.token(KEY)

            async def get() -> None:
                async with http.get(f"/v1/apps/{KEY}") as response:
                    await response.json()

            for _ in range(ROUNDS):
                costs["sync"].append(each(lambda: client.token(KEY), READS))
                costs["async"].append(await each_awaited(lambda: aio.token(KEY), READS))
                costs["HTTP"].append(await each_awaited(get, REQUESTS))
                costs["Redis"].append(each(lambda: redis.get("token"), REQUESTS))

    medians = {name: median(took) * 1e6 for name, took in costs.items()}
    print(", ".join(f"{name} {cost:.2f} µs" for name, cost in medians.items()))  # noqa: T201
    assert max(medians["sync"], medians["async"]) < 1
