"""What is claimed of tokend: a number of its own, beside another of the same run, and a goal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from benchmark.sides import commands, hot, logins, many, sessions, tail, waiters
from benchmark.spread import Spread

if TYPE_CHECKING:
    from benchmark.rounds import Measured, Side
    from benchmark.scale import Scale

Show: TypeAlias = Callable[[float], str]

SIDES = {
    side.name: side
    for sides in (hot, tail, many, waiters, commands, logins, sessions)
    for side in sides.SIDES
}


def rate(value: float) -> str:
    return f"{value:,.0f}/s"


def milliseconds(value: float) -> str:
    return f"{value * 1e3:,.1f} ms"


def seconds(value: float) -> str:
    return f"{value:,.2f} s"


def mebibytes(value: float) -> str:
    return f"{value / 2**20:,.1f} MiB"


def kibibytes(value: float) -> str:
    return f"{value / 2**10:,.2f} KiB"


def percent(value: float) -> str:
    return f"{value * 100:,.1f} %"


def times(value: float) -> str:
    return f"{value:,.2f}"


def ratio(own: float, other: float, _: Scale) -> float:
    return own / other


def over_per_key(own: float, other: float, scale: Scale) -> float:
    return (own - other) / scale.keys


def alone(own: float, _: float, __: Scale) -> float:
    return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The *number* of *side*, and of the *reference* if there is one; what they come to together
    is the *figure*, which is to be *at_least* or *at_most* so much.
    """

    name: str
    what: str
    side: str
    number: str
    show: Show
    reference: str = ""
    figure: Callable[[float, float, Scale], float] = ratio
    show_figure: Show = times
    at_least: float = 0
    at_most: float = float("inf")

    def sides(self) -> list[Side]:
        return [SIDES[name] for name in (self.side, self.reference) if name]

    def needs(self) -> set[str]:
        return {"taskset"}.union(*(side.needs for side in self.sides()))

    def goal(self) -> str:
        if self.at_least:
            return f"≥ {self.show_figure(self.at_least)}"
        return f"≤ {self.show_figure(self.at_most)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of a row, in so many *rounds*. The *figure* is of each by itself, then of
    all.
    """

    row: Row
    rounds: int
    own: Spread
    reference: Spread | None
    figure: Spread

    @property
    def is_reached(self) -> bool:
        return self.row.at_least <= self.figure.middle <= self.row.at_most


def judged(row: Row, measured: dict[str, Measured], scale: Scale) -> Result | str:
    """The row's result, or what kept it from having one."""
    for side in row.sides():
        if trouble := measured[side.name].trouble:
            return trouble
    own = _numbers(row, measured[row.side])
    others = _numbers(row, measured[row.reference]) if row.reference else [0.0] * len(own)
    # Of a side that takes too long there are fewer rounds.
    figures = [row.figure(*each, scale) for each in zip(own, others, strict=False)]
    return Result(
        row=row,
        rounds=len(figures),
        own=Spread.of(own),
        reference=Spread.of(others) if row.reference else None,
        figure=Spread.of(figures),
    )


def _numbers(row: Row, measured: Measured) -> list[float]:
    return [numbers[row.number] for numbers in measured.rounds]


def sides_of(rows: Iterable[Row]) -> list[Side]:
    """Each once, in the order of the rows."""
    return list({side.name: side for row in rows for side in row.sides()}.values())


_HOT = "hot GET with key, one core"

ROWS = (
    Row(
        name="hot-aiohttp",
        what=f"{_HOT}; aiohttp and uvloop, same bytes, no key",
        side="tokend, hot",
        reference="aiohttp and uvloop",
        number="rate",
        show=rate,
        at_least=4,
    ),
    Row(
        name="hot-go",
        what=f"{_HOT}; Go net/http, same key check",
        side="tokend, hot",
        reference="Go net/http",
        number="rate",
        show=rate,
        at_least=1.8,
    ),
    Row(
        name="hot-nginx",
        what=f"{_HOT}; nginx, same bytes from its configuration",
        side="tokend, hot",
        reference="nginx",
        number="rate",
        show=rate,
        at_least=0.9,
    ),
    Row(
        name="hot-redis",
        what=f"{_HOT}; aiohttp with a GET from Redis for each",
        side="tokend, hot",
        reference="aiohttp and Redis",
        number="rate",
        show=rate,
        at_least=15,
    ),
    Row(
        name="tail",
        what=(
            f"p99 of hot GETs at {tail.RATE:,}/s, with {tail.REFRESHES_A_MINUTE:,} refreshes a "
            f"minute and {tail.POLLS:,} polls; without"
        ),
        side="tokend, busy",
        reference="tokend, quiet",
        number="p99",
        show=milliseconds,
        at_most=2,
    ),
    Row(
        name="memory",
        what="memory of many keys, for each; one key",
        side="tokend, many keys",
        reference="tokend, one key",
        number="memory",
        show=mebibytes,
        figure=over_per_key,
        show_figure=kibibytes,
        at_most=2 * 2**10,
    ),
    Row(
        name="start-many",
        what="start with many kept keys to /readyz; one pipelined read of them",
        side="tokend, many keys",
        reference="redis-py, one pipeline",
        number="start",
        show=seconds,
        at_most=3,
    ),
    Row(
        name="cpu-many",
        what="CPU of keeping many keys, of one core",
        side="tokend, many keys",
        number="cpu",
        show=percent,
        figure=alone,
        show_figure=percent,
        at_most=0.25,
    ),
    Row(
        name="waiters",
        what="a new token to many waiters, p99",
        side="tokend, waiters",
        number="p99",
        show=seconds,
        figure=alone,
        show_figure=seconds,
        at_most=1.5,
    ),
    Row(
        name="waiters-meanwhile",
        what="hot GETs while many waiters get theirs, p99",
        side="tokend, waiters",
        number="meanwhile",
        show=milliseconds,
        figure=alone,
        show_figure=milliseconds,
        at_most=0.05,
    ),
    Row(
        name="get",
        what="tokend get over the socket; curl",
        side="tokend get",
        reference="curl",
        number="wall",
        show=milliseconds,
        at_most=6,
    ),
    Row(
        name="start",
        what="start with a kept token to /readyz; python -c 'import aiohttp.web'",
        side="tokend serve",
        reference="import aiohttp.web",
        number="wall",
        show=milliseconds,
        at_most=3,
    ),
    Row(
        name="login",
        what="logins, sealed in Redis, one core; aiohttp that keeps one text in Redis for each",
        side="tokend, logins",
        reference="aiohttp, logins",
        number="rate",
        show=rate,
        at_least=0.5,
    ),
    Row(
        name="login-tail",
        what=f"p99 of logins at {logins.RATE}/s; the same aiohttp",
        side="tokend, logins",
        reference="aiohttp, logins",
        number="p99",
        show=milliseconds,
        at_most=2,
    ),
    Row(
        name="login-sqlite",
        what="logins in SQLite, each safe on the disk; in Redis",
        side="tokend, logins in SQLite",
        reference="tokend, logins",
        number="rate",
        show=rate,
        at_least=0.5,
    ),
    Row(
        name="session",
        what="look-ups of sessions in Redis, one core; aiohttp with a GET from Redis for each",
        side="tokend, look-ups",
        reference="aiohttp, look-ups",
        number="rate",
        show=rate,
        at_least=0.5,
    ),
    Row(
        name="session-many",
        what=f"p50 of look-ups at {sessions.RATE}/s, of many sessions; of {sessions.FEW:,}",
        side="tokend, many sessions",
        reference="tokend, few sessions",
        number="p50",
        show=milliseconds,
        at_most=1.5,
    ),
    Row(
        name="session-many-tail",
        what="p99 of the same",
        side="tokend, many sessions",
        reference="tokend, few sessions",
        number="p99",
        show=milliseconds,
        at_most=2,
    ),
    Row(
        name="session-memory",
        what="memory of Redis for one of many sessions, with its user",
        side="tokend, many sessions",
        number="bytes",
        show=kibibytes,
        figure=alone,
        show_figure=kibibytes,
        at_most=2**10,
    ),
    Row(
        name="session-sqlite",
        what="p50 of the same in SQLite",
        side="tokend, many sessions in SQLite",
        reference="tokend, few sessions in SQLite",
        number="p50",
        show=milliseconds,
        at_most=1.5,
    ),
    Row(
        name="session-sqlite-tail",
        what="p99 of the same",
        side="tokend, many sessions in SQLite",
        reference="tokend, few sessions in SQLite",
        number="p99",
        show=milliseconds,
        at_most=2,
    ),
    Row(
        name="session-file",
        what="bytes of the SQLite file for one of many sessions, with its user",
        side="tokend, many sessions in SQLite",
        number="bytes",
        show=kibibytes,
        figure=alone,
        show_figure=kibibytes,
        at_most=2**10,
    ),
)
