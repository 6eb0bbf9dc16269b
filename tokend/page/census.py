"""How all keys are: which are in trouble, and how many of each kind there are.

To look at 100,000 keys takes half a second of CPU. It is done in pieces, and so rarely that however
many watch, it stays a small part of what tokend does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.model import Status

# This many take some milliseconds.
AT_ONCE = 500

# A count stands for this many times as long as it took.
_STANDS = 10


class Group(StrEnum):
    """Of keys that are alike for who looks after them, the worst first."""

    EXPIRED = "expired"
    MISSING = "missing"
    FAILING = "failing"  # it has a token, and gets no other
    SUSPECT = "suspect"
    STALE = "stale"
    FRESH = "fresh"


def group_of(status: Status) -> Group:
    is_served = status.state not in {State.EXPIRED, State.MISSING}
    return Group.FAILING if is_served and status.failures else Group(status.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The names of keys by their group, in order; it *stands* until then (``Clock.seconds``)."""

    names: Mapping[Group, Sequence[str]]
    stands: float


class Census:
    """Of *keepers*; who may see the same shares one count."""

    def __init__(self, keepers: Mapping[str, Keeper], clock: Clock) -> None:
        self._keepers = keepers
        self._clock = clock
        self._counts: dict[frozenset[str] | None, Count] = {}
        # An event brings all who watch at once.
        self._turn = asyncio.Lock()

    async def take(self, names: Sequence[str], apps: frozenset[str] | None) -> Count:
        """Of *names*, which are those of *apps*; None is all."""
        async with self._turn:
            now = self._clock.seconds()
            self._counts = {of: each for of, each in self._counts.items() if each.stands > now}
            if apps not in self._counts:
                self._counts[apps] = await self._count(names)
            return self._counts[apps]

    async def _count(self, names: Sequence[str]) -> Count:
        began = self._clock.seconds()
        found: dict[Group, list[str]] = {group: [] for group in Group}
        for number, name in enumerate(names, start=1):
            # A reload may take one away meanwhile.
            if keeper := self._keepers.get(name):
                found[group_of(keeper.status())].append(name)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        ended = self._clock.seconds()
        return Count(names=found, stands=ended + _STANDS * (ended - began))
