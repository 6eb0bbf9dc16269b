"""Something under way, which anybody may join and nobody's leaving ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from tokend.errors import TokendError
from tokend.model import Token

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")

# What a refresh comes to.
Outcome: TypeAlias = Token | TokendError


class Spawn(Protocol):
    """Starts a task and owns it."""

    def __call__(self, flight: Coroutine[Any, Any, _T], /) -> asyncio.Task[_T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight(Generic[_T]):
    """Its task never raises, because nobody may be there to see it."""

    task: asyncio.Task[_T | TokendError]

    async def landed(self) -> _T:
        """What it comes to, or raise its error. A caller who leaves does not end the flight."""
        outcome = await asyncio.shield(self.task)
        if isinstance(outcome, TokendError):
            raise outcome.anew()
        return outcome
