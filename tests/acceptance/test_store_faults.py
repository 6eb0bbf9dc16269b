"""Daemons on a Redis that dies, forgets, stalls, answers nobody, or is not the master any more."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kit.nodes import LEASE, POLL
from kit.proxy import proxy, script
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.nodes import Cluster, Node
    from kit.proxy import Proxy
    from kit.redis_server import RedisServer

METHODS = pytest.mark.parametrize("method", ["stable_token", "token"])


def serves(answer: dict[str, object]) -> bool:
    return answer["status"] == 200


async def serving_nodes(nodes: Cluster, store: str, method: str, number: int = 2) -> list[Node]:
    config = nodes.config(store, method=method)
    started = [await nodes.start(config) for _ in range(number)]
    for node in started:
        await node.until(serves, within=5)
    return started


@asynccontextmanager
async def command_line(redis: RedisServer) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis.path), decode_responses=True) as client:
        yield client


async def test_a_redis_that_is_down_at_start_keeps_no_stable_token_from_being_served(
    nodes: Cluster, redis: RedisServer
) -> None:
    redis.kill()

    one, other = await serving_nodes(nodes, f"unix://{redis.path}", "stable_token")
    redis.start()
    await asyncio.sleep(2 * POLL)
    later = await nodes.start(nodes.config(f"unix://{redis.path}", method="stable_token"))
    kept = await later.until(serves, within=5)

    assert {(await node.token())["access_token"] for node in (one, other)} == {kept["access_token"]}
    assert await nodes.wechat.calls() == 2


async def test_a_redis_that_is_down_at_start_is_waited_for_by_the_classic_method(
    nodes: Cluster, redis: RedisServer
) -> None:
    redis.kill()
    config = nodes.config(f"unix://{redis.path}", method="token")
    node = await nodes.start(config)
    await asyncio.sleep(5)
    before = await node.token(), await nodes.wechat.calls("token")

    redis.start()
    await node.until(serves, within=6)

    assert before[0]["status"] == 503
    assert "redis" in before[0]["detail"]
    assert before[1] == 0
    assert await nodes.wechat.calls("token") == 1


async def test_only_the_standalone_minter_gets_a_classic_token_without_redis(
    nodes: Cluster, redis: RedisServer
) -> None:
    redis.kill()
    store = f"unix://{redis.path}"
    minter = await nodes.start(nodes.config(store, method="token", minter=True))
    other = await nodes.start(nodes.config(store, method="token"))

    token = await minter.until(serves, within=5)
    refused = await other.token()
    redis.start()
    shared = await other.until(serves, within=10)

    assert refused["status"] == 503
    assert shared["access_token"] == token["access_token"]
    assert await nodes.wechat.calls("token") == 1


@METHODS
@pytest.mark.parametrize("loss", ["restarted empty", "flushed"])
async def test_what_redis_loses_is_put_back_and_wechat_is_asked_nothing(
    nodes: Cluster, redis: RedisServer, method: str, loss: str
) -> None:
    one, _ = await serving_nodes(nodes, f"unix://{redis.path}", method)
    before = await one.token()

    if loss == "flushed":
        async with command_line(redis) as client:
            assert await client.dbsize() > 0
            await client.flushall()
    else:
        redis.kill()
        await asyncio.sleep(1)
        assert (await one.token())["access_token"] == before["access_token"]
        redis.start()
    await asyncio.sleep(LEASE if method == "token" else 2 * POLL)
    newcomer = await nodes.start(nodes.config(f"unix://{redis.path}", method=method))
    kept = await newcomer.until(serves, within=5)

    assert kept["access_token"] == before["access_token"]
    assert kept["generation"] == before["generation"]
    assert await nodes.wechat.calls(method) == 1


@pytest.mark.parametrize("lost", ["load", "acquire", "save", "announce", "release"])
async def test_an_answer_lost_after_redis_had_acted_makes_no_second_call(
    nodes: Cluster, redis: RedisServer, folder: Path, lost: str
) -> None:
    async with proxy(redis.path, folder / "proxy.sock") as wire:
        (node,) = await serving_nodes(nodes, f"unix://{folder}/proxy.sock", "token", 1)
        before = await node.token()

        wire.drop_next_reply_to(script(lost))
        answer = await node.report(before["access_token"])

        assert wire.struck == 1
        assert answer["status"] == 200 or lost == "load"
        assert (await nodes.wechat.calls("token")) == (2 if answer["status"] == 200 else 1)
        wire.mend()
        await end_all(nodes)


@METHODS
async def test_a_slow_redis_is_waited_for(
    nodes: Cluster, redis: RedisServer, folder: Path, method: str
) -> None:
    async with proxy(redis.path, folder / "proxy.sock") as wire:
        (node,) = await serving_nodes(nodes, f"unix://{folder}/proxy.sock", method, 1)
        before = await node.token()
        wire.delay = 0.2

        answer = await node.report(before["access_token"])

        assert wire.struck
        assert answer["refreshed"]
        assert answer["access_token"] != before["access_token"]
        await end_all(nodes)


@METHODS
@pytest.mark.parametrize("fault", ["mute", "cut"])
async def test_readers_notice_nothing_of_a_redis_that_is_silent_or_gone(
    nodes: Cluster, redis: RedisServer, folder: Path, method: str, fault: str
) -> None:
    async with proxy(redis.path, folder / "proxy.sock") as wire:
        (node,) = await serving_nodes(nodes, f"unix://{folder}/proxy.sock", method, 1)
        before = await node.token()
        calls = await nodes.wechat.calls(method)
        break_wire(wire, fault)
        await asyncio.sleep(1)

        waits = []
        for _ in range(200):
            started = time.monotonic()
            assert (await node.token())["access_token"] == before["access_token"]
            waits.append(time.monotonic() - started)
        report_started = time.monotonic()
        refused = await node.report(before["access_token"])
        report_took = time.monotonic() - report_started

        assert wire.struck
        assert sorted(waits)[len(waits) // 2] < 0.05
        assert max(waits) < 0.5
        assert (refused["status"], refused["code"]) == (503, "store_away")
        assert report_took < 3.5
        # The free call of stable_token is made without a store, the forced one never is.
        assert await nodes.wechat.calls(method) - calls == (method == "stable_token")
        wire.mend()
        await end_all(nodes)


def break_wire(wire: Proxy, fault: str) -> None:
    if fault == "cut":
        wire.cut()
    else:
        wire.is_mute = True


async def end_all(nodes: Cluster) -> None:
    """Before the proxy they are connected to."""
    await nodes.watch.stop()
    for node in nodes.watch.nodes:
        node.process.process.terminate()
        await node.process.ended()


@METHODS
async def test_a_redis_that_became_a_replica_is_not_hammered_and_nothing_is_lost(
    nodes: Cluster, redis: RedisServer, method: str
) -> None:
    (node,) = await serving_nodes(nodes, f"unix://{redis.path}", method, 1)
    before = await node.token()
    async with command_line(redis) as client:
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        refused = await node.report(before["access_token"])
        commands = await processed(client)
        await asyncio.sleep(5)
        busy = await processed(client) - commands
        still = await node.token()
        await client.execute_command("REPLICAOF", "NO", "ONE")
        answer = await node.report(before["access_token"])

    assert refused["code"] == "store_away"
    assert "read only" in str(refused["detail"]).lower()
    assert busy < 50
    assert still["access_token"] == before["access_token"]
    assert answer["status"] == 200 or answer["code"] == "refresh_limited"


async def processed(client: Redis) -> int:
    return int((await client.info("stats"))["total_commands_processed"])


@METHODS
async def test_a_thousand_reports_over_two_nodes_are_one_call_and_soon_answered(
    nodes: Cluster, redis: RedisServer, method: str
) -> None:
    both = await serving_nodes(nodes, f"unix://{redis.path}", method)
    rejected = str((await both[0].token())["access_token"])
    calls = await nodes.wechat.calls(method)
    await nodes.watch.stop()

    started = time.monotonic()
    answers = await asyncio.gather(*(both[n % 2].report(rejected) for n in range(1000)))
    took = time.monotonic() - started

    # stable_token: one free call to ask for the current token, one to replace it.
    assert await nodes.wechat.calls(method) - calls == (1 if method == "token" else 2)
    assert {answer["status"] for answer in answers} == {200}
    assert len({answer["access_token"] for answer in answers}) == 1
    assert rejected not in {answer["access_token"] for answer in answers}
    assert took < 12  # one second, where nothing else runs
