"""What sealing costs, in turns with not sealing: pytest -n 0 -m long -s."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from statistics import median

import pytest
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.store.redis import open_redis
from tokend.store.seal_key import parse_keys
from tokend.store.seals import UNSEALED, Written, digest_of
from tokend.terms import Terms

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
CLOCK = SystemClock()
SEALS = parse_keys([Secret("0" * 64)])
VALUE = Secret("9" * 136)
MICROSECONDS = 1e6


@pytest.mark.long
def test_a_token_is_sealed_and_opened_in_microseconds() -> None:
    costs = {"close": [], "open": []}
    for fence in range(5000):
        started = time.perf_counter()
        text = SEALS.close(VALUE, record=KEY.record, fence=fence, ends=datetime.now(UTC))
        closed = time.perf_counter()
        found = Written(
            record=KEY.record, text=text, generation=0, fence=fence, digest=digest_of(VALUE)
        )
        begun = time.perf_counter()
        SEALS.open(found)
        costs["open"].append(time.perf_counter() - begun)
        costs["close"].append(closed - started)

    for what, each in costs.items():
        print(f"{what}: {median(each) * MICROSECONDS:.1f} µs")  # noqa: T201, what -s is for
        assert median(each) < 1e-3


@pytest.mark.long
async def test_saving_and_loading_take_as_long_as_before(redis_socket) -> None:
    """Taking turns, because the machine is never quiet."""
    costs: dict[tuple[str, str], list[float]] = {}
    url = f"unix://{redis_socket}"
    async with (
        Redis(unix_socket_path=str(redis_socket)) as client,
        open_redis(url, CLOCK, seals=UNSEALED) as plain,
        open_redis(url, CLOCK, seals=SEALS) as sealed,
    ):
        for _ in range(1000):
            for name, store in (("plain", plain), ("sealed", sealed)):
                await client.flushall()
                lease = await store.acquire(
                    KEY, owner=name, ttl=Terms().lease, above=0, quarantine=Terms().quarantine
                )
                issued = Issued(value=VALUE, lifetime=Terms().lease)
                token = Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence)
                started = time.perf_counter()
                await store.save(lease, token)
                saved = time.perf_counter()
                await store.load(KEY)
                costs.setdefault((name, "load"), []).append(time.perf_counter() - saved)
                costs.setdefault((name, "save"), []).append(saved - started)

    for what in ("save", "load"):
        before, after = (median(costs[name, what]) for name in ("plain", "sealed"))
        print(f"{what}: {before * MICROSECONDS:.0f} µs, sealed {after * MICROSECONDS:.0f} µs")  # noqa: T201
        assert after - before < 2e-3
