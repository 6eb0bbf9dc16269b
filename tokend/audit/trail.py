"""The audit trail: one line for each thing that was done or denied, in the log and in a file.

Reads are told by the first of each client, key and generation, and a number of the rest: a line for
each would cost half of what tokend can answer. Denials likewise, by the minute: nobody fills a disk
by being refused.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import structlog

from tokend.audit.deed import DENIALS, OK, Deed
from tokend.audit.source import source
from tokend.audit.tally import Tally

if TYPE_CHECKING:
    from tokend.audit.file import AuditFile
    from tokend.clock import Clock
    from tokend.model import TokenKey

log = structlog.get_logger()

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)

# What is given, and so told of by its generation; and what has none.
_GIVEN = frozenset({"read", "handle", "sign", "call"})
_DONE = frozenset({"login"})


class _Use(NamedTuple):
    """What reads that are alike have in common."""

    what: str
    who: str
    key: str
    generation: int


def _use(deed: Deed) -> _Use:
    return _Use(deed.what, deed.who, deed.key, deed.generation)


def _is_use(deed: Deed) -> bool:
    return deed.what in _DONE or (deed.what in _GIVEN and bool(deed.generation))


class Trail:
    """Written to *file*, too."""

    def __init__(self, clock: Clock, file: AuditFile) -> None:
        self.file = file
        self._clock = clock
        self._uses = Tally(period=_HOUR, most=10_000, tell=self._tell)
        self._refused = Tally(period=_MINUTE, most=1000, tell=self._tell)
        # Apart from those of clients: strangers may come from as many addresses as they like.
        self._strangers = Tally(period=_MINUTE, most=200, tell=self._tell)

    def add(self, deed: Deed, *, took: timedelta = timedelta(0)) -> None:
        """*deed* is done, or was not to be."""
        now = self._clock.now()
        if deed.outcome == OK and deed.is_act:
            self._tell({**deed.facts(), "took_ms": took // _MILLISECOND})
        elif deed.outcome == OK and _is_use(deed):
            self._uses.note(_use(deed), deed, now)
        elif deed.has_failed:
            tally = self._refused if deed.who else self._strangers
            alike = (deed.what, deed.who, source(deed.where), deed.route, deed.key, deed.outcome)
            tally.note(alike, deed, now)

    def again(self, deed: Deed, times: int) -> None:
        """So often was that read which *deed* was the first of."""
        self._uses.more(_use(deed), deed, self._clock.now(), times=times)

    def learn(self, key: TokenKey, *, before: int, generation: int) -> None:
        """The token of *key* is another one than *before*, whoever has seen to that."""
        name, now = str(key), self._clock.now()
        self._uses.end(now, which=lambda use: isinstance(use, _Use) and use.key == name)
        self._tell(
            Deed(
                who="tokend",
                what="replaced",
                key=name,
                before=before,
                generation=generation,
                outcome=OK,
            ).facts()
        )

    def sweep(self) -> None:
        """Called now and then: tell what was counted."""
        for tally in (self._uses, self._refused, self._strangers):
            tally.sweep(self._clock.now())

    def end(self) -> None:
        """Tell everything that was counted."""
        for tally in (self._uses, self._refused, self._strangers):
            tally.end(self._clock.now())

    def _tell(self, facts: dict[str, object]) -> None:
        tell = log.warning if facts["outcome"] in DENIALS else log.info
        tell("audit", **facts)
        when = self._clock.wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.file.write(json.dumps({"timestamp": when, **facts}))
