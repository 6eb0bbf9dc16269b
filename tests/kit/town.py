"""WeChat's rules in a world of one account, asked at seconds after noon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from aiohttp import web

from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

NOON = datetime(2026, 11, 20, 4, 0, 0, tzinfo=UTC)  # in Beijing
APPID = "wx0123456789abcdef"
SECRET = "canary-app-secret"
CALLER = "127.0.0.1"
GOOD = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}

Reply = dict[str, Any]
Fetch = Callable[..., Reply]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Town:
    """A world of one account."""

    def __init__(self, **settings: Any) -> None:
        self.account = Account(appid=APPID, secret=SECRET, random=Random(1), **settings)
        self.world = World([self.account], Random(2))

    def classic(self, seconds: float = 0, *, caller: str = CALLER, **query: str) -> Reply:
        return self.world.token({**GOOD, **query}, caller=caller, now=after(seconds))

    def stable(self, seconds: float = 0, *, caller: str = CALLER, **form: Any) -> Reply:
        body = json.dumps({**GOOD, **form}).encode()
        return self.world.stable_token(body, caller=caller, now=after(seconds))

    def forced(self, seconds: float = 0) -> Reply:
        return self.stable(seconds, force_refresh=True)

    def use(self, token: str, seconds: float = 0) -> Reply:
        query = {"access_token": token}
        return self.world.get_api_domain_ip(query, caller=CALLER, now=after(seconds))

    def ticket(self, token: str, seconds: float = 0, kind: str = "jsapi") -> Reply:
        query = {"access_token": token, "type": kind}
        return self.world.getticket(query, caller=CALLER, now=after(seconds))

    def valid(self, reply: Reply, seconds: float) -> bool:
        """Tell if the token of *reply* is good then; ledger and business call must agree."""
        token = reply["access_token"]
        in_ledger = self.world.is_valid(token, after(seconds))
        assert in_ledger == ("ip_list" in self.use(token, seconds))
        return in_ledger


@asynccontextmanager
async def simulated(world: World, weather: Weather | None = None) -> AsyncIterator[str]:
    """*world* over HTTP in this process: where it is."""
    app = make_app(world, weather or Weather(), SystemClock())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
