"""Operators are told by a real tokend, by webhook: at a trouble, and of its end."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from typing import TYPE_CHECKING

from kit.process import serving
from kit.robot import SILENCE, robot

from tokend.cli.simulate import APP_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp
    from kit.process import Running
    from kit.robot import Robot

    Configured = Callable[..., Path]

REFUSED = re.compile("errcode 40(001|125)")
OPS = '[notify.ops]\nformat = "wecom"\nurl_file = "ops.url"\n'


def notifying(path: Path, there: Robot) -> str:
    """The file with a webhook in it."""
    url = path.with_name("ops.url")
    url.touch(mode=0o600)
    url.write_text(there.url)
    return path.read_text() + OPS


def texts(there: Robot) -> list[str]:
    return [message["text"]["content"] for message in there.taken]


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not told():
            await asyncio.sleep(0.05)


async def is_served(session: aiohttp.ClientSession) -> bool:
    async with session.get("/v1/apps/shop/access_token") as response:
        return response.status == 200


async def ended(tokend: Running) -> float:
    """How long that took."""
    started = time.monotonic()
    tokend.send(signal.SIGTERM)
    assert await tokend.ended() == 0
    return time.monotonic() - started


async def test_a_refused_secret_is_told_with_what_to_do_and_at_the_end_that_it_is_mended(
    configured: Configured,
) -> None:
    """The webhook is there after a reload; what waits at the end is told then."""
    path = configured()
    secret = path.with_name("shop.secret")
    secret.write_text("0" * 32)
    async with robot() as there, serving(path) as (tokend, session):
        await tokend.said(REFUSED)
        path.write_text(notifying(path, there))
        secret.write_text("1" * 32)
        tokend.send(signal.SIGHUP)
        await until(lambda: bool(there.taken))
        secret.write_text(APP_SECRET)
        tokend.send(signal.SIGHUP)
        while not await is_served(session):
            await asyncio.sleep(0.05)
        await ended(tokend)

    first, last = texts(there)
    assert "shop/access_token" in first
    assert "put the right AppSecret of shop into its secret file" in first
    assert "Well again: shop/access_token" in last
    assert "canary-robot-key" not in "".join(tokend.lines)


async def test_a_webhook_that_never_answers_holds_up_neither_start_nor_end(
    configured: Configured,
) -> None:
    path = configured()
    path.with_name("shop.secret").write_text("0" * 32)
    async with robot(*[SILENCE] * 99) as there:
        path.write_text(notifying(path, there))
        async with serving(path) as (tokend, session):
            await tokend.said(REFUSED)
            async with session.get("/healthz") as response:
                assert response.status == 200
            took = await ended(tokend)

    assert took < 15
    assert "changes_never_told" in "".join(tokend.lines)
