"""Users of a mini-program, as tests play them over HTTP."""

from __future__ import annotations

import hmac
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from kit.town import APPID, GOOD, SECRET, Town

from tokend.simulator.face import make_app
from tokend.simulator.weather import Fault, Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient
    from kit.clock import ManualClock
    from pytest_aiohttp.plugin import AiohttpClient


class Server:
    """The simulator as a mini-program meets it, on its server and on phones."""

    def __init__(self, http: TestClient[Any, Any], weather: Weather) -> None:
        self.http = http
        self.weather = weather

    async def ask(self, path: str, **query: str) -> dict[str, Any]:
        return await (await self.http.get(path, params=query)).json()

    async def act(self, name: str, *, user: str = "ann", status: int = 200) -> dict[str, Any]:
        response = await self.http.post(f"/simulator/phones/{APPID}/{user}/{name}")
        assert response.status == status
        return await response.json()

    async def mark(self, body: Any, *, status: int = 200) -> dict[str, Any]:
        response = await self.http.post(f"/simulator/phones/{APPID}/ann/marks", data=body)
        assert response.status == status
        return await response.json()

    async def user(self) -> dict[str, Any]:
        return await self.ask(f"/simulator/phones/{APPID}/ann")

    async def token(self) -> str:
        return (await self.ask("/cgi-bin/token", **GOOD))["access_token"]

    async def session(self, code: str) -> dict[str, Any]:
        query = {"appid": APPID, "secret": SECRET, "js_code": code}
        return await self.ask("/sns/jscode2session", grant_type="authorization_code", **query)

    async def about(self, session: dict[str, Any], path: str) -> dict[str, Any]:
        key = session["session_key"].encode()
        return await self.ask(
            path,
            access_token=await self.token(),
            openid=session["openid"],
            signature=hmac.new(key, b"", "sha256").hexdigest(),
            sig_method="hmac_sha256",
        )


@pytest.fixture
async def server(aiohttp_client: AiohttpClient, clock: ManualClock) -> Server:
    weather = Weather()
    world = World([Town().account], Random(2))
    return Server(await aiohttp_client(make_app(world, weather, clock)), weather)


async def test_a_user_logs_in_and_the_session_key_is_good(server: Server) -> None:
    code = (await server.act("login"))["code"]
    session = await server.session(code)

    reply = await server.about(session, "/wxa/checksession")

    assert reply == {"errcode": 0, "errmsg": "ok"}
    user = await server.user()
    assert (session["openid"], session["unionid"]) == (user["openid"], user["unionid"])
    assert await server.act("check-session") == {"valid": True}


async def test_a_session_key_is_reset(server: Server) -> None:
    session = await server.session((await server.act("login"))["code"])

    reply = await server.about(session, "/wxa/resetusersessionkey")

    assert reply.keys() == {"errcode", "errmsg", "openid", "session_key"}
    assert reply["session_key"] != session["session_key"]


async def test_a_user_shows_the_number(server: Server) -> None:
    code = (await server.act("phone-number"))["code"]
    query = {"access_token": await server.token()}

    response = await server.http.post(
        "/wxa/business/getuserphonenumber", params=query, json={"code": code}
    )

    assert (await response.json())["phone_info"]["watermark"]["appid"] == APPID


async def test_a_user_pays(server: Server) -> None:
    paid = await server.act("pay")
    openid = (await server.user())["openid"]
    query = {"access_token": await server.token(), "openid": openid}

    by_number = await server.ask(
        "/wxa/getpaidunionid", transaction_id=paid.pop("transaction_id"), **query
    )
    by_merchant = await server.ask("/wxa/getpaidunionid", **paid, **query)

    assert by_number == by_merchant
    assert by_number["unionid"] == (await server.user())["unionid"]


async def test_a_name_may_be_anything_that_a_url_can_carry(server: Server) -> None:
    code = (await server.act("login", user="王 小明%2F1"))["code"]

    assert "openid" in await server.session(code)


async def test_a_session_key_expires_when_a_test_says_so(server: Server) -> None:
    await server.act("login")

    assert await server.act("expire") == {"valid": False}
    assert await server.act("check-session") == {"valid": False}


async def test_a_profile_is_text_that_only_servers_can_read(server: Server) -> None:
    await server.act("login")

    given = await server.act("profile")

    assert given.keys() == {"rawData", "signature", "encryptedData", "iv"}


async def test_without_a_login_there_is_no_profile_and_why(server: Server) -> None:
    refused = await server.act("profile", status=409)

    assert refused == {"error": "there is no session_key, or it has expired: log in first"}


async def test_marks_come_and_go(server: Server) -> None:
    before = await server.user()

    marked = await server.mark('{"risky": true, "bound": false}')
    risky = await server.session((await server.act("login"))["code"])
    await server.mark('{"risky": false}')
    unbound = await server.session((await server.act("login"))["code"])

    assert marked == {**before, "unionid": "", "risky": True, "bound": False}
    assert risky["errcode"] == 40226
    assert unbound.keys() == {"openid", "session_key"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param('{"risky": true, "rich": true}', "wanted", id="another mark"),
        pytest.param('{"risky": true, "bound": 1}', "wanted", id="a number"),
        pytest.param("[]", "wanted", id="no object"),
        pytest.param("risky", "Expecting value", id="no JSON"),
    ],
)
async def test_wrong_marks_change_nothing_and_say_why(server: Server, body: str, said: str) -> None:
    before = await server.user()

    refused = await server.mark(body, status=400)

    assert refused["error"].startswith(said)
    assert await server.user() == before


@pytest.mark.parametrize("path", ["", "/login", "/marks"])
async def test_an_unknown_account_has_no_phones(server: Server, path: str) -> None:
    ask = server.http.post if path else server.http.get

    response = await ask(f"/simulator/phones/wx/ann{path}", data="{}")

    assert response.status == 404
    assert await response.json() == {"error": "wx: no such account"}


async def test_what_users_do_meets_no_weather_and_is_no_call(server: Server) -> None:
    server.weather.standing = Fault(cut=True)

    await server.act("login")
    await server.user()

    ledger = await server.ask("/simulator/ledger")
    assert ledger == {"calls": {}, "rejected_uses": 0, "struck": 0}
