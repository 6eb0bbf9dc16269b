"""How long the slowest of hot GETs at a steady pace take: quietly, and with much else to do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark.filling import DUE, fill
from benchmark.load import steady
from benchmark.load.openloop import CONNECTIONS
from benchmark.node import CLIENTS, PATH, Node, hot_get, set_up
from benchmark.program import Failed, python, running
from benchmark.rounds import Numbers, Side
from benchmark.spread import p99
from benchmark.wechat import WeChat, simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmark.stage import Stage

RATE = 2000
POLLS = 1000
REFRESHES_A_MINUTE = 1000

_FRESH = timedelta(seconds=7200)
_WAIT_SECONDS = 60

# From filling to the end of the measurement, beside what is measured: starting, connecting.
_AROUND_SECONDS = 60

# With less than this of the refreshes that were meant to be, it is not what it says.
_LEAST = 0.8

# All connections come from one address, and there are more than may by default.
_ROOM = f"connections_per_address = {CONNECTIONS + POLLS + 64}"


async def quiet(stage: Stage) -> Numbers:
    async with _kept(stage, least=_FRESH, step=timedelta(0)) as (node, _):
        return {"p99": await _p99(stage, node)}


async def busy(stage: Stage) -> Numbers:
    """While keys become due one after the other, the hot one last, and polls hang."""
    step = timedelta(minutes=1) / REFRESHES_A_MINUTE
    async with _kept(stage, least=DUE, step=step) as (node, wechat), _hanging(stage, node):
        before = await wechat.calls()
        took = await _p99(stage, node)
        refreshed = await wechat.calls() - before
    if refreshed < _LEAST * stage.scale.seconds * REFRESHES_A_MINUTE / 60:
        raise Failed(f"only {refreshed} keys were refreshed in {stage.scale.seconds:g} s")
    return {"p99": took}


@asynccontextmanager
async def _kept(
    stage: Stage, *, least: timedelta, step: timedelta
) -> AsyncIterator[tuple[Node, WeChat]]:
    """tokend with as many keys as become due until the measurement has surely ended."""
    keys = round((stage.scale.seconds + _AROUND_SECONDS) * REFRESHES_A_MINUTE / 60)
    async with simulated(stage, accounts=keys) as wechat, stage.redis() as redis:
        setup = set_up(stage, wechat, apps=keys, store=f"unix://{redis.path}", server=_ROOM)
        await fill(stage, redis.path, keys=keys, least=least, step=step)
        async with setup.started(stage) as node:
            yield node, wechat


@asynccontextmanager
async def _hanging(stage: Stage, node: Node) -> AsyncIterator[None]:
    """Polls for what does not come. Raises ``Failed`` if one was answered all the same."""
    path = f"{PATH}?after={await node.generation()}&wait={_WAIT_SECONDS}"
    command = python("load.polls", node.port, path, POLLS, *CLIENTS)
    async with running(*command, log=stage.log("polls"), heard=True) as polls:
        await polls.line()
        yield
        polls.check()


async def _p99(stage: Stage, node: Node) -> float:
    took = await steady.latencies(
        stage, node.program, node.port, await stage.shared(hot_get), rate=RATE
    )
    return p99(took)


SIDES = (
    Side(name="tokend, busy", measure=busy, needs=frozenset({"redis-server"})),
    Side(name="tokend, quiet", measure=quiet, needs=frozenset({"redis-server"})),
)
