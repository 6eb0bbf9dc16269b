"""What ends, or begins: ``tokend get`` beside ``curl``, a start beside what it has to import."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING

from benchmark import tools
from benchmark.filling import app
from benchmark.node import PATH, TOKEND, Node, Setup, one_key, set_up
from benchmark.program import output, python
from benchmark.rounds import Numbers, Side
from benchmark.wechat import simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmark.stage import Stage

# A measurement is the median of so many.
_ASKED = 20
_STARTED = 3


async def get(stage: Stage) -> Numbers:
    node = await stage.shared(_node)
    key = f"{app(0)}/access_token"
    return {"wall": await _wall(stage, _ASKED, TOKEND, "get", key, "--socket", str(node.socket))}


async def curl(stage: Stage) -> Numbers:
    node = await stage.shared(_node)
    options = ("--silent", "--fail", "--header", "Accept: text/plain")
    where = ("--unix-socket", str(node.socket), f"http://localhost{PATH}")
    return {"wall": await _wall(stage, _ASKED, tools.path("curl"), *options, *where)}


async def start(stage: Stage) -> Numbers:
    setup = await stage.shared(_kept)
    took = []
    for _ in range(_STARTED):
        async with setup.started(stage) as node:
            took.append(node.started_in)
    return {"wall": median(took)}


async def imports(stage: Stage) -> Numbers:
    command = (sys.executable, "-c", "import aiohttp.web")
    return {"wall": await _wall(stage, _STARTED, *stage.cores.on_server(*command))}


async def _wall(stage: Stage, times: int, *command: str) -> float:
    seconds: float = await output(*python("load.timed", times, *command), log=stage.log("timed"))
    return seconds


@asynccontextmanager
async def _node(stage: Stage) -> AsyncIterator[Node]:
    async with one_key(stage) as node:
        yield node


@asynccontextmanager
async def _kept(stage: Stage) -> AsyncIterator[Setup]:
    """With a token in its SQLite."""
    async with simulated(stage, accounts=1) as wechat:
        setup = set_up(stage, wechat)
        async with setup.started(stage):
            pass
        yield setup


SIDES = (
    Side(name="tokend get", measure=get),
    Side(name="curl", measure=curl, needs=frozenset({"curl"})),
    Side(name="tokend serve", measure=start),
    Side(name="import aiohttp.web", measure=imports),
)
