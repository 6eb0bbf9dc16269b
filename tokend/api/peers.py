"""Where a request comes from: an address, or a process at the other end of the Unix socket."""

from __future__ import annotations

import pwd
import socket
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tokend.api.source import is_unix, remote

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

_UCRED = struct.Struct("iII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process that opened the connection, as the kernel knew it then: SO_PEERCRED of unix(7).

    Who that process hands the connection on to is not told.
    """

    uid: int
    gid: int
    pid: int

    def __str__(self) -> str:
        user = _user(self.uid)
        return f"uid={self.uid}{f'({user})' if user else ''} gid={self.gid} pid={self.pid}"


_peers: WeakKeyDictionary[asyncio.BaseTransport, Peer] = WeakKeyDictionary()


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


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
