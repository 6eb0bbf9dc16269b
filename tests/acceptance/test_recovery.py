"""How long it takes until all is well again after a fault, with the default numbers.

``pytest -n 0 -m long -s tests/acceptance/test_recovery.py`` prints the table that README shows.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest
from kit.nodes import Cluster, Node, cluster
from kit.process import simulator
from kit.proxy import proxy
from kit.redis_server import RedisServer, redis_server
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

RUNS = 20
AT_ONCE = 10
DUE_SOON = {"merge": {"expires_in": 315}}


@dataclass(frozen=True)
class Scene:
    """Two nodes on one Redis, which have a token."""

    nodes: Cluster
    redis: RedisServer
    folder: Path

    async def start(self, method: str, *fault: str, reconcile: float = 0) -> list[Node]:
        config = self.nodes.config(
            f"unix://{self.redis.path}", method=method, reconcile=reconcile, brisk=False
        )
        both = [await self.nodes.start(config, *fault) for _ in range(2)]
        for node in both:
            await node.until(lambda answer: answer["status"] == 200, within=10)
        return both


Scenario = "Callable[[Scene], Awaitable[float]]"


async def newer(node: Node, than: dict[str, object], within: float) -> dict[str, object]:
    return await node.until(
        lambda answer: answer.get("generation", 0) > than["generation"], within=within
    )


async def struck(scene: Scene, point: str, do: str) -> tuple[float, Node, Node, dict[str, object]]:
    await scene.nodes.wechat.weather(DUE_SOON)
    both = await scene.start("token", point, do)
    old = await both[0].token()
    await scene.nodes.strike(within=30)
    at = time.monotonic() - 0.2
    return at, *scene.nodes.split(), old


async def killed_before_the_call(scene: Scene) -> float:
    at, _, heir, old = await struck(scene, "after_acquire", "SIGKILL")
    await newer(heir, old, 45)
    return time.monotonic() - at


async def killed_after_the_call(scene: Scene) -> float:
    at, _, heir, old = await struck(scene, "after_answer", "SIGKILL")
    await newer(heir, old, 45)
    await heir.until(lambda answer: answer["state"] == "fresh", within=120)
    return time.monotonic() - at


async def stopped_in_a_refresh(scene: Scene) -> float:
    at, stopped, heir, old = await struck(scene, "after_acquire", "SIGSTOP")
    await newer(heir, old, 45)
    took = time.monotonic() - at
    stopped.process.send(signal.SIGCONT)
    return took


async def answer_lost(scene: Scene) -> float:
    one, _ = await scene.start("token")
    old = await one.token()
    await scene.nodes.wechat.weather({"cut": True, "when": "after"})
    at = time.monotonic()
    assert (await one.report(str(old["access_token"])))["status"] == 503
    await newer(one, old, 120)
    return time.monotonic() - at


async def redis_flushed(scene: Scene) -> float:
    await scene.start("token")
    async with Redis(unix_socket_path=str(scene.redis.path)) as client:
        await client.flushall()
        at = time.monotonic()
        while not await client.exists("tokend:{wx0123456789abcdef/access_token}:token"):
            await asyncio.sleep(0.02)
    return time.monotonic() - at


async def redis_down(scene: Scene) -> float:
    both = await scene.start("token")
    old = await both[0].token()
    scene.redis.kill()
    await asyncio.sleep(5)
    scene.redis.start()
    at = time.monotonic()
    while (await both[0].report(str(old["access_token"])))["status"] != 200:
        await asyncio.sleep(0.1)
    return time.monotonic() - at


async def redis_silent(scene: Scene) -> float:
    async with proxy(scene.redis.path, scene.folder / "proxy.sock") as wire:
        config = scene.nodes.config(
            f"unix://{scene.folder}/proxy.sock", method="token", brisk=False
        )
        node = await scene.nodes.start(config)
        old = await node.until(lambda answer: answer["status"] == 200, within=10)
        wire.is_mute = True
        await asyncio.sleep(5)
        wire.cut()
        wire.mend()
        at = time.monotonic()
        while (await node.report(str(old["access_token"])))["status"] != 200:
            await asyncio.sleep(0.1)
        took = time.monotonic() - at
        await scene.nodes.watch.stop()
        node.process.process.terminate()
        await node.process.ended()
    return took


async def wechat_away(scene: Scene) -> float:
    """For 20 s from the due moment on."""
    await scene.nodes.wechat.weather(DUE_SOON)
    both = await scene.start("token")
    old = await both[0].token()
    await scene.nodes.wechat.standing({"status": 502, "body": "away"})
    await asyncio.sleep(20)
    await scene.nodes.wechat.standing(None)
    at = time.monotonic()
    await newer(both[0], old, 120)
    return time.monotonic() - at


async def somebody_else(scene: Scene) -> float:
    one, _ = await scene.start("stable_token", reconcile=240)
    old = await one.token()
    await scene.nodes.wechat.rotate()
    at = time.monotonic()
    await newer(one, old, 300)
    return time.monotonic() - at


async def restarted(scene: Scene) -> float:
    one, _ = await scene.start("token")
    before = await one.token()
    one.process.send(signal.SIGKILL)
    at = time.monotonic()
    again = await scene.nodes.start(
        scene.nodes.config(f"unix://{scene.redis.path}", method="token", brisk=False)
    )
    await again.until(lambda answer: answer["generation"] == before["generation"], within=10)
    return time.monotonic() - at


ALL: dict[str, tuple[Callable[[Scene], Awaitable[float]], str]] = {
    "the refreshing node is killed before it asks WeChat": (killed_before_the_call, "token"),
    "it is killed when WeChat has answered": (killed_after_the_call, "token"),
    "it stands still (SIGSTOP) before it asks": (stopped_in_a_refresh, "token"),
    "WeChat's answer is lost": (answer_lost, "token"),
    "WeChat answers 502 for 20 s when a token is due": (wechat_away, "token"),
    "somebody else fetches a token": (somebody_else, "stable_token"),
    "Redis forgets everything": (redis_flushed, "token"),
    "Redis is down for 5 s": (redis_down, "token"),
    "Redis is silent for 5 s": (redis_silent, "token"),
    "a node is killed and started again": (restarted, "token"),
}


@pytest.mark.parametrize("fault", ALL)
async def test_after_a_fault_all_is_well_again(fault: str) -> None:
    scenario, method = ALL[fault]
    turns = asyncio.Semaphore(AT_ONCE)

    async def once() -> tuple[float, int]:
        async with turns:
            return await play(scenario, method)

    async with asyncio.TaskGroup() as runs:
        started = [runs.create_task(once()) for _ in range(RUNS)]
    results = [run.result() for run in started]

    seconds = [took for took, _ in results]
    calls = sorted({number for _, number in results})
    row = f"| {fault} | `{method}` | {median(seconds):.1f} / {max(seconds):.1f} s | {calls} |"
    sys.stdout.write(f"\n{row}\n")
    assert max(calls) <= 4


async def play(scenario: Callable[[Scene], Awaitable[float]], method: str) -> tuple[float, int]:
    """Seconds until all was well, and calls to WeChat beyond the first token."""
    with tempfile.TemporaryDirectory(prefix="tokend-") as name, redis_server(Path(name)) as redis:
        folder = Path(name)
        async with simulator() as wechat, cluster(folder, wechat) as nodes:
            took = await scenario(Scene(nodes, redis, folder))
            return took, await wechat.calls(method) - 1
