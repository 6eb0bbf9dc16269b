"""One connection: what stands between its socket and aiohttp, and knows what it waits for.

aiohttp limits neither how long the head of a request may take nor how long an answer may lie
unread. A door passes everything on to aiohttp's protocol, and once a second it has a look.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from aiohttp import web

from tokend.api.problems import http_problem, problem, raw
from tokend.api.repeats import NOTHING, Repeats
from tokend.errors import Crowded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokend.api.warden import Crowd, Warden


class Phase(Enum):
    """What a connection waits for."""

    NEW = auto()  # the first byte
    HANDSHAKE = auto()  # the rest of a handshake
    HEAD = auto()  # the rest of a request's head
    BODY = auto()  # the rest of a request; whoever reads it has a limit of its own
    ANSWER = auto()  # tokend; each route has limits of its own
    IDLE = auto()  # another request


# Looks at most.
_LONGEST = {Phase.NEW: 5, Phase.HANDSHAKE: 5, Phase.HEAD: 5, Phase.IDLE: 75}
_LONGEST_UNREAD = 10

_TOO_SLOW = raw(http_problem(web.HTTPRequestTimeout()))
_CROWDED = raw(
    problem(Crowded("as many connections are open as may be", retry_after=timedelta(seconds=5)))
)


class Door(asyncio.Protocol):
    """*make* gives the protocol that answers; one that is not let in needs only a *refusal*."""

    __slots__ = (
        "_is_paused",
        "_left",
        "_looks",
        "_make",
        "_protocol",
        "_refusal",
        "_repeatable",
        "_unread",
        "_warden",
        "_wire",
        "crowds",
        "phase",
        "repeats",
        "transport",
    )

    transport: asyncio.Transport
    _wire: asyncio.Transport  # the same, or what lies below TLS

    def __init__(
        self, warden: Warden, make: Callable[[Door], asyncio.Protocol], refusal: bytes = _CROWDED
    ) -> None:
        self._warden = warden
        self._make = make
        self._refusal = refusal
        self._protocol = asyncio.Protocol()  # which does nothing
        self._is_paused = False
        self._looks = 0
        self._left = 0
        self._unread = 0
        self.phase = Phase.NEW
        self.crowds: tuple[Crowd, ...] = ()
        self.repeats = Repeats()
        self._repeatable = NOTHING

    @property
    def is_waiting(self) -> bool:
        """Tell if it is the other end that has to do something."""
        return self.phase is not Phase.ANSWER and not self._wire.get_write_buffer_size()

    @property
    def never_asked(self) -> bool:
        return self.phase is Phase.NEW or self.phase is Phase.HANDSHAKE

    @property
    def dispensable(self) -> tuple[bool, int]:
        """More so than another that waits if it never asked, or else waits for longer."""
        return self.phase is not Phase.IDLE, self._looks

    def turn(self, phase: Phase) -> None:
        """It waits for something else from now on."""
        self.phase = phase
        self._looks = 0
        may_repeat = phase is Phase.IDLE and not self._is_paused
        self._repeatable = self.repeats.kept if may_repeat else NOTHING

    def look(self) -> None:
        """A second has passed: end what has taken too long."""
        self.repeats.look()
        if self._is_unread():
            reset(self._wire)
        elif self.is_waiting:
            self._looks += 1
            if self._looks >= _LONGEST.get(self.phase, math.inf):
                self.close(_TOO_SLOW if self.phase is Phase.HEAD else b"")

    def close(self, last: bytes = b"") -> None:
        """Say *last*, and no more; what does not go at once does not go.

        Nor is a goodbye over TLS waited for, with a file open.
        """
        self._warden.forget(self)
        self.transport.write(last)
        if self._wire.get_write_buffer_size():
            reset(self._wire)
        else:
            self._wire.close()

    def open(self, protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """It is *protocol* that answers from now on, through *transport*."""
        self.transport = transport
        self.repeats = Repeats()
        self._protocol = protocol
        protocol.connection_made(transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = self.transport = cast("asyncio.Transport", transport)
        if self._warden.admit(self):
            self.open(self._make(self), self._wire)
        else:
            self.close(self._refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._warden.forget(self)
        self.repeats.end()
        self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        repeat = self._repeatable.get(data)
        if repeat and (answer := repeat.again()):
            self.transport.write(answer)
            self._looks = 0
            return
        alone = self.phase is Phase.NEW or self.phase is Phase.IDLE
        self.repeats.hear(data, alone=alone)
        if alone:
            self.turn(Phase.HEAD)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._is_paused = True
        self._repeatable = NOTHING
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._protocol.resume_writing()

    def _is_unread(self) -> bool:
        """Tell if what lies here has not become less for too long.

        Over TLS too it lies before the socket first, and beyond some of it above.
        """
        left = self._wire.get_write_buffer_size()
        self._unread = self._unread + 1 if 0 < self._left <= left else 0
        self._left = left
        return self._unread >= _LONGEST_UNREAD


DOOR = web.RequestKey("door", Door)


@contextmanager
def awaiting_body(request: web.BaseRequest) -> Iterator[None]:
    """Meanwhile the connection of *request*, if that came by a door, waits for the other end."""
    door = request.get(DOOR)
    if door is None:
        yield
        return
    door.turn(Phase.BODY)
    try:
        yield
    finally:
        door.turn(Phase.ANSWER)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that part of an answer does not look like the whole, as in HTTP/1.0."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
