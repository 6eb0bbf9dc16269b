"""What a node has around it in virtual time: WeChat, a store, ways there, and a clock."""

from __future__ import annotations

import asyncio
import json
from contextvars import Context
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from kit.house import APP_SECRETS
from kit.scene import Forgetful
from kit.virtual import LoopClock
from tokend.errors import StoreError, UpstreamUnclear, UpstreamUnreachable
from tokend.simulator.account import Account
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from kit.judge import Judge
    from kit.week import Node
    from tokend.simulator.weather import Fault
    from tokend.store.record import Record
    from tokend.wechat.recipes import Request

CALLER = "127.0.0.1"

_ENDPOINTS = {
    "/cgi-bin/token": "token",
    "/cgi-bin/stable_token": "stable_token",
    "/cgi-bin/ticket/getticket": "getticket",
}


class HostClock(LoopClock):
    """Somebody may set it."""

    jump = timedelta(0)

    def wall(self):
        return self.now() + self.jump

    def to_wall(self, when):
        return when + self.jump

    def from_wall(self, shown):
        return shown - self.jump


class WeChat:
    """The simulator's rules through its weather; whoever gives up is not waited for."""

    def __init__(self, clock: HostClock, seed: int) -> None:
        self.clock = clock
        self.weather = Weather()
        self.is_reachable = True
        accounts = [
            Account(appid=appid, secret=secret, random=Random(f"{seed} {appid}"))
            for appid, secret in APP_SECRETS.items()
        ]
        self.world = World(accounts, Random(seed))
        self._trips: set[asyncio.Task[object]] = set()

    def begin(self, endpoint: str, request: Request) -> asyncio.Task[tuple[Fault, bytes]]:
        trip = asyncio.get_running_loop().create_task(
            self._travel(endpoint, request), context=Context()
        )
        self._trips.add(trip)
        trip.add_done_callback(self._trips.discard)
        return trip

    async def _travel(self, endpoint: str, request: Request) -> tuple[Fault, bytes]:
        fault, reply = self.weather.strike(endpoint), {}
        await asyncio.sleep(0.05 + fault.delay_seconds)
        if fault.reaches_the_world:
            call = getattr(self.world, endpoint)
            reply = call(request.body or request.query, caller=CALLER, now=self.clock.now())
        await asyncio.sleep(fault.late_seconds)
        return fault, bytes(fault.answer(reply))

    def use(self, token: str) -> int:
        """The errcode of a business call with it."""
        query = {"access_token": token}
        now = self.clock.now()
        return self.world.get_api_domain_ip(query, caller=CALLER, now=now).get("errcode", 0)

    def is_valid(self, value: str) -> bool:
        return self.world.is_valid(value, self.clock.now())


class Storage(Forgetful):
    """One table for all. *away*, *slow* and *is_losing* are about whoever asks."""

    away = False
    slow = 0.0
    is_losing = False

    def snapshot(self) -> tuple[dict[str, Record], dict[str, int], int]:
        return self._records.copy(), self._changed.copy(), self._cursor

    def go_back(self, to: tuple[dict[str, Record], dict[str, int], int]) -> None:
        """A replica takes over that had not heard of the last writes."""
        records, changed, self._cursor = to
        self._records, self._changed = records.copy(), changed.copy()


class Wire:
    """To the storage, for one node; *is_cut* is about this node alone."""

    def __init__(self, storage: Storage, random: Random) -> None:
        self._storage = storage
        self._random = random
        self.is_cut = False
        self.board = storage.board

    async def read(self, names):
        await self._reach()
        return await self._storage.read(names)

    async def update(self, name, step) -> Record:
        await self._reach()
        record = await self._storage.update(name, step)
        if self._storage.is_losing and self._random.random() < 0.5:
            raise StoreError("the answer was lost")
        return record

    async def changes(self, since: int):
        await self._reach()
        return await self._storage.changes(since)

    async def _reach(self) -> None:
        if self._storage.slow:
            await asyncio.sleep(self._random.uniform(0, self._storage.slow))
        if self._storage.away or self.is_cut:
            raise StoreError("away")


class Line:
    """To WeChat, for one node: what the transport is, without HTTP."""

    def __init__(self, node: Node, wechat: WeChat, judge: Judge, patience: timedelta) -> None:
        self._node = node
        self._wechat = wechat
        self._judge = judge
        self._patience = patience.total_seconds()
        self.is_cut = False

    async def send(self, request: Request) -> bytes:
        if self.is_cut or not self._wechat.is_reachable:
            raise UpstreamUnreachable("away")
        endpoint = _ENDPOINTS[request.path]
        with self._judge.asking(self._node, endpoint, is_costly=_is_costly(request)):
            trip = self._wechat.begin(endpoint, request)
            try:
                async with asyncio.timeout(self._patience):
                    fault, body = await asyncio.shield(trip)
            except TimeoutError:
                raise UpstreamUnclear("no answer in time") from None
        if fault.cut or fault.status != 200:
            raise UpstreamUnclear("no answer")
        return body


def _is_costly(request: Request) -> bool:
    """It ends the life of a token, and nothing planned it."""
    return bool(request.body) and json.loads(request.body)["force_refresh"]
