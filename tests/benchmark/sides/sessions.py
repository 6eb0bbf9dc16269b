"""Sessions: whose one is, while there are few of them and while there are many; what they weigh."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from aiohttp import ClientSession
from redis.asyncio import Redis

from benchmark import requests
from benchmark.load import steady, wrk
from benchmark.logged_in import fill, look_ups
from benchmark.node import SESSIONS, sealing
from benchmark.rounds import Numbers, Side
from benchmark.sides.logins import homemade, tokend
from benchmark.spread import p99

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmark.stage import Stage

# Look-ups a second where latencies are measured, and sessions where there are few.
RATE = 200
FEW = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A *store* with sessions, which weigh so many *bytes* each, with a user. *looked_up* is a file
    of requests.
    """

    store: str
    looked_up: Path
    bytes: float


async def as_many_as_it_answers(stage: Stage) -> Numbers:
    filled = await stage.shared(_few_in_redis)
    async with tokend(stage, filled.store) as node:
        return {"rate": await wrk.rate(stage, node.port, filled.looked_up)}


async def by_hand(stage: Stage) -> Numbers:
    async with homemade(stage) as (_, port):
        return {"rate": await wrk.rate(stage, port, await _logged_in(stage, port))}


async def _logged_in(stage: Stage, port: int) -> Path:
    """A file of look-ups of those who have just logged in at *port*."""
    ids = []
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        for code in range(FEW):
            async with session.post(SESSIONS, json={"code": str(code)}) as answer:
                ids.append((await answer.json())["session"])
    return requests.write(stage.folder / "by_hand.requests", look_ups(ids))


async def few(stage: Stage) -> Numbers:
    return await _steady(stage, await stage.shared(_few_in_redis))


async def many(stage: Stage) -> Numbers:
    return await _steady(stage, await stage.shared(_many_in_redis))


async def few_in_sqlite(stage: Stage) -> Numbers:
    return await _steady(stage, await stage.shared(_few_in_sqlite))


async def many_in_sqlite(stage: Stage) -> Numbers:
    return await _steady(stage, await stage.shared(_many_in_sqlite))


async def _steady(stage: Stage, filled: Filled) -> Numbers:
    async with tokend(stage, filled.store) as node:
        took = await steady.latencies(stage, node.program, node.port, filled.looked_up, rate=RATE)
    return {"p50": median(took), "p99": p99(took), "bytes": filled.bytes}


@asynccontextmanager
async def _few_in_redis(stage: Stage) -> AsyncIterator[Filled]:
    async with _in_redis(stage, min(FEW, stage.scale.sessions)) as filled:
        yield filled


@asynccontextmanager
async def _many_in_redis(stage: Stage) -> AsyncIterator[Filled]:
    async with _in_redis(stage, stage.scale.sessions) as filled:
        yield filled


@asynccontextmanager
async def _in_redis(stage: Stage, sessions: int) -> AsyncIterator[Filled]:
    seal = await stage.shared(sealing)
    async with stage.redis() as server, Redis(unix_socket_path=str(server.path)) as redis:
        empty = await _used(redis)
        looked_up = await fill(stage, server.path, seal, sessions=sessions)
        weight = (await _used(redis) - empty) / sessions
        yield Filled(store=f"unix://{server.path}", looked_up=looked_up, bytes=weight)


async def _used(redis: Redis) -> int:
    memory: dict[str, int] = await redis.info("memory")
    return memory["used_memory"]


@asynccontextmanager
async def _few_in_sqlite(stage: Stage) -> AsyncIterator[Filled]:
    yield await _in_sqlite(stage, min(FEW, stage.scale.sessions), "few")


@asynccontextmanager
async def _many_in_sqlite(stage: Stage) -> AsyncIterator[Filled]:
    yield await _in_sqlite(stage, stage.scale.sessions, "many")


async def _in_sqlite(stage: Stage, sessions: int, name: str) -> Filled:
    seal, file = await stage.shared(sealing), stage.folder / f"{name}.db"
    looked_up = await fill(stage, file, seal, sessions=sessions)
    weight = file.stat().st_size / sessions
    return Filled(store=f"sqlite://{file}", looked_up=looked_up, bytes=weight)


_REDIS = frozenset({"redis-server"})
_WRK = _REDIS | {"wrk"}
SIDES = (
    Side(name="tokend, look-ups", measure=as_many_as_it_answers, needs=_WRK),
    Side(name="aiohttp, look-ups", measure=by_hand, needs=_WRK),
    Side(name="tokend, few sessions", measure=few, needs=_REDIS),
    Side(name="tokend, many sessions", measure=many, needs=_REDIS),
    Side(name="tokend, few sessions in SQLite", measure=few_in_sqlite),
    Side(name="tokend, many sessions in SQLite", measure=many_in_sqlite),
)
