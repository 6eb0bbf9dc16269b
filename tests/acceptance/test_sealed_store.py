"""Daemons on a sealed store that somebody else can write to, and operators who change its keys."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from kit.nodes import POLL
from kit.process import one_shot, serving
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kit.nodes import Cluster, Node
    from kit.redis_server import RedisServer

OLD, NEW = "0" * 64, "1" * 64


def serves(answer: dict[str, object]) -> bool:
    return answer["status"] == 200


def sealed(nodes: Cluster, redis: RedisServer, name: str, *lines: str, method: str) -> Path:
    """A configuration with a seal key file of its own."""
    path = nodes.config(f"unix://{redis.path}", method=method)
    keys = path.with_name(f"{name}.key")
    keys.touch(mode=0o600)
    keys.write_text("\n".join(lines))
    path.write_text(path.read_text().replace("[store]", f'[store]\nseal_key_file = "{keys.name}"'))
    return path


async def start(nodes: Cluster, config: Path) -> Node:
    node = await nodes.start(config)
    await node.until(serves, within=10)
    return node


async def stop(nodes: Cluster, *ended: Node) -> None:
    for node in ended:
        nodes.watch.nodes.remove(node)
        node.process.process.terminate()
        await node.process.ended()


def alarms(node: Node) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in node.process.lines if line.startswith("{")]
    return [line for line in lines if line["event"] == "record_unreadable"]


async def record_name(client: Redis) -> str:
    (name,) = await client.keys("tokend:*:token")
    return name


async def heads(client: Redis) -> set[str]:
    """What the records are sealed with."""
    values = [await client.hget(name, "value") for name in await client.keys("tokend:*:token")]
    return {value[:17] if value.startswith("sealed:") else "plain" for value in values}


async def until(done, *, within: float) -> None:
    async with asyncio.timeout(within):
        while not await done():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_a_record_broken_every_second_is_never_served_and_costs_no_more_than_the_budget(
    nodes: Cluster, redis: RedisServer, method: str
) -> None:
    config = sealed(nodes, redis, "one", NEW, method=method)
    one, other = await start(nodes, config), await start(nodes, config)
    before = await one.token()
    async with Redis(unix_socket_path=str(redis.path), decode_responses=True) as client:
        name = await record_name(client)
        for _ in range(8):
            value = await client.hget(name, "value")
            await client.hset(name, "value", value[:-9] + "AAAAAAAAA")
            await asyncio.sleep(1)

        async def is_mended() -> bool:
            return not (await client.hget(name, "value")).endswith("AAAAAAAAA")

        await until(is_mended, within=3 * POLL)
    after = [await node.token() for node in (one, other)]

    assert {answer["access_token"] for answer in after} == {before["access_token"]}
    assert await nodes.wechat.calls(method) == 1
    assert 1 <= len(alarms(one)) + len(alarms(other)) <= 16
    assert all(str(before["access_token"]) not in line for line in one.process.lines)


async def test_nodes_that_start_on_a_broken_record_ask_no_more_than_the_budget_allows(
    nodes: Cluster, redis: RedisServer
) -> None:
    config = sealed(nodes, redis, "one", NEW, method="token")
    await stop(nodes, await start(nodes, config))
    async with Redis(unix_socket_path=str(redis.path), decode_responses=True) as client:
        name = await record_name(client)
        for _ in range(4):
            await client.hset(name, "value", "canary")
            node = await nodes.start(config)
            await asyncio.sleep(1)
            answer = await node.token()
            assert len(alarms(node)) == 1
            assert "canary" not in json.dumps(answer)
            await stop(nodes, node)

    assert answer["status"] == 503
    assert await nodes.wechat.calls("token") == 2


@pytest.mark.timeout(600)  # twelve restarts, each of which is waited for
async def test_keys_are_replaced_node_by_node_and_wechat_is_asked_nothing(
    nodes: Cluster, redis: RedisServer
) -> None:
    """From no key to a key, to another key, and back to none."""
    steps: Iterable[tuple[str, ...]] = (
        ("plain", OLD),
        (OLD, "plain"),
        (OLD, NEW),
        (NEW, OLD),
        (NEW, "plain"),
        ("plain", NEW),
    )
    first = nodes.config(f"unix://{redis.path}", method="token")
    running = [await start(nodes, first) for _ in range(2)]
    token = await running[0].token()
    async with Redis(unix_socket_path=str(redis.path), decode_responses=True) as client:
        for number, lines in enumerate(steps):
            config = sealed(nodes, redis, f"{number}", *lines, method="token")
            for place, node in enumerate(running):
                await stop(nodes, node)
                running[place] = await start(nodes, config)
                # Somebody else's FLUSHALL, so that the record is saved anew.
                await client.flushall()
                await until(client.dbsize, within=3 * POLL)
                await asyncio.sleep(0.5)
            assert {(await node.token())["access_token"] for node in running} == {
                token["access_token"]
            }
            assert not any(alarms(node) for node in running)
        assert await heads(client) == {"plain"}

    assert (await running[0].token())["generation"] == token["generation"]
    assert await nodes.wechat.calls("token") == 1


async def test_a_key_of_the_command_seals_and_doctor_and_status_say_how_it_is(
    configured, folder: Path, store: str
) -> None:
    code, key, words = await one_shot("seal-key")
    path = configured(store=store)
    keys = folder / "seal.key"
    keys.touch(mode=0o600)
    keys.write_text(key)
    path.write_text(path.read_text().replace("[store]", '[store]\nseal_key_file = "seal.key"'))
    async with serving(path) as (_, session):
        await until_token(session)
        _, while_running, _ = await one_shot("doctor", str(path), "--json")
        _, status, _ = await one_shot("status", "--socket", f"{folder}/tokend.sock", "--json")
    before = names(folder)
    keys.write_text("1" * 64)
    _, after, _ = await one_shot("doctor", str(path), "--json")

    key_id = words.partition("# key ")[2][:8]
    assert code == 0
    assert key.strip() not in words
    assert f"tokens are sealed with key {key_id}" in while_running
    assert f"1 record is sealed with key {key_id}" in while_running
    assert json.loads(status)["keys"][0]["record_trouble"] is None
    assert f"it is sealed with key {key_id}, which store.seal_key_file does not hold" in after
    assert names(folder) == before


async def test_without_a_key_doctor_says_what_they_have_who_read_the_store(
    configured, store: str
) -> None:
    path = configured(store=store)
    _, without_logins, _ = await one_shot("doctor", str(path), "--json")
    path.write_text(f"{path.read_text()}\n[login]\nenabled = true\n")
    _, with_logins, _ = await one_shot("doctor", str(path), "--json")

    assert "who reads the store has the tokens" in without_logins
    assert "session_keys" not in without_logins
    assert "the tokens, and the session_keys of whoever has logged in" in with_logins


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def until_token(session) -> None:
    async def is_there() -> bool:
        async with session.get("/v1/apps/shop/access_token") as response:
            return response.status == 200

    await until(is_there, within=10)
