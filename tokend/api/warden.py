"""All connections: how many there may be, and a look at each once a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from tokend.addresses import neighbourhood
from tokend.api.source import Proxies, is_unix, peer

if TYPE_CHECKING:
    from tokend.addresses import Address, Network
    from tokend.api.door import Door
    from tokend.api.room import Room

log = structlog.get_logger()

_LOOK_SECONDS = 1

# A crowd is told of once, and again after so many looks.
_QUIET_LOOKS = 60

# Of those that wait in a full crowd so many go at once: it is looked through seldom, not at each
# connection of a flood.
_SHARE = 16


@dataclass(slots=True)
class Crowd:
    """Connections that share a limit."""

    most: int
    doors: dict[Door, None] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.doors) >= self.most

    def thin(self) -> int:
        """Close some of those that wait for the other end; how many."""
        waiting = [door for door in self.doors if door.is_waiting]
        closing = nlargest(1 + self.most // _SHARE, waiting, key=attrgetter("dispensable"))
        for door in closing:
            door.close()
        return len(closing)


class Warden:
    """*proxies* speak for many, and share only the limit of all."""

    def __init__(self, room: Room, proxies: Proxies) -> None:
        self._room = room
        self._proxies = proxies
        self._tcp = Crowd(room.tcp)
        self._unix = Crowd(room.unix)
        self._near: dict[Address | Network, Crowd] = {}
        self._closed = 0
        self._refused = 0
        self._quiet = 0

    @property
    def tcp(self) -> int:
        """How many connections over TCP are open."""
        return len(self._tcp.doors)

    @property
    def unix(self) -> int:
        """How many are open at the Unix socket."""
        return len(self._unix.doors)

    def admit(self, door: Door) -> bool:
        """Tell if there is room for it, after closing others where that makes some."""
        crowds = self._crowds(door.transport)
        for crowd in crowds:
            if crowd.is_full:
                self._closed += crowd.thin()
            if crowd.is_full:
                self._refused += 1
                return False
        for crowd in crowds:
            crowd.doors[door] = None
        door.crowds = crowds
        return True

    def forget(self, door: Door) -> None:
        """It is closed. Being told so twice does no harm."""
        for crowd in door.crowds:
            crowd.doors.pop(door, None)

    def dismiss(self) -> None:
        """Close all that never asked. Who has shaken no hands yet nobody else would close."""
        for door in [door for door in self._tcp.doors if door.never_asked]:
            door.close()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """At every connection."""
        for door in (*self._tcp.doors, *self._unix.doors):
            door.look()
        self._near = {where: crowd for where, crowd in self._near.items() if crowd.doors}
        self._tell()

    def _crowds(self, transport: asyncio.BaseTransport) -> tuple[Crowd, ...]:
        """The narrowest first: one address alone must not thin all."""
        if is_unix(transport):
            return (self._unix,)
        address = peer(transport)
        if address is None or address in self._proxies:
            return (self._tcp,)
        near = self._near.setdefault(neighbourhood(address), Crowd(self._room.per_address))
        return (near, self._tcp)

    def _tell(self) -> None:
        self._quiet = max(self._quiet - 1, 0)
        if self._quiet or not (self._closed or self._refused):
            return
        log.warning("connections_crowded", closed=self._closed, refused=self._refused)
        self._closed = self._refused = 0
        self._quiet = _QUIET_LOOKS
