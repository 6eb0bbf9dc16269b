"""The simulator over HTTP: what WeChat's gateway adds, the weather, and the controls."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from kit.office import CORPID, SALES, SECRETS, corp

from tokend.simulator.account import Account
from tokend.simulator.face import make_app
from tokend.simulator.weather import ENDPOINTS, FAIR, Fault, Weather, read_fault
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse
    from aiohttp.test_utils import TestClient
    from kit.clock import ManualClock
    from pytest_aiohttp.plugin import AiohttpClient

APPID = "wx0123456789abcdef"
SECRET = "canary-app-secret"
GOOD = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
BUSY = {"errcode": -1, "errmsg": "system error"}
A_MOMENT = 0.02
PATHS = {
    "getticket": ("GET", "/cgi-bin/ticket/getticket"),
    "ticket_get": ("GET", "/cgi-bin/ticket/get"),
    "custom_send": ("POST", "/cgi-bin/message/custom/send"),
    "media_upload": ("POST", "/cgi-bin/media/upload"),
    "media_get": ("GET", "/cgi-bin/media/get"),
    "getwxacodeunlimit": ("POST", "/wxa/getwxacodeunlimit"),
    "jscode2session": ("GET", "/sns/jscode2session"),
    "checksession": ("GET", "/wxa/checksession"),
    "resetusersessionkey": ("GET", "/wxa/resetusersessionkey"),
    "getuserphonenumber": ("POST", "/wxa/business/getuserphonenumber"),
    "getpaidunionid": ("GET", "/wxa/getpaidunionid"),
}


class Server:
    """The simulator as a program meets it."""

    def __init__(self, http: TestClient[Any, Any], world: World, weather: Weather) -> None:
        self.http = http
        self.world = world
        self.weather = weather

    async def token(self) -> ClientResponse:
        return await self.http.get("/cgi-bin/token", params=GOOD, allow_redirects=False)

    async def gettoken(self) -> ClientResponse:
        query = {"corpid": CORPID, "corpsecret": SECRETS[SALES]}
        return await self.http.get("/cgi-bin/gettoken", params=query)

    async def is_valid(self, value: str) -> bool:
        response = await self.http.get("/simulator/valid", params={"token": value})
        return (await response.json())["valid"]

    async def stable(self, **form: Any) -> ClientResponse:
        return await self.http.post("/cgi-bin/stable_token", json={**GOOD, **form})

    def calls(self, endpoint: str = "token") -> int:
        return self.world.calls(APPID, endpoint)


@pytest.fixture
async def server(aiohttp_client: AiohttpClient, clock: ManualClock) -> Server:
    account = Account(appid=APPID, secret=SECRET, random=Random(1))
    world, weather = World([account], Random(2), [corp()]), Weather()
    client = await aiohttp_client(make_app(world, weather, clock))
    return Server(client, world, weather)


# WeChat's routes


async def test_the_classic_token_is_got_by_query(server: Server) -> None:
    response = await server.token()

    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert (await response.json()).keys() == {"access_token", "expires_in"}


async def test_the_stable_token_is_got_by_json(server: Server, clock: ManualClock) -> None:
    first = await (await server.stable()).json()
    await clock.advance(1000)

    response = await server.stable()

    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert await response.json() == {"access_token": first["access_token"], "expires_in": 6200}


async def test_force_refresh_is_passed_on(server: Server) -> None:
    first = await (await server.stable()).json()

    second = await (await server.stable(force_refresh=True)).json()

    assert second["access_token"] != first["access_token"]


async def test_a_token_opens_business_calls_and_tickets(server: Server) -> None:
    token = (await (await server.token()).json())["access_token"]

    query = {"access_token": token, "type": "jsapi"}
    addresses = await server.http.get("/cgi-bin/get_api_domain_ip", params=query)
    ticket = await server.http.get("/cgi-bin/ticket/getticket", params=query)

    assert "ip_list" in await addresses.json()
    assert "ticket" in await ticket.json()


async def test_an_agents_token_opens_business_calls_and_tickets(server: Server) -> None:
    token = (await (await server.gettoken()).json())["access_token"]

    query = {"access_token": token, "type": "agent_config"}
    addresses = await server.http.get("/cgi-bin/get_api_domain_ip", params=query)
    of_corp = await server.http.get("/cgi-bin/get_jsapi_ticket", params=query)
    of_agent = await server.http.get("/cgi-bin/ticket/get", params=query)

    assert "ip_list" in await addresses.json()
    for response in (of_corp, of_agent):
        assert await server.is_valid((await response.json())["ticket"])


@pytest.mark.parametrize(
    ("path", "errcode"),
    [
        pytest.param("/cgi-bin/token", 41002, id="token"),
        pytest.param("/cgi-bin/stable_token", 43002, id="stable_token by GET"),
        pytest.param("/cgi-bin/ticket/getticket", 41001, id="getticket"),
        pytest.param("/cgi-bin/get_api_domain_ip", 41001, id="get_api_domain_ip"),
        pytest.param("/cgi-bin/gettoken", 41004, id="gettoken"),
        pytest.param("/cgi-bin/get_jsapi_ticket", 41001, id="get_jsapi_ticket"),
        pytest.param("/cgi-bin/ticket/get", 41001, id="ticket/get"),
    ],
)
async def test_errors_are_answers_of_status_200(server: Server, path: str, errcode: int) -> None:
    response = await server.http.get(path)

    assert response.status == 200
    assert (await response.json())["errcode"] == errcode


async def test_an_empty_post_is_told_so(server: Server) -> None:
    response = await server.http.post("/cgi-bin/stable_token", data=b"")

    assert (await response.json())["errcode"] == 44002


async def test_a_chunked_post_gets_412_and_no_body(server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield json.dumps(GOOD).encode()

    response = await server.http.post("/cgi-bin/stable_token", data=pieces())

    assert response.status == 412
    assert await response.read() == b""
    assert server.calls("stable_token") == 0


async def test_a_post_without_a_length_gets_412(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.http.host, server.http.port)
    writer.write(b"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: wechat\r\n\r\n")

    answer = await reader.readuntil(b"\r\n")

    assert answer.startswith(b"HTTP/1.1 412 ")
    writer.close()
    await writer.wait_closed()


async def test_head_ends_no_token(server: Server) -> None:
    response = await server.http.head("/cgi-bin/token", params=GOOD)

    assert response.status == 405
    assert server.world.issued(APPID, "token") == ()


async def test_the_caller_is_the_peer_whatever_it_claims(server: Server) -> None:
    server.world.accounts[APPID].ip_whitelist = ("203.0.113.7",)

    response = await server.http.get(
        "/cgi-bin/token", params=GOOD, headers={"X-Forwarded-For": "203.0.113.7"}
    )

    errmsg = (await response.json())["errmsg"]
    assert errmsg.startswith("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ")


# The weather


async def test_a_reply_instead_leaves_the_world_unasked(server: Server) -> None:
    server.weather.coming.append(Fault(reply=BUSY))

    response = await server.token()

    assert await response.json() == BUSY
    assert server.calls() == 0


async def test_a_reply_instead_may_come_after_the_world_has_acted(server: Server) -> None:
    server.weather.coming.append(Fault(reply=BUSY, when="after"))

    response = await server.token()

    assert await response.json() == BUSY
    assert len(server.world.issued(APPID, "token")) == 1


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe\x00"])
async def test_any_bytes_may_be_answered(server: Server, body: bytes) -> None:
    server.weather.coming.append(Fault(body=body))

    response = await server.token()

    assert await response.read() == body
    assert server.calls() == 0


async def test_status_and_headers_go_with_the_worlds_answer(server: Server) -> None:
    server.weather.coming.append(Fault(status=502, headers={"content-type": "text/plain"}))

    response = await server.token()

    assert response.status == 502
    assert response.headers.getall("Content-Type") == ["text/plain"]
    assert "access_token" in json.loads(await response.read())


async def test_a_redirect_is_a_status_a_location_and_no_body(server: Server) -> None:
    elsewhere = {"Location": "http://127.0.0.1:1/"}
    server.weather.coming.append(Fault(status=307, headers=elsewhere, body=b""))

    response = await server.token()

    assert response.status == 307
    assert response.headers["Location"] == "http://127.0.0.1:1/"


async def test_fields_may_be_merged_into_the_worlds_answer(server: Server) -> None:
    server.weather.coming.append(Fault(merge={"errcode": 40013, "expires_in": "7200"}))

    reply = await (await server.token()).json()

    assert reply.pop("access_token") == server.world.issued(APPID, "token")[0].value
    assert reply == {"errcode": 40013, "expires_in": "7200"}


@pytest.mark.parametrize(
    ("when", "calls"),
    [
        pytest.param("before", 0, id="before the world acts"),
        pytest.param("after", 1, id="after"),
    ],
)
async def test_the_connection_may_be_cut(server: Server, when: str, calls: int) -> None:
    server.weather.coming.append(Fault(cut=True, when=when))

    with pytest.raises(aiohttp.ClientError):
        await server.token()

    assert server.calls() == calls


async def test_a_request_whose_caller_gave_up_is_acted_on_later(server: Server) -> None:
    server.weather.coming.append(Fault(delay_seconds=5 * A_MOMENT))
    request = asyncio.create_task(server.token())
    await _until_struck(server)

    request.cancel()

    assert server.calls() == 0
    await _until_acted(server)


async def test_a_delayed_request_comes_to_the_world_later(server: Server) -> None:
    server.weather.coming.append(Fault(delay_seconds=3600))
    request = asyncio.create_task(server.token())
    await _until_struck(server)

    ledger = await (await server.http.get("/simulator/ledger")).json()

    assert ledger["calls"] == {}
    request.cancel()


async def test_a_late_reply_comes_after_the_world_has_acted(server: Server) -> None:
    server.weather.coming.append(Fault(late_seconds=3600))

    request = asyncio.create_task(server.token())
    await _until_acted(server)

    assert not request.done()
    request.cancel()


async def test_requests_on_their_way_do_not_hold_up_the_end_of_the_server(server: Server) -> None:
    server.weather.standing = Fault(delay_seconds=3600)
    request = asyncio.create_task(server.token())
    await _until_struck(server)

    async with asyncio.timeout(10):
        await server.http.server.close()

    with pytest.raises(aiohttp.ClientError):
        await request


async def test_a_body_may_drip(server: Server) -> None:
    server.weather.coming.append(Fault(body=b"0123456789", drip_seconds=A_MOMENT / 10))

    response = await server.token()

    pieces = [piece async for piece in response.content.iter_any()]
    assert b"".join(pieces) == b"0123456789"
    assert len(pieces) > 1
    assert response.headers["Content-Length"] == "10"


async def test_a_caller_may_leave_while_it_drips(server: Server) -> None:
    server.weather.coming.append(Fault(drip_seconds=A_MOMENT))

    response = await server.token()
    await response.content.readexactly(1)
    response.close()

    assert "access_token" in await (await server.token()).json()


async def test_coming_faults_strike_once_each_and_in_order(server: Server) -> None:
    server.weather.coming.extend([Fault(status=501), Fault(status=502)])

    statuses = [(await server.token()).status for _ in range(3)]

    assert statuses == [501, 502, 200]
    assert server.weather.struck == 2


async def test_a_standing_fault_strikes_until_it_is_taken_away(server: Server) -> None:
    server.weather.standing = Fault(status=503)
    server.weather.coming.append(Fault(status=501))
    statuses = [(await server.token()).status for _ in range(3)]

    server.weather.standing = FAIR

    assert [*statuses, (await server.token()).status] == [501, 503, 503, 200]
    assert server.weather.struck == 3


async def test_a_fault_waits_for_its_endpoint(server: Server) -> None:
    server.weather.coming.extend([Fault(endpoint="stable_token", status=501), Fault(status=502)])

    statuses = [(await server.token()).status, (await server.stable()).status]

    assert statuses == [502, 501]


async def test_a_standing_fault_of_one_endpoint_spares_the_others(server: Server) -> None:
    server.weather.standing = Fault(endpoint="stable_token", status=503)

    statuses = [(await server.token()).status, (await server.stable()).status]

    assert statuses == [200, 503]
    assert server.weather.struck == 1


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_endpoint_has_weather(server: Server, endpoint: str) -> None:
    server.weather.standing = Fault(endpoint=endpoint, status=503)
    method, path = PATHS.get(endpoint, ("GET", f"/cgi-bin/{endpoint}"))

    response = await server.http.request(method, path)

    assert response.status == 503


def test_a_fault_is_read_from_json() -> None:
    fault = read_fault(
        {
            "endpoint": "token",
            "delay_seconds": 1,
            "late_seconds": 0.5,
            "reply": BUSY,
            "body": "坏\udcff",
            "cut": True,
            "when": "after",
            "merge": {"expires_in": "7200"},
            "status": 502,
            "headers": {"Location": "/"},
            "drip_seconds": 0.3,
        }
    )

    assert fault == Fault(
        endpoint="token",
        delay_seconds=1,
        late_seconds=0.5,
        reply=BUSY,
        body="坏".encode() + b"\xff",
        cut=True,
        when="after",
        merge={"expires_in": "7200"},
        status=502,
        headers={"Location": "/"},
        drip_seconds=0.3,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("rain", "a fault is a JSON object", id="no object"),
        pytest.param({"delay": 1}, "delay: no fault has this; there are endpoint, ", id="unknown"),
        pytest.param({"endpoint": "tokens"}, "endpoint: must be one of token, ", id="endpoint"),
        pytest.param({"endpoint": ["token"]}, "endpoint: must be one of token, ", id="endpoints"),
        pytest.param({"delay_seconds": "1"}, "delay_seconds: must be a number", id="text"),
        pytest.param({"delay_seconds": True}, "delay_seconds: must be a number", id="flag"),
        pytest.param({"late_seconds": -1}, "late_seconds: must be a number", id="negative"),
        pytest.param({"drip_seconds": 3601}, "drip_seconds: must be a number", id="an hour"),
        pytest.param({"delay_seconds": float("nan")}, "delay_seconds: must be", id="NaN"),
        pytest.param({"reply": "busy"}, "reply: must be an object", id="reply"),
        pytest.param({"merge": []}, "merge: must be an object", id="merge"),
        pytest.param({"body": {}}, "body: must be a text", id="body"),
        pytest.param({"cut": "before"}, "cut: must be true or false", id="cut"),
        pytest.param({"when": "never"}, "when: must be before or after", id="when"),
        pytest.param({"status": 100}, "status: must be an HTTP status", id="status"),
        pytest.param({"status": 200.0}, "status: must be an HTTP status", id="status as float"),
        pytest.param({"headers": {"Age": 1}}, "headers: must be an object of texts", id="headers"),
    ],
)
def test_a_mistake_in_a_fault_is_named(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        read_fault(given)


# The controls


async def test_the_ledger_counts_calls_bad_tokens_and_faults(server: Server) -> None:
    await server.token()
    await server.stable()
    await server.http.get("/cgi-bin/get_api_domain_ip", params={"access_token": "made-up"})
    server.weather.coming.append(Fault(reply=BUSY))
    await server.token()

    ledger = await (await server.http.get("/simulator/ledger")).json()

    assert ledger == {
        "calls": {APPID: {"token": 1, "stable_token": 1}, "": {"get_api_domain_ip": 1}},
        "rejected_uses": 1,
        "struck": 1,
    }


async def test_the_ledger_tells_if_a_token_is_good_now(server: Server, clock: ManualClock) -> None:
    query = {"token": (await (await server.token()).json())["access_token"]}

    before = await (await server.http.get("/simulator/valid", params=query)).json()
    await clock.advance(7200)
    after = await (await server.http.get("/simulator/valid", params=query)).json()

    assert (before, after) == ({"valid": True}, {"valid": False})


async def test_weather_comes_over_http(server: Server) -> None:
    response = await server.http.post("/simulator/weather", json=[{"cut": True}, {"status": 502}])

    assert response.status == 200
    assert list(server.weather.coming) == [Fault(cut=True), Fault(status=502)]


async def test_standing_weather_comes_and_goes_over_http(server: Server) -> None:
    await server.http.post("/simulator/weather", json={"standing": {"reply": BUSY}})
    standing = server.weather.standing
    await server.http.post("/simulator/weather", json={"standing": None})

    assert standing == Fault(reply=BUSY)
    assert server.weather.standing == FAIR


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param('[{"status": 502}, {"delay": 1}]', "delay: no fault has this", id="unknown"),
        pytest.param('{"standing": []}', "a fault is a JSON object", id="standing"),
        pytest.param("{}", "the weather is a list of faults", id="empty"),
        pytest.param('{"coming": []}', "the weather is a list of faults", id="another key"),
        pytest.param("rain", "Expecting value", id="no JSON"),
    ],
)
async def test_wrong_weather_changes_nothing_and_says_why(
    server: Server, body: str, said: str
) -> None:
    response = await server.http.post("/simulator/weather", data=body)

    assert response.status == 400
    assert (await response.json())["error"].startswith(said)
    assert server.weather == Weather()


async def test_others_rotate_over_http(server: Server) -> None:
    token = (await (await server.token()).json())["access_token"]

    for _ in range(2):
        response = await server.http.post("/simulator/rotate", json={"appid": APPID})

    assert await response.json() == {"rotated": APPID}
    assert len(server.world.issued(APPID, "token")) == 3
    valid = await server.http.get("/simulator/valid", params={"token": token})
    assert await valid.json() == {"valid": False}


async def test_an_agents_token_is_voided_over_http(server: Server) -> None:
    token = (await (await server.gettoken()).json())["access_token"]
    before = await server.is_valid(token)

    named = {"corpid": CORPID, "agentid": SALES}
    response = await server.http.post("/simulator/rotate", json=named)

    assert await response.json() == {"rotated": f"{CORPID}/{SALES}"}
    assert (before, await server.is_valid(token)) == (True, False)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param({"appid": "wx"}, 404, "wx: no such account", id="unknown"),
        pytest.param({"corpid": "ww", "agentid": SALES}, 404, "ww: no such account", id="corp"),
        pytest.param({"corpid": CORPID, "agentid": 1}, 404, "1: no such account", id="agent"),
        pytest.param({"corpid": CORPID}, 400, "wanted", id="no agent"),
        pytest.param({"corpid": CORPID, "agentid": "1000002"}, 400, "wanted", id="agent as text"),
        pytest.param({"appid": 1}, 400, "wanted", id="appid as number"),
        pytest.param({}, 400, "wanted", id="missing"),
        pytest.param([], 400, "wanted", id="no object"),
    ],
)
async def test_a_rotation_names_an_account(
    server: Server, body: object, status: int, said: str
) -> None:
    response = await server.http.post("/simulator/rotate", json=body)

    assert response.status == status
    assert (await response.json())["error"].startswith(said)


async def _until_struck(server: Server) -> None:
    """Let the request come to the weather."""
    async with asyncio.timeout(10):
        while not server.weather.struck:
            await asyncio.sleep(0)


async def _until_acted(server: Server) -> None:
    """Ask the ledger until the call is in it."""
    async with asyncio.timeout(10):
        while not (await (await server.http.get("/simulator/ledger")).json())["calls"]:
            pass
