"""Sides, measured in turns: what slows the machine for a while slows all of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import ClientError
from redis.exceptions import RedisError

from benchmark.program import Failed
from benchmark.stage import Stage

Numbers: TypeAlias = Mapping[str, float]
"""What one measurement of a side came to, by name."""

Measure: TypeAlias = Callable[[Stage], Awaitable[Numbers]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of those that are measured, and the tools that takes."""

    name: str
    measure: Measure
    needs: frozenset[str] = frozenset()


# A side that has taken so long in all begins no other round: the rest is to be measured, too.
_ENOUGH_SECONDS = 600.0


@dataclass(slots=True)
class Measured:
    """A side's numbers, round by round, in so many *seconds*; or its *trouble*."""

    rounds: list[Numbers] = field(default_factory=list)
    seconds: float = 0.0
    trouble: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.trouble) or self.seconds > _ENOUGH_SECONDS


async def take_turns(
    sides: list[Side], stage: Stage, tell: Callable[[str], None]
) -> dict[str, Measured]:
    """All rounds, forwards and backwards in turn: no side always comes after the same other."""
    measured = {side.name: Measured() for side in sides}
    for number in range(stage.scale.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            if not measured[side.name].is_over:
                tell(f"round {number + 1} of {stage.scale.rounds}: {side.name}")
                await _measure(side, stage, measured[side.name])
    return measured


async def _measure(side: Side, stage: Stage, measured: Measured) -> None:
    began = time.monotonic()
    try:
        measured.rounds.append(await side.measure(stage))
    except (Failed, OSError, ClientError, RedisError) as error:
        measured.trouble = f"{side.name}: {str(error) or type(error).__name__}"
    measured.seconds += time.monotonic() - began
