"""How long answers take at a steady pace: the open loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.program import Failed, output, python

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.program import Program
    from benchmark.stage import Stage

# It works, or waits for its core, for so much of the time.
_NO_REST = 0.95


async def answers(
    stage: Stage, port: int, requests: Path, *, rate: float, seconds: float
) -> list[tuple[float, float]]:
    """When each request was to be sent, by CLOCK_MONOTONIC, and the seconds to its answer."""
    came: list[tuple[float, float]] = await output(
        *python("load.openloop", port, requests, rate, seconds), log=stage.log("openloop")
    )
    return came


async def latencies(
    stage: Stage, program: Program, port: int, requests: Path, *, rate: float
) -> list[float]:
    """Seconds, of the server *program*. Raises ``Failed`` where that has no rest: then more is
    asked than it answers, and the latency is that of a queue which grows until the end.
    """
    before = program.wanted()
    came = await answers(stage, port, requests, rate=rate, seconds=stage.scale.seconds)
    if program.wanted() - before > _NO_REST * stage.scale.seconds:
        raise Failed(f"{rate} requests a second are more than it answers here")
    return [took for _, took in came]
