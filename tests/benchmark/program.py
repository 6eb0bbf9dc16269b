"""One process of the benchmark: started, looked at, ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_TESTS = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NANOSECONDS = 1e9
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_LAST_LINES = 5

# It does nothing else where it uses less than this much of a core.
_IDLE = 0.1
_LOOK_SECONDS = 0.5


class Failed(Exception):
    """What is measured did not do what it is measured at; the message says what instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A running process. What it says to people is added to *log*."""

    process: Process
    log: Path

    def resident(self) -> int:
        """Bytes of memory."""
        return int(self._proc("statm").split()[1]) * _PAGE

    def cpu(self) -> float:
        """Seconds of a core that it has used so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:13]) / _TICKS

    def wanted(self) -> float:
        """Seconds of a core that it would have used if it had never had to wait for one."""
        used, waited, _ = self._proc("schedstat").split()
        return (int(used) + int(waited)) / _NANOSECONDS

    async def share(self, seconds: float) -> float:
        """How much of a core it uses in the next *seconds*."""
        used, began = self.cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self.cpu() - used) / (time.monotonic() - began)

    async def idle(self) -> None:
        """Return once it has done what it was asked. Raises ``TimeoutError``."""
        async with asyncio.timeout(_START_SECONDS):
            while await self.share(_LOOK_SECONDS) > _IDLE:
                pass

    async def listens(self, port: int) -> None:
        """Return once *port* answers. Raises ``Failed`` or ``TimeoutError``."""
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    self.check()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def line(self) -> str:
        """The next one of stdout. Raises ``Failed`` if it ends before."""
        assert self.process.stdout
        said = await self.process.stdout.readline()
        if not said:
            await self.process.wait()
            self.check()
        return said.decode()

    def check(self) -> None:
        """Raise ``Failed`` if it has ended."""
        if self.process.returncode is not None:
            said = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            words = " / ".join(said) or "nothing"
            raise Failed(f"{self.log.stem} ended with {self.process.returncode}, saying {words}")

    def _proc(self, name: str) -> str:
        self.check()
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


@asynccontextmanager
async def running(
    *command: str, log: Path, env: Mapping[str, str] | None = None, heard: bool = False
) -> AsyncIterator[Program]:
    """*command* until left; then it is ended, and killed if that takes long. Its stdout goes to
    *log* as well, unless it is *heard*.
    """
    with log.open("ab") as words:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE if heard else words,
            stderr=words,
            limit=2**26,
            env={**os.environ, "PYTHONPATH": str(_TESTS), **(env or {})},
            start_new_session=True,  # Ctrl-C is for the benchmark, which then ends them
        )
    try:
        yield Program(process=process, log=log)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def output(*command: str, log: Path) -> Any:
    """The JSON that *command* says last, when it has ended. Raises ``Failed``."""
    async with running(*command, log=log, heard=True) as program:
        said, _ = await program.process.communicate()
        if program.process.returncode:
            program.check()
        return json.loads(said.splitlines()[-1])


def python(module: str, *arguments: object) -> tuple[str, ...]:
    """The command of a program of ours."""
    return (sys.executable, "-m", f"benchmark.{module}", *map(str, arguments))
