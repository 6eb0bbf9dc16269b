"""A hot GET with a client key, as many in a second as a server on one core answers."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import tools
from benchmark.load import wrk
from benchmark.node import CLIENTS, one_key
from benchmark.program import Failed, python, running
from benchmark.rounds import Numbers, Side
from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmark.stage import Stage

_REFERENCES = Path(__file__).parents[1] / "references"


async def tokend(stage: Stage) -> Numbers:
    async with one_key(stage) as node:
        return {"rate": await wrk.rate(stage, node.port)}


async def bare(stage: Stage) -> Numbers:
    body = await stage.shared(_body)
    port = reserve()
    return await _rate(stage, port, "bare", *python("references.bare", port, body))


async def homemade(stage: Stage) -> Numbers:
    body = await stage.shared(_body)
    port = reserve()
    async with stage.redis() as redis:
        command = python("references.homemade", port, body, redis.path)
        return await _rate(stage, port, "homemade", *command)


async def nethttp(stage: Stage) -> Numbers:
    body, program = await stage.shared(_body), await stage.shared(_compiled)
    port = reserve()
    return await _rate(stage, port, "nethttp", str(program), str(port), str(body), CLIENTS[0])


async def nginx(stage: Stage) -> Numbers:
    body = await stage.shared(_body)
    port = reserve()
    config = stage.folder / "nginx.conf"
    text = (_REFERENCES / "nginx.conf").read_text()
    config.write_text(text.format(folder=stage.folder, port=port, body=body.read_text()))
    folder, errors = str(stage.folder), str(stage.log("nginx"))
    program = tools.path("nginx")
    return await _rate(stage, port, "nginx", program, "-p", folder, "-e", errors, "-c", str(config))


async def _rate(stage: Stage, port: int, name: str, *command: str) -> Numbers:
    """Of a server on one core."""
    one = {"GOMAXPROCS": "1"}
    async with running(*stage.cores.on_server(*command), log=stage.log(name), env=one) as program:
        await program.listens(port)
        return {"rate": await wrk.rate(stage, port)}


@asynccontextmanager
async def _body(stage: Stage) -> AsyncIterator[Path]:
    """A file with what tokend answers."""
    path = stage.folder / "body.json"
    async with one_key(stage) as node:
        path.write_bytes(await node.read())
    json.loads(path.read_text())
    yield path


@asynccontextmanager
async def _compiled(stage: Stage) -> AsyncIterator[Path]:
    program = stage.folder / "nethttp"
    process = await asyncio.create_subprocess_exec(
        tools.path("go"),
        *("build", "-o", str(program), str(_REFERENCES / "nethttp.go")),
        env={**os.environ, "GOCACHE": str(stage.folder / "go"), "GOTOOLCHAIN": "local"},
    )
    if await process.wait():
        raise Failed("nethttp.go was not compiled; the compiler has said why")
    yield program


SIDES = (
    Side(name="tokend, hot", measure=tokend, needs=frozenset({"wrk"})),
    Side(name="aiohttp and uvloop", measure=bare, needs=frozenset({"wrk", "uvloop"})),
    Side(name="Go net/http", measure=nethttp, needs=frozenset({"wrk", "go"})),
    Side(name="nginx", measure=nginx, needs=frozenset({"wrk", "nginx"})),
    Side(name="aiohttp and Redis", measure=homemade, needs=frozenset({"wrk", "redis-server"})),
)
