"""What tokend says of a Redis before it trusts it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.errors import StoreError
from tokend.findings import Verdict
from tokend.model import Secret, TokenKey
from tokend.store.login import ANONYMOUS, Login
from tokend.store.mirror import NO_MIRROR, Mirror
from tokend.store.redis import open_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.findings import Finding

CLOCK = SystemClock()
KEYS = [
    TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token"),
    TokenKey(app="blog", appid="wxfedcba9876543210", kind="access_token"),
]
MIRROR = Mirror(plain=("wx:{appid}",), quoted=("other:{app}",))
USER = Login(username="tokend", password=Secret("canary"))


@pytest.fixture
async def redis(redis_socket: Path) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis_socket), decode_responses=True) as client:
        await client.flushall()
        yield client
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("appendonly", "no")
        await client.acl_deluser("tokend")


@asynccontextmanager
async def examined(
    path: Path, login: Login = ANONYMOUS, mirror: Mirror = NO_MIRROR
) -> AsyncIterator[list[Finding]]:
    async with open_redis(f"unix://{path}", CLOCK, login, mirror) as store:
        yield await store.examine(KEYS)


def texts(findings: list[Finding], verdict: Verdict) -> str:
    return "\n".join(
        f"{finding.text}; {finding.advice}" for finding in findings if finding.verdict is verdict
    )


async def test_a_redis_as_it_should_be_has_nothing_against_it(
    redis: Redis, redis_socket: Path
) -> None:
    await redis.config_set("appendonly", "yes")

    async with examined(redis_socket) as findings:
        assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert await redis.keys() == []


async def test_a_policy_that_evicts_and_a_memory_that_forgets_are_told_with_what_to_do(
    redis: Redis, redis_socket: Path
) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")

    async with examined(redis_socket) as findings:
        told = texts(findings, Verdict.WARNING)

    assert "maxmemory-policy is allkeys-lru: tokens, leases, sessions and users may be" in told
    assert "CONFIG SET maxmemory-policy noeviction" in told
    assert "appendonly is off" in told
    assert not texts(findings, Verdict.BAD)


async def advised(redis: Redis, path: Path) -> str:
    """What is advised to somebody who may nearly nothing."""
    await grant(redis, "+ping +info +time")
    async with examined(path, USER) as findings:
        return texts(findings, Verdict.BAD).rpartition("user in Redis: ")[2]


async def grant(redis: Redis, rules: str) -> None:
    await redis.execute_command(
        "ACL", "SETUSER", "tokend", "reset", "on", ">canary", *rules.split()
    )


async def test_the_permissions_that_are_advised_are_enough(
    redis: Redis, redis_socket: Path
) -> None:
    await grant(redis, await advised(redis, redis_socket))

    async with examined(redis_socket, USER) as findings:
        assert not texts(findings, Verdict.BAD)
    assert await redis.keys() == []


@pytest.mark.parametrize("missing", ["+evalsha", "+hset", "+rename", "+zadd", "+publish"])
async def test_a_missing_permission_is_named_before_it_is_needed(
    redis: Redis, redis_socket: Path, missing: str
) -> None:
    await grant(redis, f"{await advised(redis, redis_socket)} -{missing.removeprefix('+')}")

    async with examined(redis_socket, USER) as findings:
        told = texts(findings, Verdict.BAD)

    assert f"'{missing.removeprefix('+')}'" in told
    assert missing in told
    assert "canary" not in told


async def test_a_mirror_that_may_not_be_written_is_a_warning_that_names_the_keys(
    redis: Redis, redis_socket: Path
) -> None:
    await grant(redis, f"{await advised(redis, redis_socket)} ~other:* ~wx:wx0*")

    async with examined(redis_socket, USER, MIRROR) as findings:
        told = texts(findings, Verdict.WARNING)

    assert "store.mirror: 'wx:wxfedcba9876543210' may not be written" in told
    assert "give tokend's user in Redis: ~wx:wxfedcba9876543210" in told
    assert told.count("store.mirror") == 1
    assert not texts(findings, Verdict.BAD)


async def test_what_is_in_the_mirror_outlives_the_examination(
    redis: Redis, redis_socket: Path
) -> None:
    await redis.set("wx:wx0123456789abcdef", "92_there")

    async with examined(redis_socket, mirror=MIRROR) as findings:
        told = texts(findings, Verdict.OK)

    assert "the keys of the mirror may be written" in told
    assert await redis.keys() == ["wx:wx0123456789abcdef"]
    assert await redis.get("wx:wx0123456789abcdef") == "92_there"


async def test_a_redis_that_is_away_is_not_examined(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        async with examined(tmp_path / "nobody.sock"):
            pass


async def test_a_wrong_password_is_told_without_showing_it(
    redis: Redis, redis_socket: Path
) -> None:
    await grant(redis, await advised(redis, redis_socket))
    wrong = Login(username="tokend", password=Secret("canary-wrong"))

    with pytest.raises(StoreError) as caught:
        async with examined(redis_socket, wrong):
            pass

    assert "WRONGPASS" in str(caught.value) or "invalid username-password" in str(caught.value)
    assert "canary" not in str(caught.value)
