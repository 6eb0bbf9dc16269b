"""The real process under a wall clock that really steps.

The C library's clock is what libfaketime says; time since boot is left alone. It has to be
installed (apt-get install libfaketime), so these tests run by ``pytest -m faketime``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.process import Simulator, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiohttp
    from kit.process import Running

    Configured = Callable[..., Path]

pytestmark = pytest.mark.faketime

TOKEN = "/v1/apps/shop/access_token"
STEPS = ("+1h", "-1h", "+365d", "-365d", "+10y", "+0", "-3d", "+2h")


def library() -> Path:
    for folder in ("/usr/lib", "/usr/local/lib"):
        for found in Path(folder).glob("**/faketime/libfaketime.so.1"):
            return found
    raise FileNotFoundError("libfaketime: apt-get install libfaketime")


@asynccontextmanager
async def under_another_clock(
    path: Path,
) -> AsyncIterator[tuple[Callable[[str], None], Running, aiohttp.ClientSession]]:
    offset = path.with_name("offset")
    offset.write_text("+0")
    env = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    async with serving(path, env=env) as (tokend, session):
        yield offset.write_text, tokend, session


async def token(session: aiohttp.ClientSession) -> dict[str, object]:
    async with session.get(TOKEN) as response:
        assert response.status == 200, await response.text()
        return await response.json()


@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_no_step_of_the_clock_ends_a_token_or_gives_it_more_life(
    configured: Configured, wechat: Simulator, store: str, method: str
) -> None:
    async with under_another_clock(configured(store=store, method=method)) as (set_clock, _, asked):
        before = await token(asked)
        years = set()
        for step in STEPS:
            set_clock(step)
            await asyncio.sleep(1.1)  # an answer is given again for a second
            answer = await token(asked)
            years.add(str(answer["expires_at"])[:4])
            assert answer["access_token"] == before["access_token"]
            assert before["expires_in"] - 60 < answer["expires_in"] <= before["expires_in"]

    assert len(years) >= 3
    assert await wechat.accepts(str(before["access_token"]))
    assert await wechat.calls(method) == 1


async def replaced(asked: aiohttp.ClientSession, rejected: object) -> dict[str, object]:
    """What a report is answered; a disk that is busy with others is asked again."""
    for _ in range(3):
        async with asked.post(f"{TOKEN}/refresh", json={"rejected": rejected}) as response:
            answer = await response.json()
        if answer.get("code") != "store_away":
            break
        await asyncio.sleep(2)
    return answer


async def test_a_rejected_token_is_replaced_whatever_the_clock_says(
    configured: Configured, wechat: Simulator, store: str
) -> None:
    path = configured(store=store, method="token")
    async with under_another_clock(path) as (set_clock, tokend, asked):
        before = await token(asked)
        set_clock("-10d")
        await asyncio.sleep(6)
        answer = await replaced(asked, before["access_token"])
        said = "".join(tokend.lines)

    assert answer.get("refreshed"), answer
    assert await wechat.accepts(str(answer["access_token"]))
    assert "wall_clock_jumped" in said
