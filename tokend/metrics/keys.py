"""How each key is, as lines of Prometheus' text format.

There may be very many, and the format wants all lines of a metric together. So all keys are looked
at first, and what was found, some bytes a key, is written out metric by metric: both in pieces,
between which everybody else is served.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tokend.metrics.causes import NONE, cause
from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tokend.budget import Budgets
    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.model import Client, Status

# Either takes some milliseconds.
_LOOKED_AT_ONCE = 100
_WRITTEN_AT_ONCE = 500

# Where there is nothing to tell there is no line.
_NOTHING = math.nan


@dataclass(frozen=True, slots=True)
class Metric:
    """What stands before its lines."""

    name: str
    type: str
    help: str

    @property
    def head(self) -> str:
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.type}\n"


_KEYS = Metric("tokend_keys", "gauge", "How many keys are in each state.")
_EXPIRY = Metric(
    "tokend_token_expiry_timestamp_seconds",
    "gauge",
    "When the token ends, in seconds since 1970; none where there is no token.",
)
_GENERATION = Metric(
    "tokend_token_generation", "gauge", "The number of the token, which grows with each new one."
)
_SUSPECT = Metric(
    "tokend_token_suspect", "gauge", "1 if another node may have superseded the token."
)
_FAILURES = Metric("tokend_key_failures", "gauge", "Refreshes that have failed in a row.")
_NEXT_REFRESH = Metric(
    "tokend_key_next_refresh_timestamp_seconds",
    "gauge",
    "When the next refresh is due, in seconds since 1970; the present where it is overdue.",
)
_RECORD = Metric(
    "tokend_key_record_unreadable", "gauge", "1 if what the store has of the key is not tokend's."
)
_SPENT = Metric(
    "tokend_budget_spent",
    "gauge",
    "New tokens on request and confirmations that this node has paid for in the last 24 hours.",
)
_CALLS = Metric(
    "tokend_key_wechat_calls_total",
    "counter",
    "Calls for the key that WeChat may have heard, to count against the account's quota.",
)
_STATE = Metric(
    "tokend_key_state", "gauge", "1 for the state that the key is in; the others are left out."
)
_ERROR = Metric("tokend_key_error", "gauge", "1 for the error by which the last refresh failed.")

_Number: TypeAlias = "Callable[[Keeper, Status], float]"


@dataclass(slots=True)
class _Found:
    """Of all keys that were looked at, in their order."""

    keepers: list[Keeper] = field(default_factory=list)
    numbers: dict[Metric, array[float]] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    number: Counter[State] = field(default_factory=Counter)


class Keys:
    """Those of *keepers*, as far as a client may see them; what is spent on them, by *budgets*."""

    def __init__(self, keepers: Mapping[str, Keeper], budgets: Budgets, clock: Clock) -> None:
        self._keepers = keepers
        self._clock = clock
        self._numbers: dict[Metric, _Number] = {
            _EXPIRY: lambda _, status: (
                self._seconds(status.token.expires_at) if status.token else _NOTHING
            ),
            _GENERATION: lambda keeper, _: keeper.generation,
            _SUSPECT: lambda _, status: bool(status.token and status.token.suspect),
            _FAILURES: lambda _, status: status.failures,
            _NEXT_REFRESH: lambda _, status: self._seconds(clock.now() + status.next_refresh_in),
            _RECORD: lambda _, status: 1 if status.record_trouble else _NOTHING,
            _SPENT: lambda keeper, _: budgets.spent(keeper.key) or _NOTHING,
            _CALLS: lambda keeper, _: keeper.calls,
        }

    async def pages(self, client: Client | None) -> AsyncIterator[bytes]:
        """All lines that *client* may see; None may see all."""
        found = await self._look(client)
        yield _counted(found.number)
        for metric, lines in self._metrics(found):
            yield metric.head.encode()
            for page in _pages(lines):
                yield page
                await asyncio.sleep(0)

    async def _look(self, client: Client | None) -> _Found:
        found = _Found(numbers={metric: array("d") for metric in self._numbers})
        for number, keeper in enumerate(tuple(self._keepers.values()), start=1):
            if client is None or client.has(keeper.key.app):
                self._add(keeper, found)
            if number % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def _add(self, keeper: Keeper, found: _Found) -> None:
        status = keeper.status()
        found.keepers.append(keeper)
        found.states.append(status.state)
        found.number[status.state] += 1
        found.errors.append(cause(status.error))
        for metric, read in self._numbers.items():
            found.numbers[metric].append(read(keeper, status))

    def _metrics(self, found: _Found) -> Iterator[tuple[Metric, Iterator[str]]]:
        for metric, numbers in found.numbers.items():
            labels = _with_endpoint if metric is _CALLS else _labels
            yield metric, _numbered(metric, labels, found.keepers, numbers)
        yield _STATE, _marked(_STATE, "state", found.keepers, found.states)
        yield _ERROR, _marked(_ERROR, "error", found.keepers, found.errors)

    def _seconds(self, when: datetime) -> float:
        """Whole ones: two readings of the same moment are the same."""
        return round(self._clock.to_wall(when).timestamp())


def _counted(number: Counter[State]) -> bytes:
    lines = (f'{_KEYS.name}{{state="{state}"}} {number[state]}\n' for state in State)
    return f"{_KEYS.head}{''.join(lines)}".encode()


def _numbered(
    metric: Metric,
    labels: Callable[[Keeper], str],
    keepers: Sequence[Keeper],
    numbers: Sequence[float],
) -> Iterator[str]:
    for keeper, number in zip(keepers, numbers, strict=True):
        yield "" if math.isnan(number) else f"{metric.name}{{{labels(keeper)}}} {number:.0f}\n"


def _marked(
    metric: Metric, label: str, keepers: Sequence[Keeper], words: Sequence[str]
) -> Iterator[str]:
    for keeper, word in zip(keepers, words, strict=True):
        yield "" if word is NONE else f'{metric.name}{{{_labels(keeper)},{label}="{word}"}} 1\n'


def _labels(keeper: Keeper) -> str:
    """Nothing in a name of the configuration needs to be escaped."""
    return f'app="{keeper.key.app}",kind="{keeper.key.kind}"'


def _with_endpoint(keeper: Keeper) -> str:
    return f'{_labels(keeper)},endpoint="{keeper.endpoint}"'


def _pages(lines: Iterator[str]) -> Iterator[bytes]:
    page: list[str] = []
    for line in lines:
        page.append(line)
        if len(page) == _WRITTEN_AT_ONCE:
            yield "".join(page).encode()
            page.clear()
    yield "".join(page).encode()
