"""Whatever is raised at whichever await of a refresh: nothing is shown, nothing is lost for good.

Each of many apps meets the exception at another await of its first refresh, in one daemon with a
real Redis and real HTTP, with everything switched on that makes Python and tokend talk.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit import canaries
from kit.logged import logging_to
from kit.sabotage import sabotaged_flights
from kit.town import simulated
from redis.asyncio import Redis

from tokend import config, daemon
from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.sabotage import Sabotaged

APPS = 72
RECOVERY_SECONDS = 90  # a lease, and the pauses between tries, on a busy machine

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "unix://{redis}"
timeout_seconds = 1
[refresh]
lease_seconds = 13
quarantine_seconds = 18
reconcile_seconds = 0
[wechat]
url = "{wechat}"
timeout_seconds = 1
[log]
level = "debug"
"""
_APP = """
[apps.app-{n}]
appid = "wx{n:016x}"
secret_file = "{n}.secret"
method = "{method}"
"""

# What a step of a refresh looks like from the outside.
STEPS = (
    "RedisStore.load",
    "RedisStore.acquire",
    "RedisStore.save",
    "RedisStore.release",
    "Transport.send",
)

LEAK = "canary-message 92_" + "x" * 133


def _account(n: int) -> Account:
    return Account(appid=f"wx{n:016x}", secret=secret(n), random=Random(n))


def secret(n: int) -> str:
    return f"canary-secret-{n}"


@dataclass
class Daemon:
    session: aiohttp.ClientSession
    serving: asyncio.Task[None]

    async def token(self, n: int) -> str | None:
        """None with a clear word why there is none yet."""
        async with self.session.get(f"/v1/apps/app-{n}/access_token") as response:
            answer = await response.json()
        assert not self.serving.done()
        if response.status != 200:
            assert (response.status, answer["code"]) == (503, "not_ready")
            return None
        return answer["access_token"]

    async def tokens(self) -> list[str]:
        """Of all apps, once they have one."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                found = [await self.token(n) for n in range(APPS)]
                if all(found):
                    return found
                await asyncio.sleep(0.2)


@asynccontextmanager
async def _daemon(folder: Path, text: str) -> AsyncIterator[Daemon]:
    for n in range(APPS):
        path = folder / f"{n}.secret"
        path.touch(mode=0o600)
        path.write_text(secret(n))
    (folder / "tokend.toml").write_text(text)
    urls: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    settings = config.load(folder / "tokend.toml", environ={})
    serving = asyncio.create_task(daemon.serve(settings, SystemClock(), on_serving=urls.set_result))
    try:
        async with aiohttp.ClientSession(
            (await urls)[0], middlewares=[canaries.look_at_refusals]
        ) as session:
            yield Daemon(session, serving)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("method", "bomb"),
    [
        pytest.param("stable_token", lambda: RuntimeError(LEAK), id="stable, a bug"),
        pytest.param("token", lambda: RuntimeError(LEAK), id="classic, a bug"),
        pytest.param(
            "stable_token", lambda: ValueError(LEAK), id="stable, a value", marks=pytest.mark.long
        ),
        pytest.param(
            "token",
            lambda: OSError(errno.EIO, os.strerror(errno.EIO), LEAK),
            id="classic, I/O",
            marks=pytest.mark.long,
        ),
    ],
)
async def test_an_exception_at_any_await_shows_nothing_and_the_next_refresh_succeeds(
    folder: Path, redis_socket: Path, method: str, bomb
) -> None:
    accounts = [
        Account(appid=f"wx{n:016x}", secret=secret(n), random=Random(n)) for n in range(APPS)
    ]
    world = World(accounts, Random(1))
    asyncio.get_running_loop().set_debug(True)
    log = folder / "log"
    async with AsyncExitStack() as stack:
        async with Redis(unix_socket_path=str(redis_socket)) as client:
            await client.flushall()
        stack.enter_context(logging_to(stack.enter_context(log.open("w"))))
        wechat = await stack.enter_async_context(simulated(world))
        flights = stack.enter_context(sabotaged_flights(STEPS, bomb))
        text = _CONFIG.format(redis=redis_socket, wechat=wechat)
        text += "".join(_APP.format(n=n, method=method) for n in range(APPS))
        served = await stack.enter_async_context(_daemon(folder, text))

        tokens = await served.tokens()

        shown = _reprs()
    written = log.read_text()
    owned = [{each.value for each in world.issued(f"wx{n:016x}", method)} for n in range(APPS)]
    assert all(token in issued for token, issued in zip(tokens, owned, strict=True))
    _every_step_was_struck(flights)
    assert "refresh_crashed" in written
    assert _lines_with(["canary", "92_", *tokens], written + shown) == []


def _lines_with(secrets: list[str], text: str) -> list[str]:
    return [line for line in text.splitlines() if any(each in line for each in secrets)]


def _every_step_was_struck(flights: dict[str, list[Sabotaged]]) -> None:
    """At its first awaits, until there are no more."""
    missed = [step for step in STEPS if not any(flight.is_struck for flight in flights[step])]
    assert missed == []


def _reprs() -> str:
    """Of everything of tokend that there is: what an error tracker or a debugger would show."""
    return "\n".join(repr(each) for each in gc.get_objects() if _is_of_tokend(type(each)))


def _is_of_tokend(kind: type) -> bool:
    module = str(kind.__module__)
    return module.startswith("tokend.") and not module.startswith("tokend.simulator")
