"""Staging on the account of production: its tokend has production's tokend for its WeChat.

Two real processes, and the simulator, by whose ledger nothing that staging does may cost
production a token.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kit.process import Simulator, simulator
from kit.staging import KEYS, SHOP, Site, production, staging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# A life of two hours takes 36 s, the overlap of two tokens 1.5 s.
FAST = 200
# The half minute after which staging asks again takes 1 s, the overlap 10 s.
BRISK = 30

_LONG_SECONDS = 60.0
_AGAIN_SECONDS = 0.3


@asynccontextmanager
async def both(
    folder: Path, *, speed: int, method: str = "stable_token"
) -> AsyncIterator[tuple[Simulator, Site, Site]]:
    async with (
        simulator("--speed", str(speed)) as wechat,
        production(folder, wechat, method=method, speed=speed) as prod,
    ):
        for key in KEYS:
            await until(prod, key)
        async with staging(folder, prod, speed=speed) as stage:
            for key in KEYS:
                await until(stage, key)
            yield wechat, prod, stage


async def until(site: Site, key: str, *, other_than: str = "not_ready") -> str:
    """What is served there then."""
    async with asyncio.timeout(_LONG_SECONDS):
        while (value := await site.value(key)) in ("not_ready", other_than):
            await asyncio.sleep(0.02)
    return value


async def issued(wechat: Simulator) -> int:
    async with wechat.session.get("/simulator/issued") as response:
        return len(await response.json())


async def is_dead(wechat: Simulator, site: Site) -> bool:
    """It may have died on its way: so is it still served?"""
    value = await site.value()
    if value == "not_ready" or await wechat.is_valid(value):
        return False
    await asyncio.sleep(_AGAIN_SECONDS)
    return await site.value() == value and not await wechat.is_valid(value)


async def test_staging_serves_what_production_serves_and_wechat_has_given_it_once(
    folder: Path,
) -> None:
    async with both(folder, speed=1) as (wechat, prod, stage):
        assert [await stage.value(key) for key in KEYS] == [await prod.value(key) for key in KEYS]
        assert await issued(wechat) == len(KEYS)


@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_when_production_replaces_its_token_staging_has_the_same_and_never_a_dead_one(
    folder: Path, method: str
) -> None:
    async with both(folder, speed=FAST, method=method) as (wechat, prod, stage):
        first, dead = await stage.value(), 0
        async with asyncio.timeout(_LONG_SECONDS):
            while await stage.value() == first:
                dead += await is_dead(wechat, stage)
                await asyncio.sleep(0.02)

        assert dead == 0
        assert await stage.value() == await prod.value()
        if method == "token":
            assert await wechat.calls("token") == 2


async def test_staging_has_the_next_token_before_one_that_was_replaced_early_ends(
    folder: Path,
) -> None:
    async with both(folder, speed=BRISK) as (wechat, prod, stage):
        before = await stage.value()

        assert (await prod.refresh({}))["refreshed"]
        after = await until(stage, SHOP, other_than=before)

        assert after == await prod.value()
        assert await wechat.is_valid(before)


async def test_nothing_that_staging_asks_for_makes_production_replace_its_token(
    folder: Path,
) -> None:
    async with both(folder, speed=BRISK) as (wechat, prod, stage):
        value, given = await prod.value(), await issued(wechat)

        forced = await stage.refresh({})
        reported = await asyncio.gather(*(stage.refresh({"rejected": value}) for _ in range(50)))

        assert (forced["status"], forced["errcode"]) == (502, 48001)
        assert "[clients]" in forced["advice"]
        assert {each["code"] for each in reported} <= {"upstream_refused", "refresh_limited"}
        assert await issued(wechat) == given
        assert await stage.value() == await prod.value() == value
        # Nor has it spent what production has for its own callers.
        assert (await prod.refresh({"rejected": value}))["refreshed"]


async def test_a_dead_token_that_is_reported_at_staging_is_mended_at_both(folder: Path) -> None:
    async with both(folder, speed=BRISK) as (wechat, prod, stage):
        dead = await stage.value()
        for _ in range(2):  # WeChat honours the one before
            await wechat.rotate()

        assert (await stage.refresh({"rejected": dead}))["refreshed"]

        assert await wechat.accepts(await stage.value())
        assert await stage.value() == await prod.value()
