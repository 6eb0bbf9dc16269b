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
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from tokend.errors import ConfigError, ListenError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

# Requests that are being answered when tokend stops get twice this long to end: aiohttp waits for
# them, and then once more for those that it has cancelled.
_SHUTDOWN_SECONDS = 2.5

# Of a body that is on its way to WeChat, aiohttp reads twice this ahead.
_READ_AHEAD = 32 * 1024

# Whoever has not shaken hands by then is cut, and so is who does not answer a goodbye.
_TLS_SECONDS = 5.0

# Connections that the kernel keeps until they are accepted.
_BACKLOG = 128

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
    tls: ssl.SSLContext | None = None,
    passed: Sequence[socket.socket] = (),
) -> AsyncIterator[list[str]]:
    """Serve *app*, giving the URLs as they came to be (port 0 is any). All *addresses* have *tls*.

    Raises ``ListenError``, and ``ConfigError`` where a *passed* socket is none of these: nobody
    would answer there.
    """
    listening = {_name(sock.getsockname()): sock for sock in passed}
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        read_bufsize=_READ_AHEAD,
    )
    await runner.setup()
    urls: list[str] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        for address in addresses:
            sock = listening.pop(_name(address), None)
            server = await _listen_tcp(runner, address, sock, tls)
            stack.callback(server.close)
            urls += [_url(each.getsockname(), tls) for each in server.sockets]
        if unix:
            sock = listening.pop(str(unix.path), None)
            if not sock:
                sock = _bind_unix(unix)
                stack.callback(unix.path.unlink, missing_ok=True)
            await web.SockSite(runner, sock).start()
            urls.append(_url(str(unix.path), None))
        if listening:
            raise ConfigError([_unnamed(name) for name in listening])
        yield urls


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


async def _listen_tcp(
    runner: web.AppRunner,
    address: tuple[str, int],
    passed: socket.socket | None,
    tls: ssl.SSLContext | None,
) -> asyncio.Server:
    """Not a site of aiohttp's, which would wait a minute for each handshake."""
    host, port = address
    where: dict[str, Any] = {"sock": passed} if passed else {"host": host, "port": port}
    if tls:
        where |= {"ssl_handshake_timeout": _TLS_SECONDS, "ssl_shutdown_timeout": _TLS_SECONDS}
    try:
        return await asyncio.get_running_loop().create_server(
            cast("web.Server", runner.server), ssl=tls, backlog=_BACKLOG, **where
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"server.listen: {host}:{port}: {reason}") from None


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


def _url(address: tuple[str, int] | str, tls: ssl.SSLContext | None) -> str:
    scheme = "https://" if tls else "http://"
    return f"{'unix:' if isinstance(address, str) else scheme}{_name(address)}"
