"""What programs get: a string that knows its key, and whose repr does not show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, TypeAlias

# Seconds since boot, sleep of the machine included. A float and no timedelta, because every read
# of a token compares two of them.
Instant: TypeAlias = float


class Token(str):
    """The value, to be used like any string: ``str()``, ``format()`` and ``%s`` show it.

    Its repr, which error trackers record, is not it.
    """

    __slots__ = ("generation", "key")

    key: str
    generation: int

    def __new__(cls, value: str, *, key: str, generation: int) -> Self:
        token = super().__new__(cls, value)
        token.key = key
        token.generation = generation
        return token

    def __repr__(self) -> str:
        return f"<token of {self.key}, generation {self.generation}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as a plain string: another process did not get it from its own client."""
        return str, (str(self),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A token, how long it is good, and when it was heard of."""

    token: Token
    until: Instant
    heard_at: Instant


NOTHING = Held(token=Token("", key="", generation=-1), until=-math.inf, heard_at=-math.inf)
