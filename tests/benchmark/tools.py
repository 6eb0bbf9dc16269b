"""Programs and libraries that references are made of, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from kit import redis_server

Find: TypeAlias = Callable[[], str | None]

# Debian puts some where only root looks.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

_APT = ("apt-get", "install", "--yes", "--no-install-recommends")
_PIP = (sys.executable, "-m", "pip", "install")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """*find* says where it is, or None; *install* is the command that gets it."""

    find: Find
    install: tuple[str, ...]


def _on_path(name: str) -> Find:
    return lambda: shutil.which(name, path=_PATH)


def _redis_server() -> str | None:
    try:
        return redis_server.find_binary()
    except FileNotFoundError:
        return None


def _uvloop() -> str | None:
    spec = find_spec("uvloop")
    return spec.origin if spec else None


TOOLS = {
    "wrk": Tool(find=_on_path("wrk"), install=(*_APT, "wrk")),
    "nginx": Tool(find=_on_path("nginx"), install=(*_APT, "nginx")),
    "go": Tool(find=_on_path("go"), install=(*_APT, "golang-go")),
    "curl": Tool(find=_on_path("curl"), install=(*_APT, "curl")),
    "taskset": Tool(find=_on_path("taskset"), install=(*_APT, "util-linux")),
    "redis-server": Tool(find=_redis_server, install=(*_APT, "redis-server")),
    "uvloop": Tool(find=_uvloop, install=(*_PIP, "uvloop")),
}


def path(name: str) -> str:
    """Where the tool is. Raises ``FileNotFoundError`` with how to get it."""
    if found := TOOLS[name].find():
        return found
    raise FileNotFoundError(lacking([name]))


def missing(names: Collection[str]) -> list[str]:
    return [name for name in names if not TOOLS[name].find()]


def lacking(names: Collection[str]) -> str:
    """That these are missing, in words, and how to get them."""
    how = ", ".join(" ".join(TOOLS[name].install) for name in names)
    return f"needs {' and '.join(names)}: {how}; or --install"


def install(names: Collection[str]) -> None:
    """Raises ``OSError`` or ``subprocess.CalledProcessError``. What they say goes to stderr."""
    for name in names:
        # By this runlevel Debian starts none of the services.
        environment = {**os.environ, "RUNLEVEL": "1"}
        subprocess.run(TOOLS[name].install, check=True, env=environment, stdout=sys.stderr)
