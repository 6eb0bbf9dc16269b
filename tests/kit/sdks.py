"""Real SDKs for WeChat, unmodified, each in a process that answers a driver's little language.

They are installed once, at pinned versions, into ``.cache/sdks`` and never into the environment of
tokend. What a driver says and is told: ``sdks/python/conversation.py``.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANSWER_SECONDS = 60.0  # one wechatpy call may be hundreds of requests

_DRIVERS = Path(__file__).parents[1] / "sdks"
_ROOT = Path(__file__).parents[2]
_CACHE = _ROOT / ".cache" / "sdks"

_PYTHON = {"wechatpy": "wechatpy_driver.py", "werobot": "werobot_driver.py"}
_NODE = {
    "co-wechat-api": ("co_wechat_api.cjs",),
    "wechat-api": ("wechat_api.cjs",),
    "node-easywechat": ("node_easywechat.cjs", "token"),
    "node-easywechat stable_token": ("node_easywechat.cjs", "stable_token"),
}
SDKS = (*_PYTHON, *_NODE)


class SdkError(Exception):
    """What an SDK gave its caller in place of an answer. *errcode* is None if it tells no code."""

    def __init__(self, errcode: int | None, message: str) -> None:
        super().__init__(message)
        self.errcode = errcode


@dataclass
class Sdk:
    """An SDK in a process of its own."""

    process: asyncio.subprocess.Process

    async def token(self) -> str:
        """What the SDK holds, or gets, by its own logic."""
        return (await self.ask("token"))["token"]

    async def ticket(self) -> str:
        return (await self.ask("ticket"))["ticket"]

    async def call(self) -> None:
        """Make a business call."""
        await self.ask("call")

    async def ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": what}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the driver has ended; stderr says why")
        answer = json.loads(line)
        if error := answer.get("error"):
            raise SdkError(error["errcode"], error["message"])
        return answer


@asynccontextmanager
async def sdk(name: str, url: str, appid: str, secret: str) -> AsyncIterator[Sdk]:
    """The SDK *name*, with *url* for its base URL, until left."""
    program, more = await asyncio.to_thread(_program, name)
    async with _conversing(*program, url, appid, secret, *more) as running:
        yield running


@asynccontextmanager
async def adapted(driver: str, *arguments: str) -> AsyncIterator[Sdk]:
    """An SDK for Python that has its tokens from ``tokend.client``, until left.

    There is nothing of tokend's dependencies in its environment.
    """
    python = await asyncio.to_thread(python_environment)
    path = str(_DRIVERS / "python" / driver)
    async with _conversing(str(python), path, *arguments, PYTHONPATH=str(_ROOT)) as running:
        yield running


@asynccontextmanager
async def _conversing(*command: str, **environment: str) -> AsyncIterator[Sdk]:
    with tempfile.TemporaryDirectory(prefix="tokend-sdk-") as folder:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**_environment(), **environment},
            cwd=folder,  # node-easywechat keeps its tokens in files there
        )
        try:
            yield Sdk(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _program(name: str) -> tuple[list[str], list[str]]:
    """The command line of a driver up to the base URL, and what comes after the secret."""
    if name in _PYTHON:
        return [str(python_environment()), str(_DRIVERS / "python" / _PYTHON[name])], []
    driver, *more = _NODE[name]
    node_environment()
    return [_installed("node"), str(_DRIVERS / "node" / driver)], more


def _environment() -> dict[str, str]:
    """No proxy comes between, and Node finds what stands in the cache."""
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    kept = {name: value for name, value in os.environ.items() if name not in proxies}
    return {**kept, "NODE_PATH": str(_CACHE / "node" / "node_modules")}


def python_environment() -> Path:
    """Its interpreter, once the pinned SDKs are there."""
    pins = _DRIVERS / "python" / "requirements.txt"
    folder = _CACHE / "python"
    python = folder / "bin" / "python"

    def build() -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins))

    _build_once(folder, build, pins.read_bytes() + sys.version.encode())
    return python


def node_environment(name: str = "node") -> Path:
    """Where the pinned packages for Node are, once they are there: the SDKs, or those of another
    folder of this *name*. Their install scripts do not run.
    """
    pins = [_DRIVERS / name / file for file in ("package.json", "package-lock.json")]
    folder = _CACHE / name

    def build() -> None:
        folder.mkdir()
        for pin in pins:
            shutil.copy(pin, folder)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        _run(_installed("npm"), "ci", *quiet, cwd=folder)

    _build_once(folder, build, b"".join(pin.read_bytes() for pin in pins))
    return folder / "node_modules"


def _build_once(folder: Path, build: Callable[[], None], pins: bytes) -> None:
    """Unless it was built from the same *pins*. Several test runs may want it at once."""
    built_from = folder / "built_from"
    wanted = hashlib.sha256(pins).hexdigest()
    _CACHE.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if built_from.exists() and built_from.read_text() == wanted:
            return
        shutil.rmtree(folder, ignore_errors=True)
        build()
        built_from.write_text(wanted)


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is not on the PATH: install Node.js 18 or newer, with npm")
    return path


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}; the SDKs come from the public "
            f"package registry, is it in reach?\n{done.stderr}"
        )
