"""Two daemons on one Redis; one of them dies, or stands still, on each line of a refresh.

The first token is said to live for 306 s, so both nodes find it due after 6 s, and one of them gets
to the failpoint. Nobody reports anything: what follows, tokend does by itself.
"""

from __future__ import annotations

import asyncio
import platform
import signal
import time
from typing import TYPE_CHECKING

import pytest
from kit.nodes import LEASE, POLL, QUARANTINE, TAKEOVER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kit.nodes import Cluster, Node
    from kit.redis_server import RedisServer

DUE_SOON = {"merge": {"expires_in": 306}}
DUE_WITHIN = 18.0

# Failpoint → calls to WeChat until there is a new token, by the node that dies and its heir.
CALLS = {
    "after_acquire": 1,
    "before_request": 1,
    "after_answer": 2,
    "before_save": 2,
    "after_save": 1,
    "before_release": 1,
}


async def two_nodes(nodes: Cluster, redis: RedisServer, point: str, do: str) -> Sequence[Node]:
    """Both with a first token that is due soon, which is call number one."""
    await nodes.wechat.weather(DUE_SOON)
    config = nodes.config(f"unix://{redis.path}", method="token")
    both = await asyncio.gather(*(nodes.start(config, point, do) for _ in range(2)))
    for node in both:
        await node.until(lambda answer: answer["status"] == 200, within=POLL)
    return both


@pytest.mark.parametrize("point", CALLS)
async def test_a_node_killed_in_a_refresh_is_followed_by_the_other_within_lease_and_poll(
    nodes: Cluster, redis: RedisServer, point: str
) -> None:
    both = await two_nodes(nodes, redis, point, "SIGKILL")
    old = await both[0].token()
    await nodes.strike(within=DUE_WITHIN)
    struck_at = time.monotonic()
    killed, heir = nodes.split()

    new = await heir.until(
        lambda answer: answer.get("generation", 0) > old["generation"], within=TAKEOVER
    )

    assert await killed.process.ended() == -signal.SIGKILL
    assert time.monotonic() - struck_at <= TAKEOVER
    assert await nodes.wechat.is_valid(str(new["access_token"]))
    assert await nodes.wechat.calls("token") == 1 + CALLS[point]


async def test_the_status_names_the_node_that_has_the_lease_until_it_has_run_out(
    nodes: Cluster, redis: RedisServer
) -> None:
    config = nodes.config(f"unix://{redis.path}", method="token")
    stopped, other = (
        await nodes.start(config, "before_request", "SIGSTOP"),
        await nodes.start(config),
    )
    for node in (stopped, other):
        answer = await node.until(lambda answer: answer["status"] == 200, within=DUE_WITHIN)
    report = asyncio.create_task(stopped.report(int(answer["generation"])))
    await nodes.strike(within=DUE_WITHIN)
    name = f"{platform.node()}/{stopped.process.process.pid}"

    await other.until_refreshed_by(name, within=LEASE)
    async with other.session.get("/status") as response:
        assert f"<dd>{name}</dd>" in await response.text()

    await other.until_refreshed_by(None, within=2 * TAKEOVER)
    report.cancel()


async def test_a_token_from_after_a_crash_is_suspect_until_it_is_confirmed_once(
    nodes: Cluster, redis: RedisServer
) -> None:
    both = await two_nodes(nodes, redis, "after_answer", "SIGKILL")
    old = await both[0].token()
    await nodes.strike(within=DUE_WITHIN)
    _, heir = nodes.split()

    doubtful = await heir.until(
        lambda answer: answer["state"] == "suspect" and answer["generation"] > old["generation"],
        within=TAKEOVER,
    )
    sure = await heir.until(lambda answer: answer["state"] == "fresh", within=QUARANTINE + POLL)
    await asyncio.sleep(1)

    assert sure["generation"] > doubtful["generation"]
    assert await nodes.wechat.calls("token") == 1 + 3


async def overtaken(
    nodes: Cluster, redis: RedisServer, point: str
) -> tuple[Node, Node, dict[str, object]]:
    """The node that stands still, the one that has refreshed since, and its new token."""
    both = await two_nodes(nodes, redis, point, "SIGSTOP")
    old = await both[0].token()
    await nodes.strike(within=DUE_WITHIN)
    stopped, heir = nodes.split()
    new = await heir.until(
        lambda answer: answer.get("generation", 0) > old["generation"], within=TAKEOVER
    )
    return stopped, heir, new


async def test_a_node_that_stood_still_before_the_call_does_not_make_it_any_more(
    nodes: Cluster, redis: RedisServer
) -> None:
    stopped, _, new = await overtaken(nodes, redis, "after_acquire")

    stopped.process.send(signal.SIGCONT)
    same = await stopped.until(
        lambda answer: answer.get("generation") == new["generation"], within=POLL
    )

    assert same["access_token"] == new["access_token"]
    assert await nodes.wechat.calls("token") == 1 + 1


async def test_a_node_that_stood_still_after_the_answer_takes_the_token_of_the_other(
    nodes: Cluster, redis: RedisServer
) -> None:
    stopped, heir, new = await overtaken(nodes, redis, "after_answer")

    stopped.process.send(signal.SIGCONT)
    await stopped.until(lambda answer: answer.get("generation") >= new["generation"], within=POLL)
    sure = [
        await node.until(lambda answer: answer["state"] == "fresh", within=QUARANTINE + POLL)
        for node in (stopped, heir)
    ]

    assert sure[0]["access_token"] == sure[1]["access_token"]
    assert await nodes.wechat.calls("token") == 1 + 3


async def test_a_call_made_after_the_lease_was_lost_is_found_out_and_made_good(
    nodes: Cluster, redis: RedisServer
) -> None:
    """The one moment that no guard covers: it stood still between the guard and the wire."""
    stopped, heir, _ = await overtaken(nodes, redis, "before_request")

    stopped.process.send(signal.SIGCONT)
    await heir.until(lambda answer: answer["state"] == "suspect", within=POLL)
    sure = await heir.until(lambda answer: answer["state"] == "fresh", within=QUARANTINE + POLL)
    same = await stopped.until(
        lambda answer: answer.get("generation") == sure["generation"], within=POLL
    )

    ledger = await nodes.wechat.ledger()
    assert same["access_token"] == sure["access_token"]
    assert await nodes.wechat.calls("token") == 1 + 3
    assert ledger["rejected_uses"] == 0


async def test_of_three_nodes_one_refreshes_in_a_window(nodes: Cluster, redis: RedisServer) -> None:
    """On Redis; each finds the token due at the same moment, five times."""
    await nodes.wechat.weather(*[DUE_SOON] * 5)
    config = nodes.config(f"unix://{redis.path}", method="token")
    all_three = await asyncio.gather(*(nodes.start(config) for _ in range(3)))
    tokens = set()
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and len(tokens) < 6:
        answers = [await node.token() for node in all_three]
        tokens |= {answer["access_token"] for answer in answers if answer["status"] == 200}
        await asyncio.sleep(0.1)

    assert len(tokens) == 6
    assert await nodes.wechat.calls("token") == 6


async def test_two_daemons_on_one_sqlite_file_take_over_from_each_other(
    nodes: Cluster, folder: Path
) -> None:
    await nodes.wechat.weather(DUE_SOON)
    config = nodes.config(f"sqlite://{folder}/tokend.db", method="token")
    both = await asyncio.gather(*(nodes.start(config, "before_save", "SIGKILL") for _ in range(2)))
    for node in both:
        await node.until(lambda answer: answer["status"] == 200, within=POLL)
    old = await both[0].token()
    await nodes.strike(within=DUE_WITHIN)
    _, heir = nodes.split()

    await heir.until(
        lambda answer: answer.get("generation", 0) > old["generation"], within=TAKEOVER
    )

    assert await nodes.wechat.calls("token") == 1 + 2
