"""tokend on a port, in a house where hours pass in virtual time, and readers of its events."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from kit.house import House, key
from kit.served import served
from kit.virtual import LoopClock, run
from tokend import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.served import Served
    from tokend.model import Client

TOKEN = "/v1/apps/shop/access_token"


class Station:
    """tokend on a port, in a house where time passes by itself."""

    def __init__(self, house: House, served: Served, http: httpx.AsyncClient) -> None:
        self.house = house
        self.served = served
        self.http = http
        self.keeper = house.fleet.keepers["shop/access_token"]

    async def get(self, **headers: str) -> httpx.Response:
        return await self.http.get(TOKEN, headers=headers)

    async def rotate(self) -> int:
        """The generation of a new token."""
        await self.keeper.refresh(rejected=None, by="shopper")
        return self.keeper.generation

    def clients_but(self, name: str) -> list[Client]:
        return [each for each in self.house.config.clients.values() if each.name != name]

    @asynccontextmanager
    async def reading(
        self, path: str = TOKEN, *, last: str = "", client: str = "shopper"
    ) -> AsyncIterator[Reader]:
        reader = Reader(path)
        headers = {"Authorization": f"Bearer {key(client)}"}
        if last:
            headers["Last-Event-ID"] = last
        task = asyncio.create_task(reader.read(self.http, headers))
        try:
            await asyncio.sleep(0.1)
            yield reader
        finally:
            await tasks.end([task])


class Reader:
    """One stream, until it ends."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.events: list[ServerSentEvent] = []
        self.status = 0
        self.ended_at: float | None = None

    async def read(self, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
        async with aconnect_sse(http, "GET", self.path, headers=headers) as source:
            self.status = source.response.status_code
            await self.follow(source)
        self.ended_at = now()

    async def follow(self, source: EventSource) -> None:
        async for event in source.aiter_sse():
            self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    @property
    def ids(self) -> list[int]:
        return [int(event.id) for event in self.events]


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def station(folder: Path, **house_has: int) -> AsyncIterator[Station]:
    house = House(folder, clock=LoopClock(), **house_has)
    async with (
        served(house.app, folder) as where,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{where.tcp}",
            headers={"Authorization": f"Bearer {key('shopper')}"},
            timeout=None,  # noqa: S113, time is virtual
        ) as http,
    ):
        at_work = asyncio.create_task(house.look_on())
        try:
            await asyncio.sleep(10)
            yield Station(house, where, http)
        finally:
            await tasks.end([at_work])


Story = "Callable[[Station], Coroutine[Any, Any, None]]"
Tell = "Callable[[Story], None]"


def telling(folder: Path) -> Tell:
    """Run a story that needs a station."""

    def run_story(story: Story) -> None:
        async def told() -> None:
            async with station(folder) as there:
                await story(there)

        run(told())

    return run_story
