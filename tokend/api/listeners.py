"""The sockets tokend is served on: TCP addresses, with TLS or without, and one Unix socket.

Where systemd passes a socket that listens there already, that one is served. It outlives this
process: who connects while tokend restarts waits, and is not refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from tokend import tasks
from tokend.api.door import Door
from tokend.api.handshakes import Handshake
from tokend.api.speaker import Speaker, require_c_parser, tracked
from tokend.errors import ConfigError, ListenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tokend.api.handshakes import Handshakes
    from tokend.api.warden import Warden

# Requests that are being answered when tokend stops get twice this long to end: aiohttp waits for
# them, and then once more for those that it has cancelled.
_SHUTDOWN_SECONDS = 2.5

# So many connections may wait to be accepted, and so many are accepted at one time: each of these
# has an open file before it can be refused.
_QUEUE = 1024
_BATCH = 8

_IPV6 = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSocket:
    """A path, and who may open it: *mode*, and *group* by name (empty: the process's own)."""

    path: Path
    mode: int = 0o600
    group: str = ""


@asynccontextmanager
async def serving(
    app: web.Application,
    *,
    addresses: Sequence[tuple[str, int]],
    unix: UnixSocket | None,
    warden: Warden,
    tls: Handshakes | None = None,
    passed: Sequence[socket.socket] = (),
) -> AsyncIterator[list[str]]:
    """Serve *app*, giving the URLs as they came to be (port 0 is any). All *addresses* have *tls*.

    Raises ``ListenError``, ``InstallationError``, and ``ConfigError`` where a *passed* socket is
    none of these: nobody would answer there.
    """
    require_c_parser()
    listening = {_name(sock.getsockname()): sock for sock in passed}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tasks.running(warden.run()))
        listeners = _Listeners(warden, await _speaking(app, stack), tls)
        stack.callback(warden.dismiss)
        stack.callback(listeners.close)
        for address in addresses:
            if sock := listening.pop(_name(address), None):
                await listeners.take(sock)
            else:
                await listeners.open(*address)
        if unix:
            sock = listening.pop(str(unix.path), None)
            if not sock:
                sock = _bind_unix(unix)
                stack.callback(unix.path.unlink, missing_ok=True)
            await listeners.take(sock)
        if listening:
            raise ConfigError([_unnamed(name) for name in listening])
        yield listeners.urls


async def _speaking(app: web.Application, stack: AsyncExitStack) -> Callable[[Door], Speaker]:
    """What answers on each connection, until *stack* is left."""
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = cast("web.Server", runner.server)
    server.request_handler = tracked(server.request_handler)
    return lambda door: Speaker(door, server)


class _Listeners:
    """Sockets that are listened on. Behind the door of each connection is what *make* gives; by TCP
    *tls* comes before that.
    """

    def __init__(
        self, warden: Warden, make: Callable[[Door], asyncio.Protocol], tls: Handshakes | None
    ) -> None:
        self._scheme = "https" if tls else "http"
        self._unix = self._tcp = partial(Door, warden, make)
        if tls:
            # Nothing that could be said before a handshake would be understood.
            shaken = partial(Handshake, handshakes=tls, make=make)
            self._tcp = partial(Door, warden, shaken, refusal=b"")
        self._servers: list[asyncio.Server] = []

    @property
    def urls(self) -> list[str]:
        names = [sock.getsockname() for server in self._servers for sock in server.sockets]
        return [
            f"unix:{_name(name)}" if isinstance(name, str) else f"{self._scheme}://{_name(name)}"
            for name in names
        ]

    async def open(self, host: str, port: int) -> None:
        """Raises ``ListenError``."""
        try:
            await self._add(self._tcp, host=host, port=port)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ListenError(f"server.listen: {host}:{port}: {reason}") from None

    async def take(self, sock: socket.socket) -> None:
        door = self._unix if sock.family == socket.AF_UNIX else self._tcp
        await self._add(door, sock=sock)

    def close(self) -> None:
        for server in self._servers:
            server.close()

    async def _add(self, make: Callable[[], Door], **where: Any) -> None:
        """asyncio takes one number for both; the queue is the kernel's, and may be changed."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(make, backlog=_BATCH, **where)
        for sock in server.sockets:
            with sock.dup() as same:
                same.listen(_QUEUE)
        self._servers.append(server)


def _name(address: tuple[str, int] | str) -> str:
    """As ``ListenStream=`` of systemd names it. A tuple for IPv6 has two more members."""
    if isinstance(address, str):
        return address
    host, port = address[:2]
    ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    return f"[{ip}]:{port}" if ip.version == _IPV6 else f"{ip}:{port}"


def _unnamed(name: str) -> str:
    setting = "server.socket" if name.startswith("/") else "server.listen"
    return (
        f"{setting}: does not name {name}, where systemd listens for tokend; name it, or change "
        "ListenStream= (systemctl edit tokend.socket)"
    )


def _bind_unix(unix: UnixSocket) -> socket.socket:
    """Nobody can open the socket before its mode and group are what they should be."""
    try:
        _refuse_if_served(unix.path)
        unix.path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(0o177)
        try:
            sock.bind(str(unix.path))
        finally:
            os.umask(umask)
        if unix.group:
            shutil.chown(unix.path, group=unix.group)
        unix.path.chmod(unix.mode)
    except (OSError, LookupError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(f"server.socket: {unix.path}: {reason}") from None
    return sock


def _refuse_if_served(path: Path) -> None:
    """A second tokend must not take the first one's socket away."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionError):
        probe.connect(str(path))
        raise OSError("is served by another process")
