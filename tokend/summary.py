"""How all keys are, in one line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from tokend.model import Status


def summary(
    statuses: Iterable[Status], *, mistakes: Sequence[str], store_trouble: str | None, now: datetime
) -> str:
    """What needs somebody first: *mistakes* of a configuration that was not taken over, trouble
    with the store, keys that fail; then what comes next. *now* by the wall clock.
    """
    keys = list(statuses)
    return "; ".join(
        [
            *_listed("configuration not reloaded", mistakes),
            *([f"store: {store_trouble}"] if store_trouble else []),
            _states(keys),
            *_listed("failing", [_failure(status) for status in keys if status.failures]),
            *_next_refresh(keys, now),
        ]
    )


def _listed(what: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        others = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
        yield f"{what}: {items[0]}{others}"


def _states(keys: Sequence[Status]) -> str:
    number = Counter(status.state for status in keys)
    states = ", ".join(f"{number[state]} {state}" for state in State if number[state])
    return f"{len(keys)} {'key' if len(keys) == 1 else 'keys'}: {states}" if keys else "no keys"


def _failure(status: Status) -> str:
    return f"{status.key}, {status.error}" if status.error else str(status.key)


def _next_refresh(keys: Sequence[Status], now: datetime) -> Iterator[str]:
    if keys:
        first = min(keys, key=lambda status: status.next_refresh_in)
        yield f"next refresh {first.key} at {now + first.next_refresh_in:%H:%M:%SZ}"
