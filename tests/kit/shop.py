"""A mini-program's business server and its users' phones: tokend on a real store in between, and
WeChat behind it, over HTTP, all in the process of the test.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp

from kit import canaries
from kit.logged import logging_to
from kit.town import simulated
from tokend import config, daemon
from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.simulator.phone import Phone

APPIDS = {"shop": "wx0123456789abcdef", "blog": "wxfedcba9876543210"}
SECRET = "canary-app-secret"
SEAL_KEY = "0" * 64

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "{store}"
{seal}
[wechat]
url = "{wechat}"
timeout_seconds = 2
[login]
enabled = true
[log]
level = "debug"
"""
_APP = """
[apps.{name}]
appid = "{appid}"
secret_file = "app.secret"
"""


@dataclass(frozen=True)
class Answered:
    """What tokend answered. *answer* is empty where there is no JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads(self.text) if self.text else {}

    @property
    def code(self) -> str:
        return self.answer.get("code", "")


@dataclass
class WeChat:
    """The world of both apps, and the weather there."""

    world: World
    weather: Weather = field(default_factory=Weather)
    url: str = ""

    def phone(self, user: str = "ann", app: str = "shop") -> Phone:
        return self.world.phone(APPIDS[app], user)

    def code(self, user: str = "ann", app: str = "shop") -> str:
        """Of ``wx.login``."""
        return self.phone(user, app).login(SystemClock().now())

    def profile(self, user: str = "ann") -> dict[str, str]:
        return self.phone(user).profile(SystemClock().now())

    def calls(self, endpoint: str = "jscode2session") -> int:
        return self.world.calls(APPIDS["shop"], endpoint)


@dataclass
class Shop:
    """One tokend as the business server sees it."""

    wechat: WeChat
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> Answered:
        """Below ``/v1/apps``; *more* is what goes to aiohttp, in the place of a body too."""
        given = {} if body is None else {"json": body}
        async with self.http.request(method, f"/v1/apps/{path}", **given, **more) as response:
            headers = {n: v for n, v in response.headers.items() if n != "Date"}
            return Answered(response.status, headers, await response.text())

    async def log_in(self, code: str = "", app: str = "shop") -> Answered:
        return await self.ask("POST", f"{app}/sessions", {"code": code or self.wechat.code()})

    async def session(self, user: str = "ann") -> str:
        """The path of a new one."""
        begun = await self.log_in(self.wechat.code(user))
        assert begun.status == 200, begun
        return f"shop/sessions/{begun.answer['session']}"


@asynccontextmanager
async def wechat() -> AsyncIterator[WeChat]:
    """A WeChat with both accounts."""
    accounts = [
        Account(appid=appid, secret=SECRET, random=Random(appid)) for appid in APPIDS.values()
    ]
    there = WeChat(World(accounts, Random(1)))
    async with simulated(there.world, there.weather) as there.url:
        yield there


@asynccontextmanager
async def shop(
    folder: Path,
    behind: WeChat,
    store: str,
    *,
    is_sealed: bool = False,
    clock: SystemClock | None = None,
) -> AsyncIterator[Shop]:
    """A tokend on *store*."""
    seal = 'seal_key_file = "seal.key"' if is_sealed else ""
    text = _CONFIG.format(store=store, wechat=behind.url, seal=seal)
    text += "".join(_APP.format(name=name, appid=appid) for name, appid in APPIDS.items())
    path = folder / "tokend.toml"
    path.write_text(text)
    for name, secret in (("app.secret", SECRET), ("seal.key", SEAL_KEY)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(secret)
    urls: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        daemon.serve(
            config.load(path, environ={}),
            clock or SystemClock(),
            on_serving=urls.set_result,
        )
    )
    try:
        await asyncio.wait([serving, urls], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        async with aiohttp.ClientSession(
            (await urls)[0], middlewares=[canaries.look_at_refusals]
        ) as session:
            yield Shop(behind, session)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def open_shop(
    folder: Path, store: str, *, is_sealed: bool = False, clock: SystemClock | None = None
) -> AsyncIterator[Shop]:
    """With a WeChat of its own. Nothing secret may be in what it logs."""
    log = folder / "log"
    async with AsyncExitStack() as stack:
        stack.callback(lambda: canaries.look_at("the log", log.read_text()))
        stack.enter_context(logging_to(stack.enter_context(log.open("w"))))
        behind = await stack.enter_async_context(wechat())
        yield await stack.enter_async_context(
            shop(folder, behind, store, is_sealed=is_sealed, clock=clock)
        )
