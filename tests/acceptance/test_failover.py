"""Daemons on a master, a replica and three sentinels; the master dies with its last write.

The replica is cut off from the master before that write, so that it is promoted without it.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from kit.nodes import POLL, QUARANTINE, TAKEOVER
from kit.redis_topologies import MASTER, PASSWORD, SENTINEL_PASSWORD, watched_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kit.nodes import Cluster
    from kit.redis_topologies import Watched

# 1.5 s until the sentinels believe it, their vote, and the promotion.
FAILOVER = 10.0


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    with watched_redis(folder) as redis:
        # A replica that has been without its master ten times as long is not promoted any more.
        for sentinel in redis.sentinels:
            sentinel.ask("SENTINEL", "SET", MASTER, "down-after-milliseconds", 1500)
        yield redis


def cut_off_replica(watched: Watched) -> None:
    """It remains the replica of its master, but cannot log in there any more."""
    replica = watched.servers[1]
    replica.ask("CONFIG", "SET", "masterauth", "wrong")
    replica.ask("CLIENT", "KILL", "TYPE", "master")
    assert replica.ask("INFO", "replication")["master_link_status"] == "down"


async def fail_over(watched: Watched) -> None:
    watched.servers[0].kill()
    async with asyncio.timeout(FAILOVER):
        while watched.servers[1].ask("INFO", "replication")["role"] != "master":
            await asyncio.sleep(0.05)


def config(nodes: Cluster, folder: Path, watched: Watched, method: str = "token") -> Path:
    for name, password in (("redis", PASSWORD), ("sentinel", SENTINEL_PASSWORD)):
        file = folder / f"{name}.password"
        file.touch(mode=0o600)
        file.write_text(password)
    files = 'password_file = "redis.password"\nsentinel_password_file = "sentinel.password"\n'
    path = nodes.config(watched.url, method=method)
    path.write_text(path.read_text().replace("[refresh]", f"{files}[refresh]"))
    return path


@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_a_token_that_the_failover_lost_is_put_back_and_no_reader_goes_back(
    nodes: Cluster, folder: Path, watched: Watched, method: str
) -> None:
    settings = config(nodes, folder, watched, method)
    one, other = [await nodes.start(settings) for _ in range(2)]
    old = await one.until(lambda answer: answer["status"] == 200, within=5)
    await other.until(lambda answer: answer["status"] == 200, within=5)
    cut_off_replica(watched)
    new = await one.report(str(old["access_token"]))
    await other.until(lambda answer: answer["generation"] == new["generation"], within=POLL)
    calls = await nodes.wechat.calls(method)

    await fail_over(watched)
    await asyncio.sleep(2 * POLL)
    newcomer = await nodes.start(settings)
    kept = await newcomer.until(lambda answer: answer["status"] == 200, within=5)

    assert kept["access_token"] == new["access_token"] != old["access_token"]
    assert kept["generation"] == new["generation"]
    assert await nodes.wechat.calls(method) == calls


async def test_a_lease_that_the_failover_lost_is_found_out_by_the_fence(
    nodes: Cluster, folder: Path, watched: Watched
) -> None:
    """Its holder asks WeChat all the same, after the other node has: one of two is dead."""
    settings = config(nodes, folder, watched)
    await nodes.wechat.weather({"merge": {"expires_in": 306}})
    both = [await nodes.start(settings, "before_request", "SIGSTOP") for _ in range(2)]
    for node in both:
        await node.until(lambda answer: answer["status"] == 200, within=5)
    old = await both[0].token()
    cut_off_replica(watched)
    await nodes.strike(within=15)
    stopped, heir = nodes.split()
    await fail_over(watched)
    await heir.until(
        lambda answer: answer.get("generation", 0) > old["generation"], within=TAKEOVER
    )

    stopped.process.send(signal.SIGCONT)
    await heir.until(lambda answer: answer["state"] == "suspect", within=2 * POLL)
    sure = [
        await node.until(lambda answer: answer["state"] == "fresh", within=QUARANTINE + 2 * POLL)
        for node in both
    ]

    assert sure[0]["access_token"] == sure[1]["access_token"]
    assert await nodes.wechat.calls("token") == 1 + 3
