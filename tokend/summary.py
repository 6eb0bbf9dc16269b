"""How all keys are, in one line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tokend.keeper import Keeper
    from tokend.model import Status

# Takes 30 ms.
_AT_ONCE = 5000


class Summary:
    """What is told of keys, without the keys."""

    def __init__(self) -> None:
        self._states: Counter[State] = Counter()
        self._failing = 0
        self._first_failure = ""
        self._next: Status | None = None

    def add(self, status: Status) -> None:
        self._states[status.state] += 1
        if status.failures:
            self._failing += 1
            self._first_failure = self._first_failure or _failure(status)
        if self._next is None or status.next_refresh_in < self._next.next_refresh_in:
            self._next = status

    def line(self, *, mistakes: Sequence[str], store_trouble: str | None, now: datetime) -> str:
        """What needs somebody first: *mistakes* of a configuration that was not taken over, trouble
        with the store, keys that fail; then what comes next. *now* by the wall clock.
        """
        return "; ".join(
            [
                *_listed("configuration not reloaded", mistakes[:1], len(mistakes)),
                *([f"store: {store_trouble}"] if store_trouble else []),
                _states(self._states),
                *_listed("failing", [self._first_failure], self._failing),
                *_next_refresh(self._next, now),
            ]
        )


class RollCall:
    """Goes through all keys, some at each call: however many there are, nobody waits for it.

    *on_status* hears of each.
    """

    def __init__(
        self, keepers: Mapping[str, Keeper], on_status: Callable[[Status], None] = lambda _: None
    ) -> None:
        self._keepers = keepers
        self._on_status = on_status
        self._left: list[Keeper] = []
        self._summary = Summary()

    def go_on(self) -> Summary | None:
        """The summary, once all have been gone through; then it begins anew."""
        if not self._left:
            self._left, self._summary = list(self._keepers.values()), Summary()
        some, self._left = self._left[:_AT_ONCE], self._left[_AT_ONCE:]
        for status in [keeper.status() for keeper in some]:
            self._summary.add(status)
            self._on_status(status)
        return None if self._left else self._summary


def _listed(what: str, first: Sequence[str], number: int) -> Iterator[str]:
    if number:
        others = f" (and {number - 1} more)" if number > 1 else ""
        yield f"{what}: {first[0]}{others}"


def _states(number: Counter[State]) -> str:
    keys = number.total()
    states = ", ".join(f"{number[state]} {state}" for state in State if number[state])
    return f"{keys} {'key' if keys == 1 else 'keys'}: {states}" if keys else "no keys"


def _failure(status: Status) -> str:
    return f"{status.key}, {status.error}" if status.error else str(status.key)


def _next_refresh(first: Status | None, now: datetime) -> Iterator[str]:
    if first:
        yield f"next refresh {first.key} at {now + first.next_refresh_in:%H:%M:%SZ}"
