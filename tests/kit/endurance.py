"""``python -m kit.endurance --seed 7 --days 7``: days of real processes, in minutes.

tokend, a Redis and WeChat's stand-in run as they are, but that tokens age 400 times as fast: a day
is three and a half minutes. Meanwhile programs read, wait and hang up, the configuration is read
again, tokens are forced, WeChat and Redis fail, stand still and forget. What is served has to be
what WeChat accepts; and after each day, a little later, tokend has to be no larger than before.
``kit.soak`` draws more kinds of trouble, in virtual time; what has no virtual form is here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from kit.process import SERVING, running, simulator
from kit.redis_server import RedisServer, redis_server
from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from kit.process import Running, Simulator

SPEED = 400
DAY_SECONDS = 86400 / SPEED
KINDS = ("access_token", "jsapi_ticket", "wx_card_ticket")

# What glibc and SQLite keep for the next time differs by so much from one day to another.
MOST_GROWTH_BYTES = 6 * 2**20
MOST_MORE_FILES = 8
MOST_MORE_THREADS = 2

# The overlap of two tokens is so short here that one read may come from before it and be looked at
# after it.
_AGAIN_SECONDS = 0.3
_CALM_SECONDS = 8.0
_BETWEEN_SECONDS = 4.0

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = "{folder}/tokend.sock"
[store]
url = "unix://{redis}"
[wechat]
url = "{wechat}"
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
kinds = ["access_token", "jsapi_ticket", "wx_card_ticket"]
"""


@dataclass(frozen=True)
class Weight:
    """Of a process, after a day."""

    resident: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Weight:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return cls(
            resident=int(status["VmRSS"].split()[0]) * 1024,
            files=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208, a list is all it takes
            threads=int(status["Threads"]),
        )

    def __str__(self) -> str:
        return f"{self.resident / 2**20:.1f} MiB, {self.files} files, {self.threads} threads"


@dataclass
class Place:
    """What there is to do harm to, and what came of it."""

    tokend: Running
    redis: RedisServer
    wechat: Simulator
    session: aiohttp.ClientSession
    draw: random.Random
    reads: int = 0
    refusals: int = 0
    harms: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


async def read(place: Place) -> None:
    """For ever, a kind after the other; what is served is looked at."""
    while True:
        for kind in KINDS:
            if (value := await _token(place, kind)) and not await place.wechat.is_valid(value):
                await asyncio.sleep(_AGAIN_SECONDS)
                if await _token(place, kind) == value and not await place.wechat.is_valid(value):
                    place.broken.append(f"a dead {kind} was served")
        await asyncio.sleep(place.draw.uniform(0, 0.05))


async def _token(place: Place, kind: str) -> str | None:
    async with place.session.get(
        f"/v1/apps/shop/{kind}", headers={"Accept": "text/plain"}
    ) as response:
        place.reads += 1
        place.refusals += response.status != 200
        return await response.text() if response.status == 200 else None


async def hang_up(place: Place) -> None:
    """For ever: polls, streams and halves of requests, none to its end."""
    url = str(place.session._base_url).rstrip("/")  # noqa: SLF001, it has no other name
    while True:
        for ask in (_poll, _stream, _half):
            with suppress(TimeoutError, OSError, aiohttp.ClientError):
                async with asyncio.timeout(place.draw.uniform(0.05, 0.5)):
                    await ask(url)


async def _poll(url: str) -> None:
    async with aiohttp.request(
        "GET", f"{url}/v1/apps/shop/access_token?after=9000000000000000&wait=60"
    ) as response:
        await response.read()


async def _stream(url: str) -> None:
    headers = {"Accept": "text/event-stream"}
    async with aiohttp.request(
        "GET", f"{url}/v1/apps/shop/access_token", headers=headers
    ) as response:
        await response.read()


async def _half(url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(b"POST /v1/apps/shop/access_token/refresh HTTP/1.1\r\nHost: local")
        await reader.read()
    finally:
        writer.close()


# Harms


async def _fail(place: Place) -> None:
    await _under(place, {"status": 502, "body": "cGxlYXNlIHdhaXQ="})


async def _cut(place: Place) -> None:
    await _under(place, {"cut": True, "when": "before"})


async def _late(place: Place) -> None:
    await _under(place, {"late_seconds": 0.3})


async def _under(place: Place, fault: dict[str, object]) -> None:
    await place.wechat.standing(fault)
    await asyncio.sleep(place.draw.uniform(0, 3))
    await place.wechat.standing(None)


async def _forget(place: Place) -> None:
    """Redis is gone for a while, and comes back with nothing in it."""
    place.redis.kill()
    await asyncio.sleep(place.draw.uniform(0, 3))
    place.redis.start()


async def _stand_still(place: Place) -> None:
    place.redis.pause()
    await asyncio.sleep(place.draw.uniform(0, 3))
    place.redis.resume()


async def _reload(place: Place) -> None:
    place.tokend.send(signal.SIGHUP)


async def _force(place: Place) -> None:
    async with place.session.post("/v1/apps/shop/access_token/refresh", json={}) as response:
        await response.read()


async def _report(place: Place) -> None:
    body = {"rejected": await _token(place, "access_token") or "nothing"}
    async with place.session.post("/v1/apps/shop/access_token/refresh", json=body) as response:
        await response.read()


HARMS: dict[str, Callable[[Place], Awaitable[None]]] = {
    "WeChat answers 502": _fail,
    "WeChat hangs up": _cut,
    "WeChat is late": _late,
    "Redis forgets": _forget,
    "Redis stands still": _stand_still,
    "the configuration is read again": _reload,
    "an operator forces a token": _force,
    "a good token is reported": _report,
}


async def harm(place: Place, until: float) -> None:
    """Each comes to its end: a Redis that stands still goes on."""
    while time.monotonic() < until:
        await asyncio.sleep(place.draw.expovariate(1 / _BETWEEN_SECONDS))
        name = place.draw.choice(list(HARMS))
        place.harms[name] = place.harms.get(name, 0) + 1
        await HARMS[name](place)


# Days


async def _day(place: Place) -> Weight:
    """A day, and a while without anything: long enough for what was begun to end."""
    programs = [asyncio.create_task(each(place)) for each in (read, hang_up) for _ in range(4)]
    await harm(place, until=time.monotonic() + DAY_SECONDS)
    for program in programs:
        program.cancel()
    for ended in await asyncio.gather(*programs, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise ended
    await asyncio.sleep(_CALM_SECONDS)
    return Weight.of(place.tokend.process.pid)


@asynccontextmanager
async def _placed(folder: Path, seed: int) -> AsyncIterator[Place]:
    secret = folder / "shop.secret"
    secret.touch(mode=0o600)
    secret.write_text(APP_SECRET)
    path = folder / "tokend.toml"
    with redis_server(folder) as redis:
        async with simulator("--speed", str(SPEED)) as wechat:
            path.write_text(
                _CONFIG.format(folder=folder, redis=redis.path, wechat=wechat.url, appid=APPID)
            )
            program = (sys.executable, "-m", "kit.fast", str(SPEED), str(path))
            tests = {"PYTHONPATH": str(Path(__file__).parents[1])}
            async with running(program=program, env=tests) as tokend:
                url = (await tokend.said(SERVING))[1]
                async with aiohttp.ClientSession(url) as session:
                    yield Place(tokend, redis, wechat, session, random.Random(seed))


async def endured(seed: int, days: int) -> list[str]:
    """What was wrong."""
    weights: list[Weight] = []
    with tempfile.TemporaryDirectory(prefix="tokend-") as folder:
        async with _placed(Path(folder), seed) as place:
            for day in range(1, days + 1):
                weights.append(await _day(place))
                _tell(f"seed {seed}, day {day}: {weights[-1]}")
            _tell(f"{place.reads} reads, {place.refusals} refused; {place.harms}")
    return [*place.broken, *_grown(weights)]


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _grown(weights: list[Weight]) -> list[str]:
    """From the first day to the last."""
    first, last = weights[0], weights[-1]
    limits = {
        "memory": (last.resident - first.resident, MOST_GROWTH_BYTES),
        "files": (last.files - first.files, MOST_MORE_FILES),
        "threads": (last.threads - first.threads, MOST_MORE_THREADS),
    }
    return [f"more {what}: {grown}" for what, (grown, most) in limits.items() if grown > most]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kit.endurance")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--days", type=int, default=7)
    given = parser.parse_args()
    if wrong := asyncio.run(endured(given.seed, given.days)):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
