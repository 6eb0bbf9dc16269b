"""How late the event loop is: whoever asks tokend waits at least so long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.clock import Clock

_EVERY = timedelta(seconds=0.5)


async def measure(clock: Clock, observe: Callable[[float], None]) -> None:
    """*observe* hears by how many seconds a timer was late, again and again. Until cancelled."""
    while True:
        due = clock.deadline(_EVERY)
        await clock.sleep(_EVERY)
        observe(max(clock.seconds() - due, 0.0))
