"""Of deeds that are alike the first is told at once, and of the rest, later, how many they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokend.audit.deed import Deed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import datetime, timedelta

_OTHERS = "others"


@dataclass(slots=True)
class _Counted:
    facts: dict[str, object]
    since: datetime
    more: int = field(default=0)


class Tally:
    """*tell* gets the facts of the first; with ``times`` how many more there were in *period*.

    Beyond *most* that differ, what comes is counted together: nobody can fill memory or log.
    """

    def __init__(
        self, *, period: timedelta, most: int, tell: Callable[[dict[str, object]], None]
    ) -> None:
        self._period = period
        self._most = most
        self._tell = tell
        self._counted: dict[Hashable, _Counted] = {}

    def note(self, alike: Hashable, deed: Deed, now: datetime) -> None:
        """*alike* is what this deed has in common with others of its kind."""
        if alike not in self._counted and len(self._counted) >= self._most:
            alike, deed = _OTHERS, Deed(where=_OTHERS, outcome=deed.outcome)
        counted = self._counted.get(alike)
        if counted is None:
            counted = self._counted[alike] = _Counted(deed.facts(), now)
            self._tell(counted.facts)
            return
        self._count(counted, 1, now)

    def more(self, alike: Hashable, deed: Deed, now: datetime, *, times: int) -> None:
        """*deed*, of which the first was noted before, has been done so often again."""
        counted = self._counted.get(alike)
        if counted is None:
            self._tell({**deed.facts(), "times": times})
        else:
            self._count(counted, times, now)

    def _count(self, counted: _Counted, times: int, now: datetime) -> None:
        counted.more += times
        if now - counted.since >= self._period:
            self._tell_rest(counted, now)

    def sweep(self, now: datetime) -> None:
        """Tell what was counted in a *period* that is over; forget what did not come again."""
        for alike, counted in tuple(self._counted.items()):
            if now - counted.since < self._period:
                continue
            if not counted.more:
                del self._counted[alike]
            self._tell_rest(counted, now)

    def end(self, now: datetime, *, which: Callable[[Hashable], bool] = lambda _: True) -> None:
        """Tell the rest of *which*, and begin anew."""
        for alike in [each for each in self._counted if which(each)]:
            self._tell_rest(self._counted.pop(alike), now)

    def _tell_rest(self, counted: _Counted, now: datetime) -> None:
        if counted.more:
            self._tell({**counted.facts, "times": counted.more})
        counted.since, counted.more = now, 0
