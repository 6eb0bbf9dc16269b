"""The status page as it comes over HTTP: who gets it, what is in it, and what never is."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.clock import settle
from kit.house import CLIENTS, House, key
from kit.served import served

from tokend.errors import UpstreamUnreachable
from tokend.page import routes

if TYPE_CHECKING:
    from pathlib import Path

MORE = f"""{CLIENTS}
[clients.operator]
apps = ["*"]
can = ["read", "force", "status"]
[clients.shopkeeper]
apps = ["shop"]
can = ["status", "force", "read"]
[clients.blindkeeper]
apps = ["shop"]
can = ["status", "force", "call"]
tokens = "never"
"""
REFRESH = "/v1/apps/shop/access_token/refresh"


@pytest.fixture
async def house(aiohttp_client, folder: Path) -> House:
    house = House(folder, clients=MORE)
    house.http = await aiohttp_client(house.app)
    await house.begin()
    return house


def basic(client: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth("anybody", key(client))}


async def page(house: House, client: str = "operator", query: str = "", **headers: str) -> str:
    async with house.http.get(f"/status{query}", headers=basic(client) | headers) as response:
        text = await response.text()
        assert response.status == 200, text
        return text


def keys(text: str) -> list[str]:
    return re.findall(r'<li id="([^"]+)"', text)


async def status_of(house: House, method: str, path: str, **headers: str) -> int:
    body = {} if method == "POST" else None
    async with house.http.request(method, path, json=body, headers=headers) as response:
        await response.read()
        return response.status


# Who gets it


async def test_a_browser_is_asked_for_a_client_key_as_password(house: House) -> None:
    async with house.http.get("/status") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert (await response.json())["code"] == "unauthorized"

    assert "shop/access_token" in keys(await page(house))


async def test_elsewhere_no_browser_is_asked(house: House) -> None:
    async with house.http.get("/v1/apps") as response:
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "shown", ["Basic", "Basic !", "Basic 4pyT", "Basic /w==", "Basic Og==", "Digest x", ""]
)
async def test_what_is_no_key_lets_nobody_in(house: House, shown: str) -> None:
    assert await status_of(house, "GET", "/status", Authorization=shown) == 401


async def test_a_key_as_password_is_good_for_what_the_page_does_and_nothing_else(
    house: House,
) -> None:
    operator = basic("operator")

    assert await status_of(house, "POST", REFRESH, **operator) == 200
    for path in ("/v1/apps", "/v1/apps/shop/access_token"):
        assert await status_of(house, "GET", path, **operator) == 401
    assert await status_of(house, "POST", "/v1/reload", **operator) == 401


async def test_who_asks_for_no_route_is_told_where_page_and_description_are(house: House) -> None:
    async with house.http.get("/") as answer:
        advice = (await answer.json())["advice"]

    there = re.findall(r"/[a-z.]+", advice)
    assert there == ["/openapi.json", "/status"]
    for path in there:
        assert await status_of(house, "GET", path, **basic("operator")) == 200


async def test_it_is_for_those_who_may_see_the_status(house: House) -> None:
    assert await status_of(house, "GET", "/status", **basic("shopper")) == 403


async def test_it_shows_the_keys_of_ones_own_apps(house: House) -> None:
    assert {name.split("/")[0] for name in keys(await page(house, "shopkeeper"))} == {"shop"}
    assert set(keys(await page(house))) == set(house.fleet.keepers)


@pytest.mark.parametrize(
    ("client", "buttons"), [("operator", "all"), ("onlooker", "none"), ("blindkeeper", "none")]
)
async def test_the_button_is_for_those_who_may_force(
    house: House, client: str, buttons: str
) -> None:  # fmt: skip
    text = await page(house, client)

    assert text.count("data-force=") == (len(keys(text)) if buttons == "all" else 0)


# Whose page may do something


SAME = {"Origin": "http://localhost:8390", "Host": "localhost:8390"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(SAME, 200, id="its own"),
        pytest.param(SAME | {"Sec-Fetch-Site": "same-origin"}, 200, id="its own, and says so"),
        pytest.param(SAME | {"Origin": "https://localhost:8390"}, 200, id="behind a proxy"),
        pytest.param(SAME | {"Origin": "http://localhost:8391"}, 403, id="another port"),
        pytest.param(SAME | {"Origin": "http://localhost"}, 403, id="no port"),
        pytest.param(SAME | {"Origin": "null"}, 403, id="a page from nowhere"),
        pytest.param(SAME | {"Origin": "http://evil.example"}, 403, id="another host"),
        pytest.param(SAME | {"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param(SAME | {"Sec-Fetch-Site": "same-site"}, 403, id="another of the site"),
        pytest.param(
            {"Origin": "http://evil.example", "Host": "evil.example"}, 403, id="a rebound name"
        ),
        pytest.param(
            SAME | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            403,
            id="a form elsewhere",
        ),
    ],
)
async def test_no_page_but_its_own_refreshes(
    house: House, headers: dict[str, str], status: int
) -> None:
    assert await status_of(house, "POST", REFRESH, **basic("operator"), **headers) == status


async def test_a_link_leads_to_it_and_a_frame_or_script_elsewhere_does_not(house: House) -> None:
    site = basic("operator") | {"Sec-Fetch-Site": "cross-site"}

    assert await status_of(house, "GET", "/status", **site, **{"Sec-Fetch-Mode": "navigate"}) == 200
    assert await status_of(house, "GET", "/status", **site, **{"Sec-Fetch-Mode": "no-cors"}) == 403


async def test_nothing_but_its_own_files_runs_in_it_and_it_is_in_no_frame(house: House) -> None:
    for path in ("/status", "/status/page.js", "/status/page.css", "/status/icon.svg"):
        async with house.http.get(path, headers=basic("operator")) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
    text = await page(house)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|https?://", text)


async def test_there_are_no_other_files(house: House) -> None:
    for name in ("words.py", "..%2Froutes.py", "page.js%00"):
        assert await status_of(house, "GET", f"/status/{name}") == 404


# What is in it


async def test_no_value_is_in_it(house: House) -> None:
    text = await page(house)

    assert not [name for name, value in house.tokens().items() if value in text]
    assert key("operator") not in text


async def test_what_wechat_says_is_text_and_what_to_do_is_said(house: House) -> None:
    refusal = {"errcode": 40164, "errmsg": "invalid ip 203.0.113.9 <script>alert(1)</script>"}
    house.wechat.replies += [refusal] * 8
    await house.clock.advance(7000)
    await house.live(3)

    english, chinese = await page(house), await page(house, query="?lang=zh")

    assert "errcode 40164: invalid ip 203.0.113.9 &lt;script&gt;alert(1)&lt;/script&gt;" in english
    assert "<script>alert" not in english + chinese
    assert "WeChat sees address 203.0.113.9; add it to the IP whitelist of" in english
    assert "微信看到的地址是 203.0.113.9" in chinese


async def test_trouble_comes_first_and_is_counted(house: House) -> None:
    house.wechat.troubles.append(UpstreamUnreachable("nobody there"))
    house.clock.suspend(timedelta(seconds=6950))
    await house.schedule.look()
    await settle()
    text = await page(house)

    failing = [name for name, each in house.fleet.keepers.items() if each.status().failures]
    assert failing
    assert keys(text)[: len(failing)] == sorted(failing)
    assert f"<strong>{len(failing)}</strong> failing" in text
    assert keys(await page(house, query="?state=failing")) == sorted(failing)


async def test_keys_are_found_by_name_and_state(house: House) -> None:
    assert keys(await page(house, query="?q=BLOG")) == ["blog/access_token"]
    assert keys(await page(house, query="?q=ticket&state=fresh")) == sorted(
        name for name in house.fleet.keepers if "ticket" in name
    )
    assert "No key is like this." in await page(house, query="?q=none")
    assert "No key is like this." in await page(house, query="?page=7")


async def test_of_many_keys_there_are_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_KEYS_A_PAGE", 3)
    names = sorted(house.fleet.keepers)

    first, second = await page(house), await page(house, query="?page=2&lang=en")

    assert keys(first) == names[:3]
    assert keys(second) == names[3:6]
    assert 'href="/status?page=2"' in first
    assert 'href="/status?lang=en&amp;page=3"' in second


@pytest.mark.parametrize(
    "query",
    ["?lang=fr", "?state=good", "?page=0", "?page=x", "?page=999999", "?x=1", "?q=a&q=b",
     f"?q={'x' * 101}", "?page=%C2%B2"],
)  # fmt: skip
async def test_what_it_cannot_show_it_says(house: House, query: str) -> None:
    assert await status_of(house, "GET", f"/status{query}", **basic("operator")) == 400


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh-Hant;q=0.5", "zh"),
        ("fr", "en"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=nan, zh;q=inf, zh;q=x, ;;;,", "en"),
    ],
)
async def test_it_speaks_the_readers_language(house: House, accepted: str, language: str) -> None:
    assert f'<html lang="{language}">' in await page(house, **{"Accept-Language": accepted})


async def test_a_language_that_was_chosen_stays(house: House) -> None:
    text = await page(house, query="?lang=zh", **{"Accept-Language": "en"})

    assert '<html lang="zh">' in text
    assert 'href="/status?lang=zh&amp;state=fresh"' in text
    assert '<input type="hidden" name="lang" value="zh">' in text


async def test_what_happened_to_a_key_and_what_was_spent_is_shown(house: House) -> None:
    await status_of(house, "POST", REFRESH, **basic("operator"))

    text = await page(house, query="?q=shop/access_token")

    assert re.findall(r"<td>([^<]+)</td>", text)[::2] == ["new token", "new token"]
    assert "<dd>1 of 15</dd>" in text
    assert 'class="before"' in text


async def test_that_a_token_was_compared_with_wechats_and_is_the_same_is_no_news(
    house: House,
) -> None:
    await house.live(600, step=30)

    text = await page(house, query="?q=shop/access_token")

    assert re.findall(r"<td>([^<]+)</td>", text)[::2] == ["new token"]


async def test_what_is_wrong_with_all_of_it_stands_above(house: House) -> None:
    house.trouble, house.mistakes = "nobody <there>", ["apps.shop: wrong"]

    text = await page(house)

    assert "The store is away: nobody &lt;there&gt;" in text
    assert "The configuration is not in force: apps.shop: wrong" in text


async def test_the_socket_may_do_everything(house: House, folder: Path) -> None:
    async with served(house.app, folder) as here:
        connector = aiohttp.UnixConnector(str(here.unix))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.get("/status") as response,
        ):
            assert "data-force=" in await response.text()
