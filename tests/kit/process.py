"""Real tokend processes, started by their command line and ended by their id."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from kit import canaries
from tokend.cli.simulate import APPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEND = str(Path(sys.executable).with_name("tokend"))
START_SECONDS = 20.0

# What shows its secrets to whoever starts it, and what is asked for them.
_SHOWS_SECRETS = {"simulate", "demo"}
_GIVES_SECRETS = {"get", "refresh", "key"}

_SIMULATED = re.compile(r"WeChat is simulated at (\S+),")
SERVING = re.compile(r'"urls": \["(https?://[^"]+)"')


@dataclass
class Running:
    """A process, and every line it has printed so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.lines.append(line.decode())
            self._news.set()
        self._news.set()

    async def said(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """The first line that matches, once it has been printed."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                self._news.clear()
                if found := pattern.search("".join(self.lines)):
                    return found
                if self.process.returncode is not None:
                    raise RuntimeError("".join(self.lines))
                await self._news.wait()

    async def ended(self) -> int:
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def running(
    *arguments: str, env: dict[str, str] | None = None, program: tuple[str, ...] = (TOKEND,)
) -> AsyncIterator[Running]:
    """``tokend`` with *arguments*, until left."""
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout
    canaries.look_at_process(process.pid)
    tokend = Running(process)
    follower = asyncio.create_task(tokend.follow(process.stdout))
    try:
        yield tokend
    finally:
        if process.returncode is None:
            canaries.look_at_process(process.pid)
            process.kill()
        await process.wait()
        await follower
        if not set(arguments[:1]) & _SHOWS_SECRETS:
            canaries.look_at(f"what {arguments[:1]} printed", "".join(tokend.lines))


@asynccontextmanager
async def simulator(*arguments: str) -> AsyncIterator[Simulator]:
    """WeChat, in a process of its own: the outside oracle."""
    async with (
        running("simulate", "--port", "0", *arguments) as process,
        asked((await process.said(_SIMULATED))[1]) as wechat,
    ):
        yield wechat


@asynccontextmanager
async def asked(url: str) -> AsyncIterator[Simulator]:
    """The simulator at *url*; what it has issued when that is left may not be seen anywhere."""
    async with aiohttp.ClientSession(url) as session:
        try:
            yield Simulator(url, session)
        finally:
            canaries.release(*await _issued(session))


async def _issued(session: aiohttp.ClientSession) -> list[str]:
    """Nothing, if the test has ended it."""
    try:
        async with session.get("/simulator/issued") as response:
            return await response.json()
    except aiohttp.ClientError:
        return []


@dataclass
class Simulator:
    """What tests ask the simulator, and tell it."""

    url: str
    session: aiohttp.ClientSession

    async def ledger(self) -> dict[str, object]:
        async with self.session.get("/simulator/ledger") as response:
            return await response.json()

    async def calls(self, endpoint: str = "stable_token") -> int:
        ledger = await self.ledger()
        return sum(calls.get(endpoint, 0) for calls in ledger["calls"].values())

    async def accepts(self, token: str) -> bool:
        """Use the token for a business call, as servers do."""
        query = {"access_token": token}
        async with self.session.get("/cgi-bin/get_api_domain_ip", params=query) as response:
            return "ip_list" in await response.json()

    async def is_valid(self, token: str) -> bool:
        """Ask the ledger; this is no use of the token."""
        async with self.session.get("/simulator/valid", params={"token": token}) as response:
            return (await response.json())["valid"]

    async def rotate(self) -> None:
        """Somebody else gets a new token of this account."""
        async with self.session.post("/simulator/rotate", json={"appid": APPID}) as response:
            assert response.status == 200, await response.text()

    async def standing(self, fault: dict[str, object] | None) -> None:
        """Every call meets this fault, until there is another or none."""
        async with self.session.post("/simulator/weather", json={"standing": fault}) as response:
            assert response.status == 200, await response.text()

    async def weather(self, *coming: dict[str, object]) -> None:
        async with self.session.post("/simulator/weather", json=coming) as response:
            assert response.status == 200, await response.text()


@asynccontextmanager
async def serving(
    path: Path, *, fault: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    """``tokend serve`` on a configuration, and a session to it once it serves.

    With a *fault*: ``kit.faulty`` with these arguments.
    """
    program = (sys.executable, "-m", "kit.faulty", str(path), *fault) if fault else ()
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])} if fault else {}
    process = (
        running(program=program, env={**environment, **(env or {})})
        if fault
        else running("serve", str(path), env=env)
    )
    async with process as tokend:
        url = (await tokend.said(SERVING))[1]
        async with aiohttp.ClientSession(
            url,
            connector=aiohttp.TCPConnector(limit=0),
            middlewares=[canaries.look_at_refusals],
        ) as session:
            yield tokend, session


async def ready(session: aiohttp.ClientSession) -> None:
    """Return once every key has a token."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            async with session.get("/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.01)


async def at_rest(session: aiohttp.ClientSession) -> None:
    """Return once no refresh is under way: what is served is saved, and no lease is held."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            async with session.get("/v1/apps") as response:
                keys = (await response.json())["keys"]
            if not any(key["refreshing"] for key in keys):
                return
            await asyncio.sleep(0.01)


async def one_shot(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that ends."""
    process = await asyncio.create_subprocess_exec(
        TOKEND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    canaries.look_at(f"stderr of {arguments[:1]}", err.decode())
    if not set(arguments[:1]) & _GIVES_SECRETS:
        canaries.look_at(f"stdout of {arguments[:1]}", out.decode())
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def forking(
    text: str, *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Python that forks; what is left of it in the end is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        text,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
