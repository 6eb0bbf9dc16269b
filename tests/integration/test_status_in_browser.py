"""The status page in a real browser: what happens is seen without a reload, by whoever looks."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from kit.browser import PATIENCE_MS, Visit, chromium, needs_chromium, visit
from kit.house import CLIENTS, House, key
from kit.proxy import Proxy
from kit.served import Served, served
from playwright.async_api import expect

from tokend.wechat.advice import WHITELIST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from playwright.async_api import Browser, Locator, Route


pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)

OPERATORS = f"""{CLIENTS}
[clients.operator]
apps = ["*"]
can = ["read", "force", "status"]
"""
# Events end after an hour, and come again some real seconds later: nothing is due before.
SOON_DUE = 6800

# The news are of the last key, whichever that is: a corp's token may stay what it was.
REFRESHED = re.compile("new token|the same token again")
REFUSED = {"errcode": 40164, "errmsg": "invalid ip 203.0.113.9 <b onclick=x>not in whitelist</b>"}


@pytest.fixture
async def house(folder: Path) -> House:
    house = House(folder, clients=OPERATORS)
    await house.begin()
    return house


@pytest.fixture
async def here(house: House, folder: Path) -> AsyncIterator[Served]:
    async with served(house.app, folder) as here:
        yield here


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@asynccontextmanager
async def looking(
    browser: Browser, here: Served, query: str = "", **context: Any
) -> AsyncIterator[Visit]:
    """As the operator does, who has typed the client key."""
    credentials = {"username": "me", "password": key("operator")}
    url = f"http://127.0.0.1:{here.tcp}/status{query}"
    async with visit(browser, url, http_credentials=credentials, **context) as there:
        await expect(there.page.locator("#connection")).to_have_text("Live")
        await there.page.evaluate("window.isTheSame = true")
        yield there
        assert await there.page.evaluate("window.isTheSame"), "it was loaded anew"


@asynccontextmanager
async def wired(here: Served) -> AsyncIterator[tuple[Proxy, Served]]:
    """The same behind a wire that can be cut."""
    wire = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await wire.serve(here.unix, reader, writer)

    between = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield wire, replace(here, tcp=between.sockets[0].getsockname()[1])
    finally:
        wire.cut()
        between.close()


def row(there: Visit, name: str = "shop/access_token") -> Locator:
    return there.page.locator(f'li[id="{name}"]')


def fact(there: Visit, word: str, name: str = "shop/access_token") -> Locator:
    return row(there, name).locator(f'dt:text-is("{word}") + dd')


async def test_a_scheduled_refresh_appears_without_a_reload(
    house: House, here: Served, browser: Browser
) -> None:
    await house.clock.advance(SOON_DUE)
    async with looking(browser, here) as there:
        before = await fact(there, "Generation").inner_text()
        await house.clock.advance(7000 - SOON_DUE)
        await house.live(3)

        await expect(fact(there, "Generation")).not_to_have_text(before)
        await expect(there.page.locator("#news")).to_contain_text(REFRESHED)
        await expect(fact(there, "Expires in")).to_contain_text("1:59:")


async def test_an_error_comes_first_with_its_advice_and_its_words_are_text(
    house: House, here: Served, browser: Browser
) -> None:
    async with looking(browser, here) as there:
        house.wechat.replies += [REFUSED] * 8
        await house.clock.advance(7000)
        await house.live(3)

        failing = there.page.locator(".keys > li").first
        await expect(failing).to_contain_text("errcode 40164: invalid ip 203.0.113.9 <b onclick=x>")
        await expect(failing).to_contain_text("WeChat sees address 203.0.113.9; add it to the IP")
        await expect(there.page.locator("#summary .failing")).to_be_visible()
        assert await there.page.locator("main b").count() == 0


async def test_the_button_says_what_it_costs_and_refreshes(
    house: House, here: Served, browser: Browser
) -> None:
    before = house.token("shop/access_token")
    async with looking(browser, here) as there:
        await row(there).get_by_role("button", name="Refresh now").click()
        dialog = there.page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Refresh shop/access_token now?")
        await expect(dialog).to_contain_text("dies in five minutes")
        await expect(dialog).to_contain_text("one in 60 s, 15 a day")
        assert await there.faults() == []
        await dialog.get_by_role("button", name="Refresh now").click()

        await expect(fact(there, "New on request in a day, by this node")).to_have_text("1 of 15")
        assert house.token("shop/access_token") != before
        assert house.token("shop/access_token") not in await there.page.content()


@pytest.mark.parametrize("how", ["Escape", "Enter"])
async def test_nothing_is_refreshed_unless_that_is_said(
    house: House, here: Served, browser: Browser, how: str
) -> None:
    """Enter presses what has the focus at first, which is Cancel."""
    before = house.token("shop/access_token")
    async with looking(browser, here) as there:
        await row(there).get_by_role("button", name="Refresh now").press("Enter")
        await expect(there.page.get_by_role("dialog")).to_be_visible()
        await there.page.keyboard.press(how)
        await expect(there.page.get_by_role("dialog")).to_be_hidden()

        await expect(row(there).get_by_role("button", name="Refresh now")).to_be_focused()
    assert house.token("shop/access_token") == before


async def test_a_refusal_is_told(here: Served, browser: Browser) -> None:
    async with looking(browser, here) as there:
        for _ in range(2):
            await row(there).get_by_role("button", name="Refresh now").click()
            await there.page.get_by_role("dialog").get_by_text("Refresh now").last.click()
            await expect(there.page.locator("#outcome")).not_to_be_empty()
        await expect(there.page.locator("#outcome")).to_contain_text(
            "a new token was asked for less than 60 s ago; the current token stays served"
        )
        # The browser itself notes each answer that is an error.
        (noted,) = there.complaints
        assert "429" in noted
        there.complaints.clear()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_what_to_do_about_a_refusal_of_wechats_is_told_in_the_language_of_the_page(
    house: House, here: Served, browser: Browser, language: str
) -> None:
    house.wechat.replies += [REFUSED] * 8
    credentials = {"username": "me", "password": key("operator")}
    url = f"http://127.0.0.1:{here.tcp}/status?lang={language}"
    async with visit(browser, url, http_credentials=credentials) as there:
        await row(there).locator("button").press("Enter")
        await there.page.locator('dialog button[value="force"]').press("Enter")

        advice = getattr(WHITELIST.about("shop", "203.0.113.9"), language)
        await expect(there.page.locator("#outcome")).to_contain_text(f"; {advice}")
        assert all("502" in complaint for complaint in there.complaints)
        there.complaints.clear()


async def test_what_somebody_has_opened_and_has_the_focus_on_stays_so(
    house: House, here: Served, browser: Browser
) -> None:
    async with looking(browser, here) as there:
        history = row(there).locator("details > summary")
        await history.click()
        await house.clock.advance(7000)
        await house.live(3)
        await expect(row(there).locator("tbody tr")).to_have_count(2)

        await expect(history).to_be_focused()
        assert await row(there).locator("details").get_attribute("open") is not None


async def test_times_count_down_and_now_moves_on(
    house: House, here: Served, browser: Browser
) -> None:
    async with looking(browser, here) as there:
        left = await fact(there, "Expires in").inner_text()
        mark = row(there).locator("line.now")
        at = await mark.get_attribute("x1")
        asked = house.chronicle.last

        await expect(fact(there, "Expires in")).not_to_have_text(left)
        await expect(mark).not_to_have_attribute("x1", at or "")
        assert house.chronicle.last == asked


async def test_it_says_that_tokend_is_away_and_comes_back(
    house: House, here: Served, browser: Browser
) -> None:
    async with (
        wired(here) as (wire, there_too),
        looking(browser, there_too) as there,
    ):
        wire.cut()
        await expect(there.page.locator("#connection")).to_contain_text("does not answer")
        await house.clock.advance(7000)
        await house.live(3)
        wire.mend()

        await expect(there.page.locator("#connection")).to_have_text("Live")
        await expect(fact(there, "Expires in")).to_contain_text("1:59:")
        await expect(there.page.locator("#news")).to_contain_text(REFRESHED)
        assert all("ERR_" in complaint for complaint in there.complaints)
        there.complaints.clear()


async def test_what_stands_before_tokend_and_answers_in_its_place_is_not_shown(
    house: House, here: Served, browser: Browser
) -> None:
    """As one does that wants its own password again."""
    is_between = False

    def answer(route: Route) -> object:
        login = {"body": "<h1>Log in</h1>", "content_type": "text/html"}
        return route.fulfill(**login) if is_between else route.continue_()

    async with looking(browser, here, instead={"/status": answer}) as there:
        is_between = True
        await house.clock.advance(7000)
        await house.live(3)
        await expect(there.page.locator("#connection")).to_contain_text("does not answer")
        is_between = False

        await expect(there.page.locator("#connection")).to_have_text("Live")
        await expect(fact(there, "Expires in")).to_contain_text("1:59:")


async def test_who_may_not_see_it_any_more_is_told_so(
    house: House, here: Served, browser: Browser
) -> None:
    async with looking(browser, here) as there:
        blind = replace(house.access.named("operator"), can=frozenset())
        house.access.change([blind])
        await house.clock.advance(7000)
        await house.live(3)

        await expect(there.page.locator("#connection")).to_contain_text("may not see the status")
        assert all("403" in complaint for complaint in there.complaints)
        there.complaints.clear()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda route: route.fulfill(status=404), id="there is none"),
        pytest.param(lambda _: None, id="it is kept back"),
    ],
)
async def test_without_a_stream_it_looks_again_and_again(
    house: House, here: Served, browser: Browser, answer: Callable[[Route], object]
) -> None:
    credentials = {"username": "", "password": key("onlooker")}
    url = f"http://127.0.0.1:{here.tcp}/status"
    instead = {"/v1/events": answer}
    async with visit(browser, url, instead=instead, http_credentials=credentials) as there:
        await expect(there.page.locator("#connection")).to_contain_text("every 5 s")
        before = await fact(there, "Generation").inner_text()
        await house.clock.advance(7000)
        await house.live(3)

        await expect(fact(there, "Generation")).not_to_have_text(before)
        assert all("404" in complaint for complaint in there.complaints)
        there.complaints.clear()


async def test_who_has_lost_the_stream_is_not_told_that_it_is_there(
    here: Served, browser: Browser
) -> None:
    credentials = {"username": "", "password": key("onlooker")}
    before = count()

    def answer(route: Route) -> object:
        return route.fulfill(status=404) if next(before) else route.continue_()

    instead = {"/v1/events": answer}
    async with wired(here) as (wire, there_too):
        url = f"http://127.0.0.1:{there_too.tcp}/status"
        async with visit(browser, url, instead=instead, http_credentials=credentials) as there:
            await expect(there.page.locator("#connection")).to_have_text("Live")
            wire.cut()
            await expect(there.page.locator("#connection")).to_contain_text("does not answer")
            wire.mend()

            await expect(there.page.locator("#connection")).to_contain_text("every 5 s")
            assert all("404" in each or "ERR_" in each for each in there.complaints)
            there.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_it_keeps_nobody_out(
    house: House, here: Served, browser: Browser, scheme: Any, language: str
) -> None:
    house.wechat.replies += [REFUSED] * 8
    house.mistakes = ["apps.shop: wrong"]
    await house.clock.advance(7000)
    await house.live(3)
    credentials = {"username": "me", "password": key("operator")}
    url = f"http://127.0.0.1:{here.tcp}/status?lang={language}"

    async with visit(browser, url, http_credentials=credentials, color_scheme=scheme) as there:
        await there.page.locator("details").first.click()
        assert await there.faults() == []


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_on_a_phone_nothing_is_cut_off(
    house: House, here: Served, browser: Browser, language: str
) -> None:
    house.wechat.replies += [{"errcode": 40013, "errmsg": "x" * 150}] * 8
    await house.clock.advance(7000)
    await house.live(3)
    credentials = {"username": "me", "password": key("operator")}
    url = f"http://127.0.0.1:{here.tcp}/status?lang={language}"
    phone = {"width": 320, "height": 640}

    async with visit(browser, url, http_credentials=credentials, viewport=phone) as there:
        await expect(there.page.locator(".error").first).to_contain_text("x" * 150)
        assert await there.page.evaluate("document.documentElement.scrollWidth") == 320


async def test_who_wants_no_motion_gets_none(house: House, here: Served, browser: Browser) -> None:
    await house.clock.advance(SOON_DUE)
    async with looking(browser, here, reduced_motion="reduce") as there:
        await house.clock.advance(7000 - SOON_DUE)
        await house.live(3)
        await expect(row(there)).to_have_class("key fresh changed")
        moving = await row(there).evaluate("e => e.getAnimations().length")

    assert moving == 0
