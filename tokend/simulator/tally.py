"""How often a thing was used in a day, an hour or a minute, and no more than that."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.simulator.refusal import Refusal

# The manual says "a day"; where it begins is not told. WeChat lives by Beijing's clock.
_BEIJING = timezone(timedelta(hours=8))


class Tally:
    def __init__(self) -> None:
        self._used: Counter[tuple[str, str]] = Counter()

    def count(self, what: str, window: str, limit: int, refusal: Refusal) -> None:
        """One more use in *window*. What is refused is not counted."""
        if self._used[what, window] >= limit:
            raise refusal
        self._used[what, window] += 1


def day(now: datetime) -> str:
    return f"{now.astimezone(_BEIJING):%Y-%m-%d}"


def hour(now: datetime) -> str:
    return f"{now.astimezone(_BEIJING):%Y-%m-%d %H}"


def minute(now: datetime) -> str:
    return f"{now.astimezone(_BEIJING):%Y-%m-%d %H:%M}"
