"""What SDKs for WeChat do, unmodified, when they are pointed at another base URL.

Here that is the simulator, which is as strict as WeChat: what is true here is each SDK's own doing.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kit.sdks import SDKS, Sdk, SdkError, sdk

from tokend.cli.simulate import APP_SECRET, APPID
from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.process import Simulator


pytestmark = pytest.mark.timeout(600)  # the first time the SDKs are fetched


@pytest.fixture(params=SDKS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def client(name: str, wechat: Simulator) -> AsyncIterator[Sdk]:
    async with sdk(name, wechat.url, APPID, APP_SECRET) as running:
        yield running


async def fetches(wechat: Simulator) -> int:
    return await wechat.calls("token") + await wechat.calls("stable_token")


async def outcome(client: Sdk) -> str:
    """What the caller of the SDK sees."""
    try:
        await client.call()
    except SdkError as error:
        return str(error.errcode or error)
    return "ok"


async def test_an_sdk_gets_a_token_by_the_method_it_is_set_to(
    name: str, client: Sdk, wechat: Simulator
) -> None:
    token = await client.token()

    assert await wechat.is_valid(token)
    assert await wechat.calls("stable_token" if name.endswith("stable_token") else "token") == 1


async def test_an_sdk_makes_business_calls(client: Sdk, wechat: Simulator) -> None:
    await client.call()

    assert await wechat.calls("get_api_domain_ip") == 1
    assert (await wechat.ledger())["rejected_uses"] == 0


async def test_an_sdk_keeps_its_token(client: Sdk, wechat: Simulator) -> None:
    before = await client.token()
    await client.call()
    await client.call()

    assert await client.token() == before
    assert await fetches(wechat) == 1


async def test_an_sdk_gets_a_ticket_and_keeps_it(name: str, client: Sdk, wechat: Simulator) -> None:
    if name == "werobot":
        pytest.skip("WeRoBot has no tickets")

    ticket = await client.ticket()

    assert await wechat.is_valid(ticket)
    assert await client.ticket() == ticket
    assert await wechat.calls("getticket") == 1


# What a caller sees, and how many tokens were got, when the first one had been superseded.
SUPERSEDED = {
    "wechatpy": ("ok", 2),
    "werobot": ("40001", 1),
    "co-wechat-api": ("ok", 2),
    "wechat-api": ("40001", 1),
    "node-easywechat": ("40001", 1),
    "node-easywechat stable_token": ("40001", 1),
}


async def test_an_sdk_whose_token_was_superseded(name: str, client: Sdk, wechat: Simulator) -> None:
    await client.token()
    await wechat.rotate()
    await wechat.rotate()

    seen = await outcome(client)

    assert (seen, await fetches(wechat)) == SUPERSEDED[name]


# The same when WeChat rejects the token once.
REJECTED_ONCE = {
    "wechatpy": {40001: ("ok", 2), 40014: ("ok", 2), 42001: ("ok", 2)},
    "werobot": {40001: ("40001", 1), 40014: ("40014", 1), 42001: ("42001", 1)},
    "co-wechat-api": {40001: ("ok", 2), 40014: ("40014", 1), 42001: ("ok", 2)},
    # It tries again, once, with the token that was rejected.
    "wechat-api": {40001: ("ok", 1), 40014: ("40014", 1), 42001: ("42001", 1)},
    "node-easywechat": {40001: ("40001", 1), 40014: ("40014", 1), 42001: ("42001", 1)},
}


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
async def test_an_sdk_whose_token_is_rejected_once(
    name: str, client: Sdk, wechat: Simulator, errcode: int
) -> None:
    await client.token()
    await wechat.weather(rejection(errcode))

    seen = await outcome(client)

    assert (seen, await fetches(wechat)) == REJECTED_ONCE[name.partition(" ")[0]][errcode]


# How many tokens one call gets when WeChat rejects every one.
REJECTED_ALWAYS = {
    "werobot": 0,
    "co-wechat-api": 3,
    "wechat-api": 0,
    "node-easywechat": 0,
    "node-easywechat stable_token": 0,
}


async def test_an_sdk_whose_every_token_is_rejected(
    name: str, client: Sdk, wechat: Simulator
) -> None:
    """One call. wechatpy gets tokens until Python's stack is full."""
    await client.token()
    await wechat.standing(rejection(40001))

    seen = await outcome(client)

    more = await fetches(wechat) - 1
    if name == "wechatpy":
        assert more > 100
        assert seen.startswith("RecursionError")
    else:
        assert (seen, more) == ("40001", REJECTED_ALWAYS[name])


def rejection(errcode: int) -> dict[str, object]:
    reply = {"errcode": errcode, "errmsg": "access_token rejected"}
    return {"endpoint": "get_api_domain_ip", "reply": reply}


async def test_an_sdk_that_was_refused_a_token_says_so_and_keeps_nothing(
    name: str, client: Sdk, wechat: Simulator
) -> None:
    await wechat.weather({"reply": {"errcode": -1, "errmsg": "system error"}})

    with pytest.raises(SdkError, match="system error") as refusal:
        await client.token()

    # node-easywechat tells the code in its text alone.
    assert refusal.value.errcode == (None if name.startswith("node-easywechat") else -1)
    assert await wechat.is_valid(await client.token())


# How long before its end an SDK lets go of a token, in seconds.
MARGINS = {"wechatpy": 60, "werobot": 60, "co-wechat-api": 10, "wechat-api": 10}


@pytest.mark.parametrize("name", MARGINS, indirect=True)
async def test_an_sdk_lets_go_of_its_token_ahead_of_its_end(
    name: str, client: Sdk, wechat: Simulator
) -> None:
    await wechat.weather(*({"merge": {"expires_in": MARGINS[name]}},) * 2)

    for _ in range(2):
        await client.token()
    short_lived = await fetches(wechat)
    for _ in range(2):
        await client.token()

    assert short_lived == 2
    assert await fetches(wechat) == 3


async def test_an_sdk_may_be_given_a_base_url_with_a_path(name: str) -> None:
    names = Random(1)
    world = World([Account(appid=APPID, secret=APP_SECRET, random=names)], names)
    root = web.Application()
    root.add_subapp("/wechat/", make_app(world, Weather(), SystemClock()))
    async with TestServer(root) as server:
        url = str(server.make_url("/wechat"))
        async with sdk(name, url, APPID, APP_SECRET) as client:
            await client.call()

    assert world.calls(APPID, "get_api_domain_ip") == 1
