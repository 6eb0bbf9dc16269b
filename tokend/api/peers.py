"""Where a request comes from: an address, or a process at the other end of the Unix socket."""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tokend.api.source import is_unix, remote

if TYPE_CHECKING:
    from aiohttp import web

_UCRED = struct.Struct("iII")

# How long the first request of a user waits for the name.
_MOMENT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process that opened the connection, as the kernel knew it then: SO_PEERCRED of unix(7).

    Who that process hands the connection on to is not told.
    """

    uid: int
    gid: int
    pid: int

    def __str__(self) -> str:
        user = _users.get(self.uid)
        return f"uid={self.uid}{f'({user})' if user else ''} gid={self.gid} pid={self.pid}"


_peers: WeakKeyDictionary[asyncio.BaseTransport, Peer] = WeakKeyDictionary()

# Names by uid; empty where there is none, or none yet.
_users: dict[int, str] = {}


def peer(request: web.Request) -> Peer | None:
    """Asked of the kernel once for each connection; None for one over TCP, or that is gone."""
    transport = request.transport
    if transport is None or not is_unix(transport):
        return None
    known = _peers.get(transport)
    if known is None:
        sock = transport.get_extra_info("socket")
        ucred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(ucred)
        known = _peers[transport] = Peer(uid=uid, gid=gid, pid=pid)
    return known


def where(request: web.Request) -> str:
    return str(peer(request) or remote(request))


async def introduce(request: web.Request) -> None:
    """Find out what the user at the Unix socket is called, once for each. The host may ask a
    directory on the network that hangs: it is asked by a thread, and who waits goes on without.
    """
    found = peer(request)
    if found is None or found.uid in _users:
        return
    _users[found.uid] = ""
    named, loop = asyncio.Event(), asyncio.get_running_loop()

    def look_up() -> None:
        with suppress(KeyError):
            _users[found.uid] = pwd.getpwuid(found.uid).pw_name
        with suppress(RuntimeError):  # tokend has ended
            loop.call_soon_threadsafe(named.set)

    Thread(target=look_up, name="user", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(_MOMENT_SECONDS):
            await named.wait()
