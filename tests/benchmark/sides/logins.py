"""Logins of mini-programs: how many codes become sessions on one core, and how soon."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmark import requests
from benchmark.load import steady, wrk
from benchmark.node import CLIENTS, SESSIONS, sealing, set_up
from benchmark.program import python, running
from benchmark.rounds import Numbers, Side
from benchmark.spread import p99
from benchmark.wechat import prompt
from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmark.node import Node
    from benchmark.program import Program
    from benchmark.stage import Stage

# Logins a second where latencies are measured.
RATE = 100

# Those of the same code at once are one login: more than are sent at once.
_CODES = 10_000


async def in_redis(stage: Stage) -> Numbers:
    async with stage.redis() as redis, tokend(stage, f"unix://{redis.path}") as node:
        return await _numbers(stage, node.program, node.port)


async def in_sqlite(stage: Stage) -> Numbers:
    async with tokend(stage, store="") as node:
        return await _numbers(stage, node.program, node.port)


async def by_hand(stage: Stage) -> Numbers:
    async with homemade(stage) as (program, port):
        return await _numbers(stage, program, port)


async def _numbers(stage: Stage, program: Program, port: int) -> Numbers:
    codes = await stage.shared(_codes)
    took = await steady.latencies(stage, program, port, codes, rate=RATE)
    return {"rate": await wrk.rate(stage, port, codes), "p99": p99(took)}


@asynccontextmanager
async def tokend(stage: Stage, store: str) -> AsyncIterator[Node]:
    """Where users log in; what it keeps is sealed."""
    wechat, seal = await stage.shared(prompt), await stage.shared(sealing)
    async with set_up(stage, wechat, store=store, seal=seal).started(stage) as node:
        yield node


@asynccontextmanager
async def homemade(stage: Stage) -> AsyncIterator[tuple[Program, int]]:
    """The same by aiohttp and Redis, and its port."""
    wechat, port = await stage.shared(prompt), reserve()
    async with stage.redis() as redis:
        command = stage.cores.on_server(*python("references.logins", port, wechat.url, redis.path))
        async with running(*command, log=stage.log("logins")) as program:
            await program.listens(port)
            yield program, port


@asynccontextmanager
async def _codes(stage: Stage) -> AsyncIterator[Path]:
    """A file of logins, each with a code of its own."""
    logins = (requests.post(SESSIONS, CLIENTS[0], {"code": str(code)}) for code in range(_CODES))
    yield requests.write(stage.folder / "logins.requests", logins)


_NEEDS = frozenset({"wrk", "redis-server"})
SIDES = (
    Side(name="tokend, logins", measure=in_redis, needs=_NEEDS),
    Side(name="tokend, logins in SQLite", measure=in_sqlite, needs=frozenset({"wrk"})),
    Side(name="aiohttp, logins", measure=by_hand, needs=_NEEDS),
)
