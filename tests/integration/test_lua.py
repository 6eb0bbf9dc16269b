"""The Lua of the Redis store says what ``record`` says: the same steps, the same outcomes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.errors import LeaseBusy
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.redis import open_redis
from tokend.store.seal_key import parse_keys
from tokend.store.seals import UNSEALED, Seals

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.contracts import Store
    from tokend.model import Lease

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
CLOCK = SystemClock()
OWNERS = ("a", "b", "c")

# What nodes can do to one key, in any order, sensible or not. "drop" is a lease that ran out.
steps = st.one_of(
    st.tuples(st.just("acquire"), st.sampled_from(OWNERS), st.sampled_from([0, 60])),
    st.tuples(st.just("save"), st.sampled_from(OWNERS), st.sampled_from(["92_x", "92_y"])),
    st.tuples(st.just("release"), st.sampled_from(OWNERS)),
    st.tuples(st.just("hold"), st.sampled_from(OWNERS)),
    st.tuples(st.just("drop"), st.sampled_from(OWNERS)),
)


class Play:
    """Plays steps on a store and tells what came of each, fences by the order they came in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leases: dict[str, Lease] = {}
        self._fences: list[int] = []

    async def step(self, what: str, owner: str, *rest: Any) -> object:
        if what == "acquire":
            return await self._acquire(owner, timedelta(seconds=rest[0]))
        lease = self._leases.get(owner)
        if lease is None:
            return None
        if what == "save":
            issued = Issued(value=Secret(rest[0]), lifetime=timedelta(seconds=7200))
            token = Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence)
            return self._seen(await self._store.save(lease, token))
        # 1 ms is as good as none: the next step comes later than that.
        hold = {"release": 0, "hold": 60_000, "drop": 1}[what]
        await self._store.release(lease, hold=timedelta(milliseconds=hold))
        return what

    async def kept(self) -> object:
        return self._seen(await self._store.load(KEY))

    async def _acquire(self, owner: str, quarantine: timedelta) -> object:
        try:
            lease = await self._store.acquire(
                KEY, owner=owner, ttl=timedelta(seconds=60), above=0, quarantine=quarantine
            )
        except LeaseBusy:
            return "busy"
        self._leases[owner] = lease
        if lease.fence not in self._fences:
            self._fences.append(lease.fence)
        return self._order(lease.fence)

    def _seen(self, token: Token | None) -> object:
        if token is None:
            return None
        return token.value, self._order(token.generation), token.suspect

    def _order(self, fence: int) -> int:
        return self._fences.index(fence)


SEALED = parse_keys([Secret("0" * 64)])


@pytest.mark.parametrize("seals", [UNSEALED, SEALED], ids=["as it is", "sealed"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(played=st.lists(steps, max_size=25))
async def test_redis_and_the_pure_rules_agree_on_every_step(
    redis_socket: Path, seals: Seals, played: list[tuple[str, ...]]
) -> None:
    async with (
        Redis(unix_socket_path=str(redis_socket)) as client,
        open_redis(f"unix://{redis_socket}", CLOCK, seals=seals) as redis,
    ):
        await client.flushall()
        by_lua, by_rules = Play(redis), Play(LocalStore(MemoryTable(), CLOCK, seals))
        for step in played:
            outcomes = await by_lua.step(*step), await by_rules.step(*step)
            assert outcomes[0] == outcomes[1], step
            if step[0] == "drop":
                await asyncio.sleep(0.003)
            assert await by_lua.kept() == await by_rules.kept(), step
