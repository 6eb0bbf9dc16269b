"""How much is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """*rounds* of measurements of so many *seconds* each, with so many *keys* where many are kept,
    *waiters* where many wait for a token, and *sessions* where there are many of these.
    """

    rounds: int = 5
    seconds: float = 5
    keys: int = 100_000
    waiters: int = 10_000
    sessions: int = 1_000_000
