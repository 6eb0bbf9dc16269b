"""SIGHUP, SIGTERM and the others, sent to the real process."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
from kit.process import Running, Simulator, one_shot, serving

from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp

    Configured = Callable[..., Path]

TOKEN = "/v1/apps/shop/access_token"
RELOADED = re.compile(r'"event": "reloaded"')
REFUSED = re.compile(r'"event": "reload_refused"')
KEY = "a" * 64


async def until(said: re.Pattern[str], tokend: Running, times: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(said.findall("".join(tokend.lines))) < times:
            await asyncio.sleep(0.02)


async def status(folder: Path) -> dict[str, object]:
    code, out, err = await one_shot("status", "--json", "--socket", f"{folder}/tokend.sock")
    assert code == 0, err
    return json.loads(out)


async def token(session: aiohttp.ClientSession, app: str = "shop") -> tuple[int, dict]:
    async with session.get(f"/v1/apps/{app}/access_token") as response:
        return response.status, await response.json()


# SIGHUP


async def test_apps_come_and_go_and_what_stays_does_not_notice(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured()
    one = path.read_text()
    async with serving(path) as (tokend, session):
        _, before = await token(session)
        path.write_text(one.replace("[apps.shop]", "[apps.store]"))
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend)
        gone, _ = await token(session)
        renamed, after = await token(session, "store")

    assert gone == 404
    assert renamed == 200
    assert after["access_token"] == before["access_token"]
    assert await wechat.calls() == 1


async def test_a_new_secret_is_tried_at_once(configured: Configured) -> None:
    """What WeChat refused with the old one is not held against the new one."""
    path = configured()
    secret = path.with_name("shop.secret")
    secret.write_text("0" * 32)
    async with serving(path) as (tokend, session):
        await tokend.said(re.compile("errcode 40(001|125)"))
        refused, _ = await token(session)
        secret.write_text(APP_SECRET)
        started = time.monotonic()
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend)
        while (await token(session))[0] != 200:
            assert time.monotonic() - started < 3
            await asyncio.sleep(0.02)

    assert refused == 503


async def test_clients_and_the_log_level_change_at_once(configured: Configured) -> None:
    path = configured()
    client = f'[clients.reader]\nkey_sha256 = "{KEY}"\napps = ["*"]\ncan = ["read"]\n'
    async with serving(path) as (tokend, session):
        open_to_all, _ = await token(session)
        path.write_text(path.read_text() + client + '[log]\nlevel = "warning"\n')
        tokend.send(signal.SIGHUP)
        await asyncio.sleep(1)
        closed, _ = await token(session)
        path.write_text(path.read_text().replace("warning", "info"))
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend)

    assert (open_to_all, closed) == (200, 401)


BROKEN = {
    "not TOML": lambda text: text + "[",
    "empty": lambda _: "",
    "unknown setting": lambda text: text.replace("listen", "lisen"),
    "no apps": lambda text: text[: text.index("[apps")],
    "wrong appid": lambda text: text.replace(APPID, "wx1"),
    "secret file missing": lambda text: text.replace("shop.secret", "none.secret"),
    "wrong method": lambda text: text.replace("stable_token", "stable"),
    "another address": lambda text: text.replace("127.0.0.1:0", "127.0.0.1:1"),
    "another socket": lambda text: text.replace("tokend.sock", "other.sock"),
    "another store": lambda text: text.replace("tokend.db", "other.db"),
    "another WeChat": lambda text: text.replace("[wechat]", "[wechat]\nproxy = 'http://p:1'"),
    "another lease": lambda text: text + "[refresh]\nlease_seconds = 40\n",
    "an inequality": lambda text: text + "[refresh]\nlease_seconds = 10\n",
    "two apps, one wrong": lambda text: text + "[apps.blog]\nappid = 'x'\n",
    "a client of no app": lambda text: (
        text + f"[clients.x]\nkey_sha256 = '{KEY}'\napps = ['none']\ncan = ['read']\n"
    ),
    "a client without a key": lambda text: text + "[clients.x]\napps = ['*']\ncan = ['read']\n",
    "not UTF-8": lambda text: text.encode() + b"\xff",
}


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    """One process through all of them."""
    path = configured()
    good = path.read_text()
    path.chmod(0o600)
    async with serving(path) as (tokend, session):
        before = await token(session)
        told = {}
        for number, (name, broken) in enumerate(BROKEN.items(), start=1):
            content = broken(good)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            tokend.send(signal.SIGHUP)
            await until(REFUSED, tokend, number)
            assert (await token(session))[0] == 200, name
            told[name] = (await status(folder))["configuration_mistakes"]
        path.write_text(good)
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend)
        after = await token(session)
        mended = await status(folder)

    assert all(told.values()), told
    assert told["another address"] == [
        "server: a change here takes a restart; nothing of the file was taken over"
    ]
    assert mended["configuration_mistakes"] == []
    assert after[1]["access_token"] == before[1]["access_token"]
    assert await wechat.calls() == 1


async def test_a_storm_of_sighups_under_a_refresh_disturbs_nobody(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured(method="token")
    async with serving(path) as (tokend, session):
        _, before = await token(session)
        await wechat.weather({"late_seconds": 1.5})
        reporting = asyncio.create_task(
            session.post(f"{TOKEN}/refresh", json={"rejected": before["access_token"]})
        )
        for number in range(1000):
            tokend.send(signal.SIGHUP)
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(RELOADED, tokend)
        async with await reporting as response:
            answer = await response.json()
            refreshed = response.status

    assert refreshed == 200
    assert answer["access_token"] != before["access_token"]
    assert await wechat.calls("token") == 2
    assert len(RELOADED.findall("".join(tokend.lines))) < 1000


async def test_an_app_that_is_removed_under_its_refresh_is_not_served_any_more(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured(method="token")
    other = path.read_text().replace("[apps.shop]", "[apps.blog]").replace(APPID, "wx" + "0" * 16)
    async with serving(path) as (tokend, session):
        _, before = await token(session)
        await wechat.weather({"late_seconds": 1})
        reporting = asyncio.create_task(
            session.post(f"{TOKEN}/refresh", json={"rejected": before["access_token"]})
        )
        await asyncio.sleep(0.3)
        path.write_text(other)
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend)
        gone, _ = await token(session)
        async with await reporting as response:
            finished = response.status
        tokend.send(signal.SIGTERM)
        code = await tokend.ended()

    assert gone == 404
    assert finished == 404  # nor is what that refresh brought
    assert code == 0
    assert "crashed" not in "".join(tokend.lines)


# SIGTERM and the others


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_a_refresh_end_the_second_does_not(
    configured: Configured, wechat: Simulator, number: signal.Signals
) -> None:
    path = configured(method="token")
    async with serving(path) as (tokend, session):
        _, before = await token(session)
        await wechat.weather({"late_seconds": 6})
        reporting = asyncio.create_task(
            session.post(f"{TOKEN}/refresh", json={"rejected": before["access_token"]})
        )
        await asyncio.sleep(0.3)
        tokend.send(number)
        await asyncio.sleep(0.5)
        still = tokend.process.returncode
        tokend.send(number)
        started = time.monotonic()
        code = await tokend.ended()
        took = time.monotonic() - started
        await asyncio.gather(reporting, return_exceptions=True)

    assert still is None
    assert code != 0
    assert took < 4


async def test_sigquit_ends_it_at_once(configured: Configured) -> None:
    async with serving(configured()) as (tokend, _):
        tokend.send(signal.SIGQUIT)
        started = time.monotonic()
        await tokend.ended()

    assert time.monotonic() - started < 4


async def test_a_refresh_that_outlasts_the_end_is_handed_over_and_the_end_is_in_time(
    configured: Configured, wechat: Simulator
) -> None:
    """WeChat takes longer than it may: the intent that stays tells the next process."""
    path = configured(method="token")
    async with serving(path) as (tokend, session):
        _, before = await token(session)
        await wechat.weather({"late_seconds": 30})
        reporting = asyncio.create_task(
            session.post(f"{TOKEN}/refresh", json={"rejected": before["access_token"]})
        )
        await asyncio.sleep(0.3)
        started = time.monotonic()
        tokend.send(signal.SIGTERM)
        code = await tokend.ended()
        took = time.monotonic() - started
        await asyncio.gather(reporting, return_exceptions=True)

    assert code == 0
    assert took < 15
