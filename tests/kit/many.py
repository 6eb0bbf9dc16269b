"""``python -m kit.many [APPS] [SECONDS]``: what tokend takes when it keeps very many tokens.

A Redis is filled with a token for each app; their ends are spread over two hours, as they are once
tokend has run for some time. WeChat is simulated in another process. Told are: how long a pipelined
read of all records takes redis-py, how long it takes tokend from its first line to being ready, its
memory for each key, and its CPU in the SECONDS after that.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from redis import Redis

from kit.process import TOKEND
from kit.redis_server import redis_server
from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "0123456789abcdef" * 2
TOKEN_LENGTH = 150
LIFE, AHEAD = 7200, 300
BATCH = 1000
TICK = os.sysconf("SC_CLK_TCK")
_HOME = Path(__file__).parents[1]


def appid(number: int) -> str:
    return f"wx{number:016x}"


def fill(redis: Redis, apps: int, chance: Random) -> None:
    """A token for each app, as tokend writes it."""
    now = time.time()
    for first in range(0, apps, BATCH):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + BATCH, apps)):
                remaining = AHEAD + chance.random() * (LIFE - AHEAD)
                _fill(pipe, appid(number), f"{number:0{TOKEN_LENGTH}}", now + remaining - LIFE)
            pipe.execute()


def _fill(pipe, appid: str, value: str, stored_at: float) -> None:
    name, fence = f"{appid}/access_token", int(stored_at * 1_000_000)
    record = {
        "value": value,
        "digest": hashlib.sha256(f"tokend value:{value}".encode()).hexdigest(),
        "generation": fence,
        "fence": fence,
        "expires_at": int((stored_at + LIFE) * 1000),
        "stored_at": fence,
        "suspect": 0,
        "intent": 0,
        "inherited": 0,
    }
    pipe.hset(f"tokend:{{{name}}}:token", mapping=record)
    pipe.zadd("tokend:changes", {name: fence})


def read(redis: Redis, apps: int) -> None:
    """All of it, as fast as redis-py can without knowing what it means."""
    for first in range(0, apps, BATCH):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + BATCH, apps)):
                pipe.hgetall(f"tokend:{{{appid(number)}/access_token}}:token")
            pipe.execute()


def configure(folder: Path, apps: int, redis: Path, wechat: str) -> Path:
    """Nothing is compared with WeChat's: that would be 29 calls for each refresh."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    lines = [
        f'[server]\nlisten = ["127.0.0.1:0"]\nsocket = "{folder}/t.sock"',
        f'[store]\nurl = "unix://{redis}"',
        f'[wechat]\nurl = "{wechat}"\ngateway = true',
        "[refresh]\nreconcile_seconds = 0",
        *(
            f'[apps.app{number}]\nappid = "{appid(number)}"\nsecret_file = "secret"'
            for number in range(apps)
        ),
    ]
    path = folder / "tokend.toml"
    path.write_text("\n".join(lines))
    return path


def resident(pid: int) -> int:
    """Bytes of memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def cpu(pid: int) -> float:
    """Seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def wechat(apps: int) -> None:
    """Simulated until killed, with so many accounts; its URL is printed."""
    chance = Random(1)
    accounts = [
        Account(appid=appid(number), secret=SECRET, random=chance, token_length=TOKEN_LENGTH)
        for number in range(apps)
    ]
    face = make_app(World(accounts, chance, []), Weather(), SystemClock())
    runner = web.AppRunner(face, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


@asynccontextmanager
async def process(
    program: str, *arguments: str, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """*program* with *arguments*, until left; what it says of itself goes to *log*."""
    with log.open("ab") as errors:
        started = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(_HOME)},
        )
    try:
        yield started
    finally:
        started.terminate()
        await started.wait()


async def ready(folder: Path) -> None:
    """Return once tokend says so at its socket."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{folder}/t.sock")) as asking:
        while True:
            try:
                async with asking.get("http://tokend/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def measure(folder: Path, apps: int, redis: Redis, url: str, seconds: float) -> int:
    """Start tokend, watch it, tell; its memory is returned."""
    config = configure(folder, apps, folder / "redis.sock", url)
    log = folder / "log"
    began = time.monotonic()
    async with process(TOKEND, "serve", str(config), log=log) as tokend:
        while b'"serving"' not in log.read_bytes():
            assert tokend.returncode is None, log.read_text()
            await asyncio.sleep(0.02)
        serving = time.monotonic() - began
        await ready(folder)
        tell(f"{apps} apps", serving=serving, ready=time.monotonic() - began)
        tell("CPU of the start", seconds=cpu(tokend.pid))
        await asyncio.sleep(2)
        memory, before, calls = resident(tokend.pid), cpu(tokend.pid), refreshes(log)
        if seconds:
            await asyncio.sleep(seconds)
            spent, made = cpu(tokend.pid) - before, refreshes(log) - calls
            tell(f"{made / seconds:.1f} refreshes/s", cpu_percent=100 * spent / seconds)
        commands = redis.info("commandstats")
        tell("commands", **{name[8:]: stat["calls"] for name, stat in commands.items()})
        redis.config_resetstat()
        return memory


def refreshes(log: Path) -> int:
    return log.read_bytes().count(b'"token_fetched"')


def tell(what: str, **numbers: float) -> None:
    print(what, *(f"{name}={number:.2f}" for name, number in numbers.items()), flush=True)  # noqa: T201


async def main(apps: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="tokend-") as name, redis_server(Path(name)) as server:
        folder = Path(name)
        redis = Redis(unix_socket_path=str(server.path))
        fill(redis, apps, Random(2))
        began = time.monotonic()
        read(redis, apps)
        tell("redis-py reads them in", seconds=time.monotonic() - began)
        redis.config_resetstat()
        async with process(
            sys.executable, "-m", "kit.many", "wechat", str(apps), log=folder / "wechat"
        ) as sim:
            assert sim.stdout
            url = (await sim.stdout.readline()).decode().strip()
            one = await measure(folder, 1, redis, url, 0)
            (folder / "log").unlink()
            many = await measure(folder, apps, redis, url, seconds)
        tell("memory", mb_of_one=one / 2**20, mb=many / 2**20, bytes_per_key=(many - one) / apps)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["wechat", apps]:
            asyncio.run(wechat(int(apps)))
        case given:
            apps, seconds = [*given, *("100000", "30")[len(given) :]]
            asyncio.run(main(int(apps), float(seconds)))
