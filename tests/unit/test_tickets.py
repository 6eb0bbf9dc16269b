"""Tickets, and WeCom: kept like access_tokens, by rules of their own."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.house import APPS, BLOG, SHOP, House
from kit.office import CORPID, SECRETS

from tokend import config
from tokend.errors import NotReady, RefreshLimited, StoreError, UpstreamError
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

TICKET = "/cgi-bin/ticket/getticket"
TOKENS = {"/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/gettoken"}


@pytest.fixture
async def house(folder: Path) -> House:
    house = House(folder)
    await house.begin()
    return house


def rotate(house: House) -> None:
    """Somebody else gets tokens, until ours is dead."""
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())


def used(house: House, path: str = TICKET) -> list[str]:
    """The access_tokens that tickets were asked for with."""
    return [sent.query["access_token"] for sent in house.wechat.sent if sent.path == path]


async def force(house: House, name: str) -> None:
    try:
        await house.fleet.keepers[name].refresh(rejected=None, by="shopper")
    except (UpstreamError, RefreshLimited, NotReady):
        return


async def test_a_ticket_is_asked_for_after_its_access_token(folder: Path) -> None:
    house = House(folder)
    house.wechat.hold()
    await house.begin()
    waiting = [sent.path for sent in house.wechat.sent]
    failures = house.fleet.keepers["shop/jsapi_ticket"].status().failures
    house.wechat.let_go()
    await house.live(3)

    assert set(waiting) <= TOKENS
    assert failures == 0
    assert house.token("shop/jsapi_ticket") != house.token("shop/wx_card_ticket")
    assert set(used(house)) == {house.token("shop/access_token")}


async def test_a_ticket_stays_when_its_access_token_is_replaced(house: House) -> None:
    before = house.token("shop/jsapi_ticket")

    await force(house, "shop/access_token")
    await house.live(60)

    assert house.token("shop/jsapi_ticket") == before
    assert house.is_valid(before)


async def test_a_ticket_is_never_asked_for_twice_with_a_token_that_wechat_rejected(
    house: House,
) -> None:
    rotate(house)
    dead = house.token("shop/access_token")
    before = house.token("shop/jsapi_ticket")

    await force(house, "shop/jsapi_ticket")
    await house.live(10)
    await house.clock.advance(60)
    await force(house, "shop/jsapi_ticket")

    assert used(house).count(dead) == 2 + 1  # two at the start, and the one that was rejected
    assert house.token("shop/access_token") != dead
    assert house.token("shop/jsapi_ticket") != before
    assert house.is_valid(house.token("shop/jsapi_ticket"))


async def test_a_ticket_whose_tokens_are_all_rejected_burns_no_quota(folder: Path) -> None:
    house = House(folder)
    rejected = {"errcode": 40001, "errmsg": "invalid credential"}
    await house.begin()
    send = house.wechat.send

    async def refuse_tickets(request):
        if request.path != TICKET:
            return await send(request)
        house.wechat.replies.append(rejected)
        return await send(request)

    house.wechat.send = refuse_tickets
    await house.clock.advance(6990)  # tickets are due
    calls = len(house.wechat.sent)

    await house.live(24 * 3600, step=30)

    forced = [sent for sent in house.wechat.sent[calls:] if b'"force_refresh": true' in sent.body]
    assert 0 < len(forced) <= 2 * 3  # of two kinds of tickets
    tickets = [sent for sent in house.wechat.sent[calls:] if sent.path == TICKET]
    assert len(tickets) <= 15 * 2 * 3
    assert len(tickets) >= 3


async def test_an_access_token_that_wechat_repeats_in_an_errmsg_is_not_told(house: House) -> None:
    keeper, value = house.fleet.keepers["shop/jsapi_ticket"], house.token("shop/access_token")
    house.wechat.replies.append({"errcode": 48001, "errmsg": f"unauthorized {value} hint"})

    with pytest.raises(UpstreamError) as caught:
        await keeper.refresh(rejected=None, by="operator")

    assert str(caught.value) == "errcode 48001: unauthorized … hint"
    assert value not in str(keeper.status())


async def test_without_an_access_token_no_ticket_is_asked_for(folder: Path) -> None:
    house = House(folder)
    house.wechat.coming.extend(["unreachable"] * 1000)

    await house.begin()
    await house.live(120)

    assert {sent.path for sent in house.wechat.sent} <= TOKENS
    status = house.fleet.keepers["shop/jsapi_ticket"].status()
    assert "waiting for the access_token" in str(status.error)


async def test_a_ticket_comes_soon_after_the_access_token_it_waited_for(folder: Path) -> None:
    house = House(folder)
    house.wechat.coming.extend(["unreachable"] * 100)
    await house.begin()
    await house.live(60)
    house.wechat.coming.clear()

    await house.live(30)

    assert house.is_valid(house.token("shop/jsapi_ticket"))


async def test_over_two_days_no_dead_ticket_is_served_and_few_are_asked_for(house: House) -> None:
    for _ in range(2 * 24 * 60):
        await house.live(60, step=20)
        for name in ("shop/jsapi_ticket", "shop/wx_card_ticket"):
            assert house.is_valid(house.token(name))

    assert house.world.calls(SHOP, "getticket") <= 2 * 26


async def test_the_standalone_minter_asks_with_no_rejected_token_either(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(folder, apps=f"[refresh]\nstandalone_minter = true\n{APPS}")
    await house.begin()
    rotate(house)
    await force(house, "shop/jsapi_ticket")
    for step in ("load", "acquire", "save", "release", "spend"):
        monkeypatch.setattr(LocalStore, step, away)
    house.wechat.coming.extend(["unreachable"] * 10_000)
    house.wechat.sent.clear()

    await house.live(7200 - 60, step=20)

    asked = [sent for sent in house.wechat.sent if sent.query.get("type") == "jsapi"]
    assert asked == []


async def away(*_: object, **__: object) -> None:
    raise StoreError("away")


# WeCom


async def test_over_a_day_wecom_is_asked_about_once_a_token(house: House) -> None:
    """It gives the next token when one has ended; in between there is none, for seconds."""
    missing = 0
    for _ in range(24 * 60):
        await house.live(60, step=6)
        try:
            assert house.is_valid(house.token("sales/access_token"))
        except NotReady:
            missing += 1

    assert missing <= 12
    assert house.world.calls(CORPID, "gettoken") <= 2 * 2 * 13


async def test_wecoms_gap_between_two_tokens_is_short(house: House) -> None:
    await house.live(7190, step=10)

    gap = 0
    for _ in range(40):
        await house.live(1)
        try:
            house.token("sales/access_token")
        except NotReady:
            gap += 1

    assert gap <= 4
    assert house.is_valid(house.token("sales/access_token"))


async def test_a_token_of_wecom_does_not_live_longer_for_being_asked_for_again(
    house: House,
) -> None:
    """Should its expires_in say so: the manual does not tell."""
    send = house.wechat.send

    async def send_7200(request):
        answer = json.loads(await send(request))
        return json.dumps(answer | {"expires_in": 7200}).encode()

    house.wechat.send = send_7200
    keeper = house.fleet.keepers["stock/access_token"]
    await house.live(6000, step=10)
    await keeper.check(timedelta(seconds=3))

    for _ in range(0, 3000, 10):
        await house.live(10, step=10)
        try:
            assert house.is_valid(house.token("stock/access_token"))
        except NotReady:
            continue


async def test_a_token_of_wecom_that_is_nearly_over_is_taken(folder: Path) -> None:
    house = House(folder)
    query = {"corpid": CORPID, "corpsecret": SECRETS[1000002]}
    house.world.gettoken(query, caller="127.0.0.1", now=house.clock.now())
    await house.clock.advance(7150)

    await house.begin()

    assert house.is_valid(house.token("sales/access_token"))


async def test_a_wrong_secret_of_wecom_is_tried_ever_more_slowly(folder: Path) -> None:
    """Two thousand in an hour bar the address from all of WeCom."""
    house = House(folder)
    (folder / "1000002").write_text("wrong")
    house.config = config.load(folder / "tokend.toml", environ={})
    await house.begin()

    await house.live(3600, step=10)

    assert 2 <= house.world.calls(CORPID, "gettoken") <= 20


async def test_a_report_of_wecoms_token_asks_for_the_one_there_is(house: House) -> None:
    agent = house.world.agent(CORPID, 1000002)
    before = house.token("sales/access_token")
    house.world.void(agent, house.clock.now())

    replaced = await house.fleet.keepers["sales/access_token"].refresh(
        rejected=house.fleet.keepers["sales/access_token"].current().token.value,
        by="seller",
    )

    assert replaced.answer.token.value.reveal() != before
    assert house.is_valid(replaced.answer.token.value.reveal())


# A new configuration


async def test_kinds_come_and_go_with_the_configuration(folder: Path) -> None:
    house = House(folder)
    await house.begin()
    token = house.token("shop/access_token")
    fewer = House(folder, apps=APPS.replace(', "jsapi_ticket", "wx_card_ticket"', "")).config
    kinds = 'kinds = ["access_token", "jsapi_ticket"]'
    more = House(folder, apps=APPS.replace('method = "token"', kinds)).config

    house.fleet.apply(fewer.apps)
    gone = "shop/jsapi_ticket" not in house.fleet.keepers
    house.fleet.apply(more.apps)
    await house.live(5)

    assert gone
    assert house.token("shop/access_token") == token
    assert house.is_valid(house.token("blog/jsapi_ticket"))


def exchanged(text: str, one: str, other: str) -> str:
    return text.replace(one, "…").replace(other, one).replace("…", other)


async def test_tickets_of_an_app_with_another_appid_are_asked_for_with_its_token(
    folder: Path,
) -> None:
    house = House(folder)
    await house.begin()
    swapped = exchanged(APPS, SHOP, BLOG)
    already = len(used(house))

    house.fleet.apply(House(folder, apps=swapped).config.apps)
    await house.live(5)

    assert set(used(house)[already:]) == {house.token("shop/access_token")}
    assert house.world.is_valid(house.token("shop/access_token"), house.clock.now())
