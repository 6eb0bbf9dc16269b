"""What programs find that look for a token in Redis, under names of their own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tokend.breaker import Breakers
from tokend.clock import SystemClock
from tokend.config import load
from tokend.daemon import Edges
from tokend.errors import StoreError
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.refresher import Means, Refresher
from tokend.store.login import ANONYMOUS, Login
from tokend.store.mirror import Mirror
from tokend.store.redis import open_redis
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.model import Lease
    from tokend.store.redis import RedisStore

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
TICKET = TokenKey(app="shop", appid="wx0123456789abcdef", kind="jsapi_ticket")
PLAIN = "wx:access_token:wx0123456789abcdef"
QUOTED = "wechatpy:wx0123456789abcdef_access_token"
MIRROR = Mirror(plain=("wx:access_token:{appid}",), quoted=("wechatpy:{appid}_access_token",))
LIFE = 7200.0
CLOCK = SystemClock()


@pytest.fixture
async def redis(redis_socket: Path) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis_socket), decode_responses=True) as client:
        await client.flushall()
        yield client
        await client.acl_deluser("tokend")


@asynccontextmanager
async def opened(path: Path, mirror: Mirror = MIRROR, login: Login = ANONYMOUS):
    async with open_redis(f"unix://{path}", CLOCK, login, mirror) as store:
        yield store


@pytest.fixture
async def store(redis_socket: Path) -> AsyncIterator[RedisStore]:
    async with opened(redis_socket) as store:
        yield store


async def acquire(store: RedisStore, owner: str, key: TokenKey = KEY) -> Lease:
    return await store.acquire(
        key, owner=owner, ttl=timedelta(seconds=30), above=0, quarantine=Terms().quarantine
    )


async def save(store: RedisStore, lease: Lease, value: str, *, life: float = LIFE) -> Token | None:
    issued = Issued(value=Secret(value), lifetime=timedelta(seconds=life))
    return await store.save(lease, Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence))


async def keep(store: RedisStore, value: str, key: TokenKey = KEY, *, life: float = LIFE) -> Token:
    """A whole refresh without trouble."""
    lease = await acquire(store, f"for {value}", key)
    kept = await save(store, lease, value, life=life)
    await store.release(lease)
    assert kept is not None
    return kept


async def mirrored(redis: Redis) -> list[str | None]:
    return [await redis.get(name) for name in (PLAIN, QUOTED)]


async def test_a_kept_token_is_found_as_it_is_and_as_json(redis: Redis, store: RedisStore) -> None:
    await keep(store, '92_-"\\/')

    plain, quoted = await mirrored(redis)

    assert plain == '92_-"\\/'
    assert quoted[0] == quoted[-1] == '"'
    assert json.loads(quoted) == plain


async def test_it_is_there_as_long_as_the_token_lives(redis: Redis, store: RedisStore) -> None:
    await keep(store, "92_first", life=100)

    left = [await redis.pttl(name) for name in (PLAIN, QUOTED)]

    assert all(99_000 < each <= 100_000 for each in left)


async def test_a_mirror_that_nobody_renews_runs_out(redis: Redis, store: RedisStore) -> None:
    """Its app is configured no more."""
    await keep(store, "92_short", life=0.05)

    await asyncio.sleep(0.1)

    assert await mirrored(redis) == [None, None]


async def test_without_a_mirror_nobody_finds_anything(redis: Redis, redis_socket: Path) -> None:
    async with opened(redis_socket, Mirror()) as store:
        await keep(store, "92_first")

    assert all(name.startswith("tokend:") for name in await redis.keys())


async def test_the_next_token_takes_the_place_of_the_one_before(
    redis: Redis, store: RedisStore
) -> None:
    await keep(store, "92_first")
    await keep(store, "92_second")

    assert await mirrored(redis) == ["92_second", '"92_second"']


async def test_a_token_that_wechat_confirms_is_written_again(
    redis: Redis, store: RedisStore
) -> None:
    """Somebody has overwritten or deleted it meanwhile."""
    await keep(store, "92_same")
    await redis.set(PLAIN, "92_foreign")
    await redis.delete(QUOTED)

    await keep(store, "92_same")

    assert await mirrored(redis) == ["92_same", '"92_same"']


@pytest.mark.parametrize("value", ["92_slow", "92_winner"])
async def test_a_refused_token_is_not_mirrored(redis: Redis, store: RedisStore, value: str) -> None:
    """An older token can never take the place of a newer one."""
    slow = await acquire(store, "slow")
    await store.release(slow, hold=timedelta(milliseconds=1))
    await asyncio.sleep(0.005)
    await keep(store, "92_winner", life=100)

    assert await save(store, slow, value) is None

    assert await mirrored(redis) == ["92_winner", '"92_winner"']
    assert await redis.pttl(PLAIN) <= 100_000


async def test_a_suspect_token_is_mirrored_because_it_is_served(
    redis: Redis, store: RedisStore
) -> None:
    late = await acquire(store, "late")
    await store.release(late, hold=timedelta(milliseconds=1))
    await asyncio.sleep(0.005)

    kept = await save(store, late, "92_late")

    assert kept is not None
    assert kept.suspect
    assert await mirrored(redis) == ["92_late", '"92_late"']


async def test_a_token_that_is_dead_when_it_is_saved_is_not_mirrored(
    redis: Redis, store: RedisStore
) -> None:
    with capture_logs() as logs:
        await keep(store, "92_dead", life=-1)

    assert await mirrored(redis) == [None, None]
    assert logs == []


async def test_who_adopts_the_token_of_another_node_writes_nothing(
    redis: Redis, store: RedisStore, redis_socket: Path
) -> None:
    await keep(store, "92_first")
    await redis.delete(PLAIN, QUOTED)

    async with opened(redis_socket) as other:
        found = await refresher(other).refresh(None, lambda _: False, None)

    assert found.value == Secret("92_first")
    assert await mirrored(redis) == [None, None]


async def test_what_redis_forgot_is_mirrored_again_when_it_is_restored(
    redis: Redis, store: RedisStore
) -> None:
    token = await keep(store, "92_first")
    await redis.flushall()

    await refresher(store).restore(token)

    assert await mirrored(redis) == ["92_first", '"92_first"']


def refresher(store: RedisStore) -> Refresher:
    """One that asks nobody."""
    means = Means(store=store, terms=Terms(), breakers=Breakers(CLOCK), clock=CLOCK)
    return Refresher(KEY, None, means)


async def test_another_kind_is_mirrored_only_where_a_pattern_tells_it_apart(
    redis: Redis, redis_socket: Path
) -> None:
    mirror = Mirror(plain=("plain:{app}", "plain:{app}:{kind}"), quoted=("quoted:{app}",))
    async with opened(redis_socket, mirror) as store:
        await keep(store, "92_ticket", TICKET)

    names = await redis.keys()

    assert [name for name in names if not name.startswith("tokend:")] == ["plain:shop:jsapi_ticket"]


@pytest.mark.parametrize(
    "foreign",
    [("hset", PLAIN, "field", "value"), ("rpush", PLAIN, "value"), ("set", PLAIN, "for ever")],
    ids=["hash", "list", "without an end"],
)
async def test_whatever_had_the_name_before_is_replaced(
    redis: Redis, store: RedisStore, foreign: tuple[str, ...]
) -> None:
    await redis.execute_command(*foreign)

    await keep(store, "92_first")

    assert await redis.get(PLAIN) == "92_first"
    assert 0 < await redis.pttl(PLAIN) <= LIFE * 1000


async def test_a_mirror_that_may_not_be_written_costs_no_token_and_is_told_once(
    redis: Redis, redis_socket: Path
) -> None:
    await allow(redis, "~tokend:*", "~wechatpy:*")
    async with opened(redis_socket, login=USER) as store:
        with capture_logs() as logs:
            kept = [await keep(store, "92_first"), await keep(store, "92_second")]
        loaded = await store.load(KEY)

    assert loaded is not None
    assert loaded.value == Secret("92_second")
    assert not any(token.suspect for token in kept)
    assert await mirrored(redis) == [None, '"92_second"']
    (told,) = logs
    assert (told["event"], told["mirror"]) == ("mirror_not_written", PLAIN)
    assert "92_" not in str(told)


async def test_a_mirror_that_failed_and_works_again_is_told_of_when_it_fails_again(
    redis: Redis, redis_socket: Path
) -> None:
    async with opened(redis_socket, login=USER) as store:
        with capture_logs() as logs:
            for n, names in enumerate(["~tokend:*", "~*", "~tokend:*"]):
                await allow(redis, names)
                await keep(store, f"92_{n}")

    assert [told["mirror"] for told in logs] == [PLAIN, QUOTED] * 2


USER = Login(username="tokend", password=Secret("canary"))


async def allow(redis: Redis, *names: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "tokend", "on", ">canary", "+@all", "&*")
    await redis.execute_command("ACL", "SETUSER", "tokend", "resetkeys", *names)


async def test_a_save_that_fails_for_another_reason_still_fails(
    redis: Redis, redis_socket: Path
) -> None:
    await allow(redis, "~wx:*")
    async with opened(redis_socket, login=USER) as store:
        with pytest.raises(StoreError):
            await keep(store, "92_first")

    assert await mirrored(redis) == [None, None]


async def test_the_daemon_mirrors_what_it_is_configured_to(
    redis: Redis, redis_socket: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.secret").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "tokend.toml").write_text(f"""
        [store]
        url = "unix://{redis_socket}"
        mirror = ["wx:access_token:{{appid}}"]
        mirror_json = ["wechatpy:{{appid}}_access_token"]
        [apps.shop]
        appid = "wx0123456789abcdef"
        secret_file = "shop.secret"
    """)
    config = load(tmp_path / "tokend.toml", environ={})

    async with Edges().store(config, CLOCK) as store:
        await keep(store, "92_first")

    assert await mirrored(redis) == ["92_first", '"92_first"']
