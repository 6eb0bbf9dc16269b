"""Many wait for the next token of a key: when the last of them has it, and how others fare."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from benchmark.load import steady
from benchmark.load.openloop import CONNECTIONS
from benchmark.node import CLIENTS, PATH, hot_get, one_key
from benchmark.program import Failed, python, running
from benchmark.rounds import Numbers, Side
from benchmark.spread import p99

if TYPE_CHECKING:
    from benchmark.stage import Stage

# GETs a second meanwhile, from so long before the new token.
_RATE = 500
_BEFORE_SECONDS = 1.0

_WAIT_SECONDS = 60


async def woken(stage: Stage) -> Numbers:
    """From the moment at which an operator asks for a new token, WeChat's answer included."""
    waiters = stage.scale.waiters
    async with one_key(stage, server=_room(waiters)) as node:
        path = f"{PATH}?after={await node.generation()}&wait={_WAIT_SECONDS}"
        command = python("load.polls", node.port, path, waiters, *CLIENTS)
        async with running(*command, log=stage.log("polls"), heard=True) as polls:
            await polls.line()
            await node.program.idle()
            asking = asyncio.create_task(_asked(stage, node.port))
            await asyncio.sleep(_BEFORE_SECONDS)
            began = time.monotonic()
            await node.replace()
            answered = json.loads(await polls.line())
            answers = await asking
    meanwhile = [took for at, took in answers if began <= at <= max(answered)]
    if not meanwhile:
        raise Failed("no GET was sent meanwhile: so few waiters are woken too soon")
    return {"p99": p99([at - began for at in answered]), "meanwhile": p99(meanwhile)}


def _room(waiters: int) -> str:
    """A quarter of the connections is not for polls, and a client may have a seventh of them."""
    connections = waiters * 4 // 3 + 4 * CONNECTIONS
    return (
        f"connections = {connections}\n"
        f"connections_per_address = {connections}\n"
        f"polls_per_client = {waiters}"
    )


async def _asked(stage: Stage, port: int) -> list[tuple[float, float]]:
    return await steady.answers(
        stage,
        port,
        await stage.shared(hot_get),
        rate=_RATE,
        seconds=_BEFORE_SECONDS + stage.scale.seconds,
    )


SIDES = (Side(name="tokend, waiters", measure=woken),)
