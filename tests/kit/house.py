"""All of tokend but its sockets and its store's server, with two accounts and a corp behind it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from kit.clock import ManualClock, settle
from kit.office import CORPID, SALES, SECRETS, STOCK, corp
from kit.scene import DirectTransport, Forgetful
from tokend import config
from tokend.api.access import Access
from tokend.api.polls import Polls
from tokend.api.routes import make_app
from tokend.api.screen import Screen
from tokend.api.source import Proxies
from tokend.audit.file import AuditFile
from tokend.audit.trail import Trail
from tokend.chronicle import Chronicle
from tokend.errors import ConfigError
from tokend.facade.callers import Callers
from tokend.facade.handles import Handles
from tokend.facade.owners import Owners
from tokend.facade.routes import Facade
from tokend.fleet import Fleet
from tokend.forward.forward import Forward
from tokend.forward.passages import Passages
from tokend.login import desk
from tokend.metrics.counts import Counts
from tokend.metrics.keys import Keys
from tokend.metrics.scrape import Scrape
from tokend.model import Platform
from tokend.page.routes import StatusPage
from tokend.schedule import Schedule
from tokend.simulator.account import Account
from tokend.simulator.world import World
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.test_utils import TestClient

    from kit.virtual import LoopClock
    from tokend.wechat.relay import Relay

NO_PROXIES = Proxies()
SHOP, BLOG = "wx0123456789abcdef", "wxfedcba9876543210"
APP_SECRETS = {SHOP: "0" * 32, BLOG: "1" * 32}

# Who there is. Each has its name for a key.
CLIENTS = """
[clients.shopper]
apps = ["shop"]
can = ["read", "refresh", "sign", "call"]
[clients.blogger]
apps = ["blog"]
can = ["read", "refresh", "call"]
[clients.seller]
apps = ["sales"]
can = ["read", "refresh"]
[clients.onlooker]
apps = ["*"]
can = ["status"]
[clients.everybody]
apps = ["*"]
can = ["read"]
[clients.blind]
apps = ["shop"]
can = ["read", "refresh", "call", "sign"]
tokens = "never"
"""

APPS = f"""
[apps.shop]
appid = "{SHOP}"
secret_file = "{SHOP}"
kinds = ["access_token", "jsapi_ticket", "wx_card_ticket"]
[apps.blog]
appid = "{BLOG}"
secret_file = "{BLOG}"
method = "token"
[apps.sales]
type = "wecom"
corpid = "{CORPID}"
agentid = {SALES}
secret_file = "{SALES}"
kinds = ["access_token", "jsapi_ticket", "agent_config_ticket"]
[apps.stock]
type = "wecom"
corpid = "{CORPID}"
agentid = {STOCK}
secret_file = "{STOCK}"
"""


def key(client: str) -> str:
    return f"key-of-{client}"


class House:
    """tokend as it is configured, on a clock moved by hand."""

    def __init__(
        self,
        folder: Path,
        *,
        clients: str = CLIENTS,
        apps: str = APPS,
        clock: ManualClock | LoopClock | None = None,
        proxies: Proxies = NO_PROXIES,
        relay: Relay | None = None,
        most_polls: int = 100,
    ) -> None:
        self.clock = clock or ManualClock()
        accounts = [
            Account(appid=appid, secret=secret, random=Random(n))
            for n, (appid, secret) in enumerate(APP_SECRETS.items())
        ]
        self.world = World(accounts, Random(2), [corp()])
        self.wechat = DirectTransport(self.world, self.clock)
        self.schedule = Schedule(self.clock)
        self.owners = Owners(self.clock)
        self.chronicle = Chronicle(self.clock)
        self.counts = Counts(self.clock)
        self.chronicle.listeners.append(self.counts.happened)
        self.trail = Trail(self.clock, AuditFile(""))
        self.table = Forgetful()
        self.looked = asyncio.Event()
        self.looked.set()
        self.tasks: set[asyncio.Task[object]] = set()
        self.config = _load(folder, f"[forward]\nenabled = true\n{apps}{clients}")
        self.store = LocalStore(self.table, self.clock)
        self.fleet = Fleet(
            store=self.store,
            transports=dict.fromkeys(Platform, self.wechat),
            terms=self.config.terms,
            on_plan=self.schedule.plan,
            on_token=self._replaced,
            on_event=self.chronicle.add,
            on_retire=self.owners.forget,
            spawn=self._spawn,
            clock=self.clock,
            meter=self.counts,
        )
        self.trouble = None
        self.mistakes = ()
        self.access = access = Access(self.config.clients.values(), self.clock)
        self.handles = handles = Handles(self.fleet.app, self.clock)
        self.callers = callers = Callers(
            self.fleet.keepers, self.fleet.records, access, owners=self.owners, handles=handles
        )
        self.upstreams: dict[Platform, str] = {}
        self.counts.read(self, self, self.config.terms)
        metered = Keys(self.fleet.keepers, self.fleet.budgets, self.clock)
        login = desk.routes(
            self.config.login,
            shelf=self.store.shelf,
            transport=self.wechat,
            keepers=self.fleet.keepers,
            app=self.fleet.named,
            access=access,
            awake=self.awake,
            spawn=self._spawn,
            meter=self.counts,
            clock=self.clock,
        )
        shaped = [
            Scrape(self.counts, metered, access, is_open=self.config.server.metrics == "open"),
            Facade(self.fleet.keepers, callers, handles, follower=self, clock=self.clock),
        ]
        passages = Passages(callers, self.upstreams)
        forward = Forward(relay, passages, awake=self.awake) if relay else None
        self.polls = Polls(most=most_polls, most_per_client=most_polls, most_at_socket=most_polls)
        page = StatusPage(
            self.fleet.keepers,
            access,
            self.clock,
            names=lambda: self.fleet.names,
            chronicle=self.chronicle,
            follower=self,
            configuration=self,
            terms=self.config.terms,
        )
        self.app = make_app(
            self.fleet.keepers,
            access,
            self.clock,
            names=lambda: self.fleet.names,
            follower=self,
            configuration=self,
            trail=self.trail,
            chronicle=self.chronicle,
            screen=Screen(proxies=proxies),
            polls=self.polls,
            shaped=[page, *shaped, *login],
            rest=forward,
        )
        self.app.on_response_prepare.append(self.counts.answered)
        self.http: TestClient

    async def begin(self) -> None:
        self.fleet.apply(self.config.apps)
        await self.live(3)

    async def live(self, seconds: int, step: int = 1) -> None:
        for _ in range(0, seconds, step):
            await self.schedule.look()
            await settle()
            await self.clock.advance(step)
        await self.schedule.look()
        await settle()

    async def look_on(self) -> None:
        """Do what is due, for ever, by a clock that moves on by itself."""
        self.fleet.apply(self.config.apps)
        while True:
            await self.schedule.look()
            await self.clock.sleep(timedelta(seconds=1))

    async def awake(self) -> None:
        """There are no other nodes; a test may let it have stood still."""
        await self.looked.wait()

    async def reload(self) -> None:
        """The file says what it said before, if it has no *mistakes*."""
        if self.mistakes:
            raise ConfigError(self.mistakes)

    async def notice(self, keeper) -> None:
        """Look into the store, as the follower does."""
        (found,) = await self.store.load_many([keeper.key])
        keeper.notice(found)

    async def get(self, path: str, **query: str) -> dict[str, object]:
        async with self.http.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: object, **query: str) -> dict[str, object]:
        async with self.http.post(path, json=body, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def token(self, name: str) -> str:
        """What tokend has now."""
        return self.fleet.keepers[name].current().token.value.reveal()

    def tokens(self) -> dict[str, str]:
        """All that tokend has now, by key."""
        return {name: self.token(name) for name in self.fleet.keepers}

    def is_valid(self, value: object) -> bool:
        return self.world.is_valid(str(value), self.clock.now())

    def _replaced(self, keeper, before) -> None:
        self.owners.learn(keeper, before)
        if before:
            self.trail.learn(keeper.key, before=before.generation, generation=keeper.generation)

    def _spawn(self, flight):
        task = asyncio.get_running_loop().create_task(flight)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


def _load(folder: Path, text: str) -> config.Config:
    for name, secret in {**APP_SECRETS, **SECRETS}.items():
        path = folder / str(name)
        path.touch(mode=0o600)
        path.write_text(secret)
    lines = []
    for line in text.splitlines():
        lines.append(line)
        if line.startswith("[clients."):
            digest = hashlib.sha256(key(line[9:-1]).encode()).hexdigest()
            lines.append(f'key_sha256 = "{digest}"')
    path = folder / "tokend.toml"
    path.write_text("\n".join(lines))
    return config.load(path, environ={})
