"""The real process, with a simulated WeChat in another process as the outside oracle."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import Simulator, one_shot, running, serving

from tokend.cli.simulate import APP_SECRET
from tokend.client import AsyncClient
from tokend.testing import WeChat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Configured = Callable[..., Path]

TOKEN = "/v1/apps/shop/access_token"
REFRESH = f"{TOKEN}/refresh"


async def token(session: aiohttp.ClientSession) -> str:
    async with session.get(TOKEN) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["access_token"]


async def report(session: aiohttp.ClientSession, rejected: str) -> dict[str, object]:
    async with session.post(REFRESH, json={"rejected": rejected}) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_two_hundred_cold_gets_are_one_upstream_call(
    configured: Configured, wechat: Simulator, store: str
) -> None:
    await wechat.weather({"delay_seconds": 1})
    async with serving(configured(store=store)) as (_, session):
        tokens = await asyncio.gather(*(token(session) for _ in range(200)))

    ledger = await wechat.ledger()
    assert len(set(tokens)) == 1
    assert await wechat.accepts(tokens[0])
    assert await wechat.calls() == 1
    assert ledger["struck"] == 1


async def test_two_hundred_reports_of_one_token_are_one_upstream_call_and_late_ones_none(
    configured: Configured, wechat: Simulator, store: str
) -> None:
    async with serving(configured(store=store, method="token")) as (_, session):
        rejected = await token(session)
        await wechat.weather({"delay_seconds": 1})

        at_once = await asyncio.gather(*(report(session, rejected) for _ in range(200)))
        calls_at_once = await wechat.calls("token")
        late = await asyncio.gather(*(report(session, rejected) for _ in range(200)))

    assert calls_at_once == 2
    assert await wechat.calls("token") == 2
    assert len({answer["access_token"] for answer in at_once + late}) == 1
    assert all(answer["refreshed"] for answer in at_once)
    assert not any(answer["refreshed"] for answer in late)


async def test_a_report_of_a_good_stable_token_is_two_calls_one_of_them_forced(
    configured: Configured, wechat: Simulator, store: str
) -> None:
    """A normal call first, which costs nothing; then, as WeChat gives the same token, force."""
    async with serving(configured(store=store)) as (_, session):
        rejected = await token(session)

        answers = await asyncio.gather(*(report(session, rejected) for _ in range(200)))

    assert await wechat.calls() == 3
    assert len({answer["access_token"] for answer in answers}) == 1


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_kept_token_survives_a_restart_without_an_upstream_call(
    configured: Configured, wechat: Simulator, store: str, end: signal.Signals
) -> None:
    path = configured(store=store)
    async with serving(path) as (tokend, session):
        before = await token(session)
        tokend.send(end)
        await tokend.ended()

    async with serving(path) as (_, session):
        after = await token(session)

    assert after == before
    assert await wechat.accepts(after)
    assert await wechat.calls() == 1


async def test_two_nodes_on_one_store_share_one_token(configured: Configured, folder: Path) -> None:
    first = configured(store="redis")
    second = folder / "second.toml"
    second.write_text(first.read_text().replace("tokend.sock", "second.sock"))
    async with serving(first) as (_, one), serving(second) as (_, two):
        before = {await token(one), await token(two)}
        answer = await report(one, before.pop())
        async with two.get(
            TOKEN, params={"after": str(answer["generation"] - 1), "wait": "10"}
        ) as r:
            seen = await r.json()

    assert not before
    assert seen["access_token"] == answer["access_token"]


async def test_a_second_tokend_on_the_same_socket_ends_before_it_asks_wechat(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    path = configured()
    async with serving(path) as (_, session):
        await token(session)
        code, out, err = await one_shot("serve", str(path))

        still = await one_shot("get", "shop/access_token", "--socket", f"{folder}/tokend.sock")

    assert (code, out) == (69, "")
    assert err.splitlines()[-2] == (
        f"tokend: error: server.socket: {folder}/tokend.sock: is served by another process"
    )
    assert still[0] == 0
    assert await wechat.calls() == 1


async def test_sigterm_ends_it_cleanly_and_soon(configured: Configured, folder: Path) -> None:
    async with serving(configured()) as (tokend, _):
        started = time.monotonic()
        tokend.send(signal.SIGTERM)
        code = await tokend.ended()

    assert code == 0
    assert time.monotonic() - started < 5
    assert not (folder / "tokend.sock").exists()


async def test_a_refresh_under_way_is_finished_before_the_end(
    configured: Configured, wechat: Simulator
) -> None:
    """What WeChat has given must not be lost."""
    path = configured(method="token")
    async with serving(path) as (tokend, session):
        before = await token(session)
        await wechat.weather({"late_seconds": 1.5})
        reporting = asyncio.create_task(report(session, before))
        await asyncio.sleep(0.5)
        tokend.send(signal.SIGTERM)
        answer = await reporting
        code = await tokend.ended()

    async with serving(path) as (_, session):
        after = await token(session)

    assert code == 0
    assert after == answer["access_token"] != before
    assert await wechat.calls("token") == 2


async def test_while_wechat_is_away_readers_get_the_kept_token(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured()
    async with serving(path) as (_, session):
        before = await token(session)
        await wechat.weather(*[{"cut": True}] * 10)
        async with session.post(REFRESH, json={"rejected": before}) as response:
            failed = response.status, (await response.json())["code"]

        after = await token(session)

    assert failed == (503, "upstream_away")
    assert after == before


async def test_a_bad_configuration_ends_with_78_and_every_mistake(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured()
    path.write_text(path.read_text().replace("listen", "lisen").replace('"stable_token"', "3"))

    code, _, err = await one_shot("serve", str(path))

    assert code == 78
    assert err.splitlines() == [
        "tokend: error: server.lisen: no such setting, did you mean 'listen'?",
        "tokend: error: apps.shop.method: must be 'stable_token' or 'token'",
    ]
    assert await wechat.calls() == 0


async def test_what_it_prints_holds_no_secret_and_no_token(
    configured: Configured, wechat: Simulator
) -> None:
    path = configured()
    path.write_text(path.read_text() + '[log]\nlevel = "debug"\n')
    await wechat.weather(
        {"body": "<html>" + APP_SECRET}, {"reply": {"errcode": 1, "errmsg": APP_SECRET}}
    )
    async with serving(path) as (tokend, session):
        await tokend.said(re.compile("errcode"))
        async with session.post(REFRESH, json={"rejected": "canary-token"}) as response:
            refused = await response.text()
        async with session.get(TOKEN, headers={"Authorization": "canary-token" * 999}) as response:
            assert response.status == 431
        tokend.send(signal.SIGTERM)
        await tokend.ended()

    printed = "".join(tokend.lines)
    assert "refresh_failed" in printed
    for secret in (APP_SECRET, "canary-token"):
        assert secret not in printed + refused


@pytest.mark.timeout(180)
async def test_a_client_that_uses_each_token_at_once_never_sees_it_rejected() -> None:
    """The demo, through several refreshes, asked every 100 ms."""
    started = time.monotonic()
    async with running("demo", "--port", "0", "--speed", "400") as demo:
        url = (await demo.said(re.compile(r"curl (http://\S+)/v1")))[1]
        wechat_url = (await demo.said(re.compile(r"WeChat is simulated at (http://\S+),")))[1]
        generations, uses, first_after = await use_tokens(url, wechat_url, started)
        demo.send(signal.SIGINT)
        code = await demo.ended()

    assert first_after < 5
    assert len(generations) >= 4
    assert len(uses) > 200
    assert all(uses)
    assert code == 0


async def test_the_demo_shows_its_status_page() -> None:
    async with running("demo", "--port", "0") as demo:
        url = (await demo.said(re.compile(r"status page is (http://\S+)")))[1]
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()

    assert '<li id="shop/access_token"' in text


async def test_users_log_in_to_the_demo_and_what_their_phones_encrypt_is_decrypted() -> None:
    async with running("demo", "--port", "0") as demo:
        wechat = (await demo.said(re.compile(r"WeChat is simulated at (http://\S+),")))[1]
        url = (await demo.said(re.compile(r"curl (http://\S+)/v1")))[1]
        phone, logins = WeChat(wechat).phone("ann"), AsyncClient(url=url).logins("shop")
        begun = await logins.login(await asyncio.to_thread(phone.login))
        sent = await asyncio.to_thread(phone.profile)
        content = await logins.decrypt(
            begun.session, encrypted_data=sent["encryptedData"], iv=sent["iv"]
        )

    assert content["nickName"] == "ann"


async def use_tokens(
    url: str, wechat_url: str, started: float
) -> tuple[set[int], list[bool], float]:
    """Ask and use until four generations were seen."""
    generations: set[int] = set()
    uses: list[bool] = []
    first_after = 0.0
    async with aiohttp.ClientSession(url) as tokend, aiohttp.ClientSession(wechat_url) as there:
        wechat = Simulator(wechat_url, there)
        while len(generations) < 4:
            async with tokend.get(TOKEN) as response:
                answer = await response.json()
            uses.append(await wechat.accepts(answer["access_token"]))
            first_after = first_after or time.monotonic() - started
            generations.add(answer["generation"])
            await asyncio.sleep(0.1)
    return generations, uses, first_after
