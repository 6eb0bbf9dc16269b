"""A refresh under way, which anybody may join and nobody's leaving ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeAlias

from tokend.errors import TokendError
from tokend.model import Token

Outcome: TypeAlias = Token | TokendError
Spawn: TypeAlias = Callable[[Coroutine[None, None, Outcome]], asyncio.Task[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Its task never raises, because nobody may be there to see it."""

    task: asyncio.Task[Outcome]

    async def landed(self) -> Token:
        """Its token, or raise its error. A caller who leaves does not end the flight."""
        outcome = await asyncio.shield(self.task)
        if isinstance(outcome, TokendError):
            raise outcome.anew()
        return outcome
