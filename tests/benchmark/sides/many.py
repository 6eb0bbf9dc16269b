"""Many keys: when all are there after a start, what they weigh, and what keeping them costs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from benchmark.filling import DUE, fill
from benchmark.node import set_up
from benchmark.program import output, python
from benchmark.rounds import Numbers, Side
from benchmark.wechat import WeChat, simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmark.stage import Stage

_LIFE = timedelta(seconds=7200)

# A refresh is about ten commands of Redis. tokend looks through all keys after a start, and has
# not calmed down while Redis hears more than twice that, and a few from looking on.
_COMMANDS_A_REFRESH = 20
_COMMANDS_BESIDE = 20
_LOOK_SECONDS = 2
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A Redis full of tokens that become due one after the other, and their WeChat."""

    redis: Path
    wechat: WeChat


async def full(stage: Stage) -> Numbers:
    kept = await stage.shared(_filled)
    setup = set_up(stage, kept.wechat, apps=stage.scale.keys, store=f"unix://{kept.redis}")
    async with setup.started(stage) as node:
        await _calm(kept.redis, stage.scale.keys)
        return {
            "start": node.started_in,
            "cpu": await node.program.share(stage.scale.seconds),
            "memory": node.program.resident(),
        }


async def empty(stage: Stage) -> Numbers:
    """With one key, for what a process weighs that has none."""
    async with simulated(stage, accounts=1) as wechat, stage.redis() as redis:
        setup = set_up(stage, wechat, store=f"unix://{redis.path}")
        async with setup.started(stage) as node:
            await _calm(redis.path, keys=1)
            return {"memory": node.program.resident()}


async def pipelined(stage: Stage) -> Numbers:
    kept = await stage.shared(_filled)
    command = python("references.pipelined", kept.redis)
    seconds = await output(*stage.cores.on_server(*command), log=stage.log("pipelined"))
    return {"start": seconds}


async def _calm(socket: Path, keys: int) -> None:
    """Return once tokend does no more than keep *keys*, or when it seems to do more for ever."""
    refreshes = keys / (_LIFE - DUE).total_seconds()
    few = _LOOK_SECONDS * (_COMMANDS_A_REFRESH * refreshes + _COMMANDS_BESIDE)
    async with Redis(unix_socket_path=str(socket)) as redis:
        heard = await _commands(redis)
        for _ in range(_PATIENCE_SECONDS // _LOOK_SECONDS):
            await asyncio.sleep(_LOOK_SECONDS)
            before, heard = heard, await _commands(redis)
            if heard - before <= few:
                return


async def _commands(redis: Redis) -> int:
    stats: dict[str, int] = await redis.info("stats")
    return stats["total_commands_processed"]


@asynccontextmanager
async def _filled(stage: Stage) -> AsyncIterator[Kept]:
    keys = stage.scale.keys
    async with simulated(stage, accounts=keys) as wechat, stage.redis() as redis:
        step = (_LIFE - DUE) / keys
        await fill(stage, redis.path, keys=keys, least=DUE, step=step)
        yield Kept(redis=redis.path, wechat=wechat)


_REDIS = frozenset({"redis-server"})
SIDES = (
    Side(name="tokend, many keys", measure=full, needs=_REDIS),
    Side(name="tokend, one key", measure=empty, needs=_REDIS),
    Side(name="redis-py, one pipeline", measure=pipelined, needs=_REDIS),
)
