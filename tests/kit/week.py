"""What a long time is lived in: WeChat, a store and nodes, all in one loop of virtual time.

The nodes are tokend's own code from the fleet down to the rules of a record, and WeChat's are the
simulator's. What is left out are sockets, files and threads, which virtual time does not bear, and
APScheduler, which goes by the host's clock: the schedule's watchdog finds what is due.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from kit.house import APP_SECRETS, SHOP
from kit.stoppable import Stoppable
from kit.surroundings import HostClock, Line, Storage, WeChat, Wire
from tokend import config
from tokend.errors import NotReady, TokendError
from tokend.fleet import Fleet
from tokend.follower import Follower
from tokend.model import ACCESS_TOKEN, Platform
from tokend.schedule import Schedule
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from kit.judge import Judge
    from tokend.keeper import Keeper
    from tokend.model import TokenKey

APPS = "".join(
    f'[apps.{name}]\nappid = "{appid}"\nsecret_file = "{appid}"\n{rest}\n'
    for (appid, name, rest) in zip(
        APP_SECRETS,
        ("shop", "blog"),
        ('kinds = ["access_token", "jsapi_ticket"]', 'method = "token"'),
        strict=True,
    )
)
REJECTED = {40001, 40014, 42001}
WATCH = timedelta(seconds=5)


class Node(Stoppable):
    """One tokend, and a client that uses what it gives all the time."""

    def __init__(self, number: int, town: Town) -> None:
        super().__init__()
        self.number = number
        self._town = town
        self._random = Random(f"{town.seed} {number} {town.clock.elapsed()}")
        self.wire = Wire(town.storage, self._random)
        self.line = Line(self, town.wechat, town.judge, town.config.terms.call)
        self.store = LocalStore(self.wire, town.clock)
        self.schedule = Schedule(town.clock)
        self.fleet = Fleet(
            store=self.store,
            transports=dict.fromkeys(Platform, self.line),
            terms=town.config.terms,
            on_plan=self.schedule.plan,
            on_token=lambda *_: None,
            on_event=lambda _, __: None,
            on_retire=lambda _: None,
            spawn=self.begin,
            clock=town.clock,
        )
        self.follower = Follower(self.store, self.fleet.records, town.clock)
        self.begin(self._live())

    async def _live(self) -> None:
        self.fleet.apply(self._town.config.apps)
        await self.follower.look_at_all()
        self.begin(self.follower.run())
        self.begin(self._use())
        while True:
            await self.schedule.look()
            await self._town.clock.sleep(WATCH)

    async def _use(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(2, 10))
            for keeper in self.fleet.keepers.values():
                await self.follower.awake()
                self._look(keeper)

    def _look(self, keeper: Keeper) -> None:
        judge = self._town.judge
        try:
            token = keeper.current().token
        except NotReady:
            judge.got_nothing(self, keeper, self._town.clock.now())
            return
        value = token.value.reveal()
        judge.got(self, keeper, is_valid=self._town.wechat.is_valid(value))
        if keeper.key.kind == ACCESS_TOKEN and self._town.wechat.use(value) in REJECTED:
            self.begin(self._report(keeper, token.value))

    async def _report(self, keeper: Keeper, rejected: object) -> None:
        with suppress(TokendError):
            await keeper.report(rejected, timedelta(seconds=3), by=f"client-{self.number}")

    def serves(self, key: str) -> str:
        """Nothing where there is nothing."""
        try:
            return self.fleet.keepers[key].current().token.value.reveal()
        except (KeyError, NotReady):
            return ""

    async def complain(self) -> None:
        """A program in a loop says of every token that it is no good."""
        while True:
            for keeper in self.fleet.keepers.values():
                with suppress(NotReady):
                    await self._report(keeper, keeper.current().token.value)
            await asyncio.sleep(5)

    def force(self) -> None:
        """An operator wants a new token."""

        async def ask() -> None:
            with suppress(TokendError):
                await self.fleet.keepers["shop/access_token"].refresh(rejected=None, by="operator")

        self.begin(ask())

    def kill(self) -> None:
        """What it was about is never done, but for what WeChat has heard already."""
        self.wire.is_cut = self.line.is_cut = True
        self.go_on()
        for task in tuple(self.tasks):
            task.cancel()


class Town:
    """All of it. *nodes* by number; one that was killed is not among them."""

    def __init__(self, folder: Path, seed: int, nodes: int, judge: Judge) -> None:
        self.seed = seed
        self.clock = HostClock()
        self.config = _configured(folder)
        self.wechat = WeChat(self.clock, seed)
        self.storage = Storage()
        self.judge = judge
        self.nodes = {number: Node(number, self) for number in range(nodes)}

    def rotate(self) -> None:
        self.wechat.world.rotate(SHOP, self.clock.now())

    def start(self, number: int) -> None:
        self.nodes[number] = Node(number, self)

    def kill(self, number: int) -> None:
        self.nodes.pop(number).kill()

    async def trouble(self) -> str:
        """What is not as it is when all is well; empty if nothing is."""
        for key in self.config.keys:
            stored = await LocalStore(self.storage, self.clock).load(key)
            served = {node.serves(str(key)) for node in self.nodes.values()}
            if "" in served or len(served) > 1:
                return f"{key}: {len(served - {''})} tokens are served, or none by some"
            if stored is None or stored.value.reveal() not in served:
                return f"{key}: the store has another one, or none"
            if stored.suspect and not await self._is_spent(key):
                return f"{key}: it is suspect"
            if not self.wechat.is_valid(*served):
                return f"{key}: it is dead"
        return ""

    async def _is_spent(self, key: TokenKey) -> bool:
        """Then nothing but a planned refresh clears a suspect token."""
        record = await self.storage.read(key.record)
        return len(record.spent) >= self.config.terms.daily

    def wait(self) -> timedelta:
        """How long nobody will do what WeChat has refused."""
        statuses = [
            each.status() for node in self.nodes.values() for each in node.fleet.keepers.values()
        ]
        waits = [status.next_refresh_in for status in statuses if status.failures]
        return max(waits, default=timedelta(0))


def _configured(folder: Path) -> config.Config:
    for name, secret in APP_SECRETS.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret)
    path = folder / "tokend.toml"
    path.write_text(APPS)
    return config.load(path, environ={})
