"""Refreshes that are due take off one after the other: so many at once, the most urgent first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from random import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from tokend.flight import Outcome
    from tokend.keeper import Keeper


@dataclass(order=True, slots=True)
class _Turn:
    """Among the equally urgent chance decides, so that nodes do not go through them in step."""

    urgency: tuple[int, datetime]
    chance: float
    keeper: Keeper = field(compare=False)


class Runway:
    """Lets *most* fly at one time. What callers ask for does not come by here: it flies at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[_Turn] = []
        self._flying = 0

    def add(self, keeper: Keeper) -> None:
        """*keeper* is due, or more urgent than it was: then its later turn comes to nothing."""
        heapq.heappush(self._waiting, _Turn(keeper.urgency, random(), keeper))

    def start(self) -> None:
        """As many as there is room for."""
        while self._waiting and self._flying < self._most:
            flight = heapq.heappop(self._waiting).keeper.refresh_if_due()
            if flight:
                self._flying += 1
                flight.task.add_done_callback(self._landed)

    def close(self) -> None:
        """Nobody takes off any more. Who flies lands."""
        self._most = 0

    def _landed(self, _: asyncio.Task[Outcome]) -> None:
        self._flying -= 1
        self.start()
