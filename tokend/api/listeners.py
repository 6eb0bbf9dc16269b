"""The sockets tokend is served on: TCP addresses and one Unix socket."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

# Requests that are being answered when tokend stops get this long to end.
_SHUTDOWN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSocket:
    """A path, and who may open it: *mode*, and *group* by name (empty: the process's own)."""

    path: Path
    mode: int = 0o600
    group: str = ""


@asynccontextmanager
async def serving(
    app: web.Application, *, addresses: Sequence[tuple[str, int]], unix: UnixSocket | None
) -> AsyncIterator[list[str]]:
    """Serve *app*, giving the URLs as they came to be (port 0 is any). Raises ``ListenError``."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        for host, port in addresses:
            await _listen_tcp(runner, host, port)
        if unix:
            sock = _bind_unix(unix)
            stack.callback(unix.path.unlink, missing_ok=True)
            await web.SockSite(runner, sock).start()
        yield [_url(address) for address in runner.addresses]


async def _listen_tcp(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
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


def _url(address: tuple[str, int] | str) -> str:
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
