"""A keeper of which only the plan matters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.clock import Clock


class Alarmed:
    """Remembers when it was started."""

    def __init__(self, at: datetime) -> None:
        self.next_at = at
        self.starts: list[datetime] = []
        self.urgency = (1, at)
        self.on_start: Callable[[], None] = lambda: None

    def refresh_if_due(self) -> None:
        self.on_start()


def due_in(clock: Clock, seconds: float) -> Alarmed:
    keeper = Alarmed(clock.now() + timedelta(seconds=seconds))
    keeper.on_start = lambda: keeper.starts.append(clock.now())
    return keeper
