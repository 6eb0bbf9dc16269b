"""The Python client and tokend through long partitions, over real sockets and in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.house import House
from kit.proxy import Proxy, proxy
from kit.served import NO_PROXIES, ROOM
from kit.virtual import LoopClock, run

from tokend import tasks
from tokend.api.listeners import UnixSocket, serving
from tokend.api.warden import Warden
from tokend.client import AsyncClient, Away, Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

KEY = "shop/access_token"
TEN_MINUTES = 600
LIFE, AHEAD = 7200, 300


def now() -> float:
    return asyncio.get_running_loop().time()


class VirtualClient(AsyncClient):
    _elapsed = staticmethod(now)


class Reader:
    """Asks for the token every second, and writes down what it got."""

    def __init__(self, house: House, client: AsyncClient) -> None:
        self._house = house
        self._client = client
        self.dead: list[float] = []
        self.away: list[float] = []
        self.token: Token | None = None

    async def read(self) -> None:
        while True:
            try:
                self.token = await self._client.token(KEY)
            except Away:
                self.away.append(now())
            else:
                if not self._house.is_valid(self.token):
                    self.dead.append(now())
            await asyncio.sleep(1)

    def has_the_current_one(self) -> bool:
        return self.token == self._house.token(KEY)


@asynccontextmanager
async def reading(folder: Path) -> AsyncIterator[tuple[House, Proxy, Reader]]:
    """A reader, with a wire to tokend that may break."""
    house = House(folder, clock=LoopClock())
    socket = UnixSocket(path=folder / "tokend.sock")
    async with (
        serving(house.app, addresses=[], unix=socket, warden=Warden(ROOM, NO_PROXIES)),
        proxy(socket.path, folder / "wire.sock") as wire,
        VirtualClient(socket=folder / "wire.sock", patience=timedelta(seconds=5)) as client,
    ):
        reader = Reader(house, client)
        at_work = [asyncio.create_task(work) for work in (house.look_on(), reader.read())]
        try:
            await asyncio.sleep(10)
            assert reader.has_the_current_one()
            yield house, wire, reader
        finally:
            await tasks.end(at_work)


def cut(wire: Proxy) -> None:
    wire.cut()


def mute(wire: Proxy) -> None:
    wire.is_mute = True


# What a client needs to see that a silent connection is dead: a poll, and ten seconds.
NOTICED = {cut: 7, mute: 45}


@pytest.mark.parametrize("breaks", NOTICED)
@pytest.mark.parametrize("at", [60, 3000, LIFE - AHEAD - TEN_MINUTES - 60])
def test_ten_minutes_without_tokend_are_not_noticed(
    folder: Path, at: int, breaks: Callable[[Proxy], None]
) -> None:
    async def story() -> None:
        async with reading(folder) as (_, wire, reader):
            await asyncio.sleep(at - now())
            breaks(wire)
            await asyncio.sleep(TEN_MINUTES)
            assert wire.struck
            wire.mend()
            await asyncio.sleep(LIFE)

            assert (reader.away, reader.dead) == ([], [])
            assert reader.has_the_current_one()

    run(story())


@pytest.mark.parametrize("breaks", NOTICED)
@pytest.mark.parametrize("before", [550, 400, 250, 100, 10])
def test_a_refresh_that_is_not_heard_of_costs_nothing_before_the_old_token_ends(
    folder: Path, before: int, breaks: Callable[[Proxy], None]
) -> None:
    async def story() -> None:
        async with reading(folder) as (house, wire, reader):
            old, end = reader.token, house.fleet.keepers[KEY].current().expires_in
            ends_at = now() + end.total_seconds()
            await asyncio.sleep(ends_at - AHEAD - before - now())
            breaks(wire)
            began = now()
            await asyncio.sleep(TEN_MINUTES)
            assert house.token(KEY) != old
            wire.mend()
            mended = now()
            await asyncio.sleep(NOTICED[breaks])

            assert reader.dead == []
            assert reader.has_the_current_one()
            # Longer than the overlap nobody can help: the old token has ended, the new is unknown.
            ended_unheard = mended - ends_at
            assert bool(reader.away) == (ended_unheard > 0)
            assert all(ends_at <= when <= mended + NOTICED[breaks] for when in reader.away)
            assert began + TEN_MINUTES == mended

    run(story())


@pytest.mark.parametrize("breaks", NOTICED)
def test_a_new_token_is_known_soon_after_a_partition(
    folder: Path, breaks: Callable[[Proxy], None]
) -> None:
    async def story() -> None:
        async with reading(folder) as (house, wire, reader):
            breaks(wire)
            await asyncio.sleep(TEN_MINUTES)
            await house.fleet.keepers[KEY].refresh(rejected=None, by="x")
            wire.mend()
            await asyncio.sleep(NOTICED[breaks])
            assert reader.has_the_current_one()

            await asyncio.sleep(60)
            await house.fleet.keepers[KEY].refresh(rejected=None, by="x")
            await asyncio.sleep(1)
            assert reader.has_the_current_one()

    run(story())
