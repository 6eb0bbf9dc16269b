"""A WeChat in a process of its own, and what it was asked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmark.program import python, running
from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmark.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChat:
    """At *url*."""

    url: str

    async def calls(self) -> int:
        """How many tokens it was asked for so far."""
        async with aiohttp.request("GET", f"{self.url}/simulator/ledger") as response:
            ledger: dict[str, Any] = await response.json()
        return sum(sum(calls.values()) for calls in ledger["calls"].values())


@asynccontextmanager
async def simulated(stage: Stage, *, accounts: int) -> AsyncIterator[WeChat]:
    """On the core of the load."""
    port = reserve()
    command = python("accounts", port, accounts)
    async with running(*command, log=stage.log("wechat")) as program:
        await program.listens(port)
        yield WeChat(url=f"http://127.0.0.1:{port}")


@asynccontextmanager
async def prompt(stage: Stage) -> AsyncIterator[WeChat]:
    """The same, which does nothing but answer."""
    port = reserve()
    async with running(*python("prompt", port), log=stage.log("prompt")) as program:
        await program.listens(port)
        yield WeChat(url=f"http://127.0.0.1:{port}")
