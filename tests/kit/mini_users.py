"""The users of a mini-program and its business server, over HTTP to processes of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokend.cli.simulate import APPID

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from kit.process import Simulator


def with_login(config: Path, more: str = "") -> Path:
    """The same configuration, with logins, and *more*."""
    config.write_text(f"{config.read_text()}\n[login]\nenabled = true\n{more}")
    return config


@dataclass
class User:
    """Of the simulated account, with a phone."""

    wechat: Simulator
    name: str = "ann"

    async def code(self) -> str:
        """Of ``wx.login``."""
        return (await self.does("login"))["code"]

    async def does(self, what: str) -> dict[str, Any]:
        async with self.wechat.session.post(f"{self._phone}/{what}") as response:
            return await response.json()

    async def openid(self) -> str:
        async with self.wechat.session.get(self._phone) as response:
            return (await response.json())["openid"]

    @property
    def _phone(self) -> str:
        return f"/simulator/phones/{APPID}/{self.name}"


@dataclass
class Business:
    """The server. *texts* is all that it was ever answered."""

    http: aiohttp.ClientSession
    texts: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """With the status beside what is answered."""
        async with self.http.request(method, f"/v1/apps/shop/{path}", json=body) as response:
            self.texts.append(f"{dict(response.headers)} {await response.text()}")
            answer = await response.json() if response.status != 204 else {}
        return {"status": response.status, **answer}

    async def log_in(self, code: str) -> dict[str, Any]:
        return await self.ask("POST", "sessions", {"code": code})
