"""As many requests as a server answers: wrk, which waits for each answer before it asks again."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import tools
from benchmark.node import CLIENTS, PATH
from benchmark.program import Failed, output

if TYPE_CHECKING:
    from benchmark.stage import Stage

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk.lua")


async def rate(stage: Stage, port: int, requests: Path | None = None) -> float:
    """Good answers in a second, once the server is warm, to those of the file *requests* in turns,
    or else to hot GETs. Raises ``Failed``.
    """
    await _asked(stage, port, requests, seconds=1)
    return await _asked(stage, port, requests, seconds=ceil(stage.scale.seconds))


async def _asked(stage: Stage, port: int, requests: Path | None, *, seconds: int) -> float:
    said = await output(
        tools.path("wrk"),
        *("--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"),
        *("--script", str(_SCRIPT), "--header", f"Authorization: Bearer {CLIENTS[0]}"),
        f"http://127.0.0.1:{port}{PATH}",
        *(("--", str(requests)) if requests else ()),
        log=stage.log("wrk"),
    )
    if said["errors"] or not said["requests"]:
        raise Failed(f"of {said['requests']} requests {said['errors']} were not answered well")
    return float(said["requests"] / said["seconds"])
