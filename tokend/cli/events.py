"""``GET /v1/events`` as it is followed: event after event, through whatever ends the connection."""

from __future__ import annotations

import json
import os
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokend.cli.connection import Connection

_PATH = "/v1/events"
_PAUSE_SECONDS = 1.0
_LONGEST_LINE = 1024 * 1024

# After these it is of no use to ask again.
_FINAL = {os.EX_NOPERM, os.EX_USAGE}


class Event(NamedTuple):
    """*data* is that of the server-sent event."""

    name: str
    data: dict[str, Any]


class Word(Enum):
    """What is told of the reader's own place, and not of a key; a connection begins with one."""

    BEGIN = auto()  # from here on nothing is missed
    RESET = auto()  # up to here something was


_WORDS = {"begin": Word.BEGIN, "reset": Word.RESET}

News: TypeAlias = "Event | Word | Failure"


def follow(
    connect: Callable[[], Connection], pause: Callable[[float], None] = time.sleep
) -> Iterator[News]:
    """For ever. A ``Failure`` is told, and asked again after it; one that will stay is raised."""
    last = ""
    while True:
        reader = Reader(last)
        try:
            for piece in connect().stream(_PATH, last=last):
                yield from reader.read(piece)
            yield Failure("tokend has ended the connection")
        except Failure as failure:
            if failure.code in _FINAL:
                raise
            yield failure
        last = reader.last
        pause(_PAUSE_SECONDS)


class Reader:
    """What comes in pieces, read line by line; *last* is the id of the newest event.

    https://html.spec.whatwg.org/multipage/server-sent-events.html, as tokend writes it.
    """

    def __init__(self, last: str = "") -> None:
        self.last = last
        self._rest = b""
        self._fields: dict[bytes, bytes] = {}

    def read(self, piece: bytes) -> Iterator[Event | Word]:
        """Raises ``Failure`` for what tokend would not write."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise _strange()
        for line in lines:
            if line:
                name, _, value = line.partition(b": ")
                self._fields[name] = value
            elif b"data" in self._fields:
                yield self._event()

    def _event(self) -> Event | Word:
        fields, self._fields = self._fields, {}
        try:
            name, data = fields[b"event"].decode(), json.loads(fields[b"data"])
            self.last = str(int(fields[b"id"]))
        except (KeyError, ValueError, RecursionError):
            raise _strange() from None
        if not isinstance(data, dict):
            raise _strange()
        return _WORDS.get(name) or Event(name, data)


def _strange() -> Failure:
    return Failure("what comes there is not from tokend", code=os.EX_UNAVAILABLE)
