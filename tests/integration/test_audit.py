"""What the audit trail tells of each route, and of whom it never tells more than a number."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.house import APP_SECRETS, BLOG, CLIENTS, SHOP, House, key
from kit.office import CORPID, SECRETS
from kit.served import said, served, statuses
from structlog.testing import capture_logs

from tokend.api import peers
from tokend.audit.deed import OK, Deed
from tokend.audit.file import AuditFile
from tokend.audit.trail import Trail
from tokend.model import Platform
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.wechat.relay import open_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kit.clock import ManualClock

MORE_CLIENTS = f"""{CLIENTS}
[clients.operator]
apps = ["*"]
can = ["read", "force", "reload", "status", "refresh"]
[clients.clearer]
apps = ["shop"]
can = ["call"]
paths = ["/cgi-bin/clear_quota", "/cgi-bin/get_api_domain_ip"]
"""

TOKEN = "/v1/apps/{app}/{kind}"
STABLE = "/cgi-bin/stable_token"
SECRET_OF_SHOPPER = {"grant_type": "client_credential", "appid": SHOP, "secret": key("shopper")}


class Audited(House):
    """*lines* are what the audit trail told."""

    lines: list[dict[str, Any]]

    async def send(self, client: str, method: str, path: str, body: object = None) -> int:
        headers = {"Authorization": f"Bearer {key(client)}"} if client else {}
        path = path.format(key=key(client), token=self.token("shop/access_token"))
        async with self.http.request(method, path, json=body, headers=headers) as response:
            await response.read()
            return response.status

    def audit(self) -> list[dict[str, Any]]:
        """What has been told since, without what the log adds."""
        told = [line for line in self.lines if line["event"] == "audit"]
        self.lines.clear()
        return [{n: v for n, v in line.items() if n not in {"event", "log_level"}} for line in told]


@pytest.fixture
async def house(aiohttp_client, aiohttp_server, folder: Path) -> AsyncIterator[Audited]:
    async with open_relay(idle=timedelta(seconds=30), proxy="") as relay:
        house = Audited(folder, clients=MORE_CLIENTS, relay=relay)
        wechat = await aiohttp_server(make_app(house.world, Weather(), house.clock))
        house.upstreams |= dict.fromkeys(Platform, str(wechat.make_url("/")).rstrip("/"))
        house.http = await aiohttp_client(house.app)
        with capture_logs() as house.lines:
            await house.begin()
            house.lines.clear()
            yield house


# Each route


class Case(NamedTuple):
    """What *client* sends, and the line it makes, but for its numbers."""

    route: str
    client: str
    path: str
    told: dict[str, Any]
    body: object = None
    about: str = ""

    def __str__(self) -> str:
        return f"{self.route}: {self.about or self.told['outcome']}"


SHOP_TOKEN, SHOP_REFRESH = "/v1/apps/shop/access_token", "/v1/apps/shop/access_token/refresh"
GET_TOKEN = "GET /v1/apps/{app}/{kind}"
REFRESH = "POST /v1/apps/{app}/{kind}/refresh"
SIGN = "POST /v1/apps/{app}/jsapi_signature"
RELOAD = "POST /v1/reload"
CALL = "/{path}"
PAGE = {"url": "https://shop.example/"}
QUERY = f"grant_type=client_credential&appid={SHOP}&secret={{key}}"
GET_IP = "/cgi-bin/get_api_domain_ip"

READ = {"what": "read", "key": "shop/access_token", "outcome": OK}
FORBIDDEN = {"outcome": "forbidden", "key": "shop/access_token"}


def unauthorized(what: str) -> dict[str, Any]:
    return {"what": what, "outcome": "unauthorized"}


SESSION, USER = "/v1/apps/{app}/sessions/{session}", "/v1/apps/{app}/users/{openid}"
LOGINS = [
    "POST /v1/apps/{app}/sessions",
    f"GET {SESSION}",
    f"DELETE {SESSION}",
    f"PUT {SESSION}/user",
    f"POST {SESSION}/verify",
    f"POST {SESSION}/decrypt",
    f"POST {SESSION}/check",
    f"POST {SESSION}/reset",
    f"GET {USER}",
    f"DELETE {USER}",
    f"DELETE {USER}/sessions",
    "POST /v1/apps/{app}/phone-number",
    "GET /v1/apps/{app}/paid-unionid",
]

CASES = [
    Case(GET_TOKEN, "shopper", SHOP_TOKEN, READ | {"who": "shopper"}),
    Case(GET_TOKEN, "stranger", SHOP_TOKEN, unauthorized("read")),
    Case(GET_TOKEN, "blogger", SHOP_TOKEN, FORBIDDEN | {"who": "blogger", "what": "read"}),
    Case(GET_TOKEN, "blogger", "/v1/apps/none/access_token",
         {"who": "blogger", "what": "read", "outcome": "forbidden"}, about="no such app"),
    Case(REFRESH, "shopper", SHOP_REFRESH,
         {"who": "shopper", "what": "refresh", "key": "shop/access_token", "outcome": "unneeded"},
         {"rejected": "another"}),
    Case(REFRESH, "operator", SHOP_REFRESH,
         {"who": "operator", "what": "force", "key": "shop/access_token", "outcome": OK}, {}),
    Case(REFRESH, "shopper", SHOP_REFRESH, FORBIDDEN | {"who": "shopper", "what": "force"}, {}),
    Case(REFRESH, "stranger", SHOP_REFRESH, unauthorized("refresh"), {}),
    Case(SIGN, "shopper", "/v1/apps/shop/jsapi_signature",
         {"who": "shopper", "what": "sign", "key": "shop/jsapi_ticket", "outcome": OK}, PAGE),
    Case(SIGN, "blogger", "/v1/apps/shop/jsapi_signature",
         {"who": "blogger", "what": "sign", "key": "shop/jsapi_ticket", "outcome": "forbidden"},
         PAGE),
    Case(SIGN, "stranger", "/v1/apps/shop/jsapi_signature", unauthorized("sign"), PAGE),
    Case(RELOAD, "operator", "/v1/reload", {"who": "operator", "what": "reload", "outcome": OK}),
    Case(RELOAD, "shopper", "/v1/reload",
         {"who": "shopper", "what": "reload", "outcome": "forbidden"}),
    Case(RELOAD, "stranger", "/v1/reload", unauthorized("reload")),
    *(Case(route, client, route.partition(" ")[2].format(app="shop", session="x" * 43, openid="oX"),
           told | {"what": "login"}, {})
      for route in LOGINS
      for client, told in (
          ("shopper", {"who": "shopper", "outcome": "forbidden", "key": "shop"}),
          ("stranger", {"outcome": "unauthorized"}))),
    Case("GET /v1/apps", "shopper", "/v1/apps",
         {"who": "shopper", "what": "status", "outcome": "forbidden"}),
    Case("GET /v1/apps", "stranger", "/v1/apps", unauthorized("status")),
    Case("GET /v1/events", "shopper", "/v1/events",
         {"who": "shopper", "what": "status", "outcome": "forbidden"}),
    Case("GET /v1/events", "stranger", "/v1/events", unauthorized("status")),
    Case("GET /metrics", "shopper", "/metrics",
         {"who": "shopper", "what": "status", "outcome": "forbidden"}),
    Case("GET /metrics", "stranger", "/metrics", unauthorized("status")),
    Case("GET /status", "shopper", "/status",
         {"who": "shopper", "what": "status", "outcome": "forbidden"}),
    Case("GET /status", "stranger", "/status", unauthorized("status")),
    Case("GET /cgi-bin/token", "shopper", f"/cgi-bin/token?{QUERY}", READ | {"who": "shopper"}),
    Case("GET /cgi-bin/token", "blind", f"/cgi-bin/token?{QUERY}",
         READ | {"who": "blind", "what": "handle"}, about="a handle"),
    Case("GET /cgi-bin/token", "blogger", f"/cgi-bin/token?{QUERY}",
         FORBIDDEN | {"who": "blogger", "what": "read"}),
    Case("GET /cgi-bin/token", "blogger", f"/cgi-bin/token?{QUERY.replace(SHOP, 'wx0')}",
         {"who": "blogger", "what": "read", "outcome": "forbidden"}, about="no such app"),
    Case("GET /cgi-bin/token", "stranger", f"/cgi-bin/token?{QUERY}", unauthorized("read")),
    Case(f"POST {STABLE}", "", STABLE, READ | {"who": "shopper"}, SECRET_OF_SHOPPER),
    Case(f"POST {STABLE}", "", STABLE,
         {"who": "shopper", "what": "refresh", "key": "shop/access_token", "outcome": "unneeded"},
         SECRET_OF_SHOPPER | {"force_refresh": True}),
    Case(f"POST {STABLE}", "", STABLE, unauthorized("read"),
         SECRET_OF_SHOPPER | {"secret": "wrong"}),
    Case("GET /cgi-bin/gettoken", "seller", f"/cgi-bin/gettoken?corpid={CORPID}&corpsecret={{key}}",
         {"who": "seller", "what": "read", "key": "sales/access_token", "outcome": OK}),
    Case("GET /cgi-bin/gettoken", "x", f"/cgi-bin/gettoken?corpid={CORPID}&corpsecret={{key}}",
         unauthorized("read")),
    Case("GET /cgi-bin/ticket/getticket", "shopper",
         "/cgi-bin/ticket/getticket?type=jsapi&access_token={key}",
         {"who": "shopper", "what": "read", "key": "shop/jsapi_ticket", "outcome": OK}),
    Case("GET /cgi-bin/ticket/getticket", "shopper",
         "/cgi-bin/ticket/getticket?type=jsapi&access_token={token}",
         {"who": "shopper or everybody or operator", "what": "read", "key": "shop/jsapi_ticket",
          "outcome": OK}, about="for a token"),
    Case("GET /cgi-bin/ticket/getticket", "x",
         "/cgi-bin/ticket/getticket?type=jsapi&access_token={key}", unauthorized("read")),
    Case("GET /cgi-bin/get_jsapi_ticket", "seller", "/cgi-bin/get_jsapi_ticket?access_token={key}",
         {"who": "seller", "what": "read", "key": "sales/jsapi_ticket", "outcome": OK}),
    Case("GET /cgi-bin/ticket/get", "seller",
         "/cgi-bin/ticket/get?type=agent_config&access_token={key}",
         {"who": "seller", "what": "read", "key": "sales/agent_config_ticket", "outcome": OK}),
    Case(f"GET {CALL}", "shopper", f"{GET_IP}?access_token={{key}}",
         {"who": "shopper", "what": "call", "key": "shop/access_token", "path": GET_IP,
          "outcome": OK}),
    Case(f"GET {CALL}", "seller", f"{GET_IP}?access_token={{key}}",
         {"who": "seller", "what": "call", "key": "sales/access_token", "path": GET_IP,
          "outcome": "forbidden"}),
    Case(f"GET {CALL}", "stranger", f"{GET_IP}?access_token={{key}}",
         unauthorized("call")),
]  # fmt: skip

# They tell how things are, and change nothing.
SILENT = {
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "GET /status/{file}",
    "GET /cgi-bin/stable_token",
}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_route_tells_who_did_what(house: Audited, case: Case) -> None:
    route, client, path, told, body, _ = case

    await house.send(client, route.partition(" ")[0], path, body)

    (line,) = [line for line in house.audit() if line.get("what") != "replaced"]
    numbers = {name: line.pop(name, 0) for name in ("generation", "before", "took_ms")}
    assert line == {"where": "127.0.0.1", "route": route} | told
    if told["outcome"] in {OK, "unneeded"} and "key" in told:
        assert numbers["generation"] == house.fleet.keepers[told["key"]].generation


async def test_no_route_is_missing_above(house: Audited) -> None:
    routes = {
        f"{route.method} {route.resource.canonical}".replace("* ", "GET ")
        for route in house.app.router.routes()
        if route.method != "HEAD"
    }

    assert routes == {case.route for case in CASES} | SILENT


@pytest.mark.parametrize("route", sorted(SILENT))
async def test_what_changes_nothing_tells_nothing(house: Audited, route: str) -> None:
    await house.send("", *route.replace("{file}", "page.js").split())

    assert house.audit() == []


async def test_of_calls_that_clear_quotas_each_is_told(house: Audited) -> None:
    paths = [GET_IP] * 3 + ["/cgi-bin/clear_quota"] * 3
    for path in paths:
        await house.send("clearer", "POST", f"{path}?access_token={{key}}", {"appid": SHOP})

    assert [line["path"] for line in house.audit()] == paths[:1] + paths[3:]


async def test_a_call_that_met_a_rejection_tells_of_the_token_before_and_after(
    house: Audited,
) -> None:
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    await house.send("shopper", "GET", f"{GET_IP}?access_token={{key}}")

    (line,) = [line for line in house.audit() if line["what"] == "call"]
    assert line["before"] < line["generation"]


async def test_a_call_whose_token_the_guard_rails_keep_is_told_as_limited(house: Audited) -> None:
    """Its caller gets WeChat's own answer."""
    await house.send("operator", "POST", "/v1/apps/blog/access_token/refresh", {})
    for _ in range(2):
        house.world.rotate(BLOG, house.clock.now())

    answer = await house.get(GET_IP, access_token=key("blogger"))

    (line,) = [line for line in house.audit() if line["what"] == "call"]
    assert (answer["errcode"], line["outcome"]) == (40001, "refresh_limited")
    assert line["before"] == line["generation"]


async def test_a_call_whose_token_could_not_be_replaced_is_told_with_why(house: Audited) -> None:
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())
    house.wechat.coming.extend(["unreachable"] * 100)

    await house.send("shopper", "GET", f"{GET_IP}?access_token={{key}}")

    assert [line["outcome"] for line in house.audit()] == ["upstream_away"]


async def test_a_forced_refresh_by_an_sdk_past_the_guard_rails_is_told_as_limited(
    house: Audited,
) -> None:
    """Which gets the current token."""
    await house.send("operator", "POST", SHOP_REFRESH, {})
    await house.post(STABLE, SECRET_OF_SHOPPER)

    answer = await house.post(STABLE, SECRET_OF_SHOPPER | {"force_refresh": True})

    told = [line["outcome"] for line in house.audit() if line["what"] == "refresh"]
    assert answer["access_token"] == house.token("shop/access_token")
    assert told == ["refresh_limited"]


async def test_a_reload_that_is_refused_is_told_with_why(house: Audited) -> None:
    house.mistakes = ("apps: at least one is required",)

    await house.send("operator", "POST", "/v1/reload")

    assert [line["outcome"] for line in house.audit()] == ["configuration_refused"]


async def test_web_pages_are_told_of_with_what_they_were_after(house: Audited) -> None:
    headers = {"Origin": "https://evil.example"}
    for path in ("/healthz", SHOP_TOKEN):
        async with house.http.get(path, headers=headers) as response:
            assert response.status == 403

    forbidden = {"where": "127.0.0.1", "outcome": "forbidden"}
    assert house.audit() == [
        forbidden | {"route": "GET /healthz"},
        forbidden | {"route": GET_TOKEN, "what": "read"},
    ]


# A refresh


async def test_a_forced_refresh_tells_of_the_token_before_and_after(house: Audited) -> None:
    before = house.fleet.keepers["shop/access_token"].generation

    await house.send("operator", "POST", SHOP_REFRESH, {})

    replaced, forced = house.audit()
    after = house.fleet.keepers["shop/access_token"].generation
    assert (replaced["who"], replaced["what"]) == ("tokend", "replaced")
    for line in (replaced, forced):
        assert (line["before"], line["generation"]) == (before, after)
    assert forced["took_ms"] >= 0


async def test_a_scheduled_refresh_is_told_of_though_nobody_asked(house: Audited) -> None:
    await house.live(7200, step=10)

    lines = [line for line in house.audit() if line["key"] == "shop/access_token"]
    assert [(line["who"], line["what"]) for line in lines] == [("tokend", "replaced")]


async def test_a_report_past_the_guard_rails_is_told_as_limited(house: Audited) -> None:
    for _ in range(5):
        rejected = {"rejected": house.token("shop/access_token")}
        await house.send("shopper", "POST", SHOP_REFRESH, rejected)

    told = [line["outcome"] for line in house.audit() if line["what"] == "refresh"]
    assert told == [OK, "refresh_limited"]


# The user at the Unix socket


async def test_a_directory_of_users_that_hangs_keeps_nobody_waiting(
    house: Audited, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NSS may ask it on the network, for as long as it likes."""
    hangs, asked = threading.Event(), threading.Event()
    user = pwd.getpwuid(os.getuid())

    def getpwuid(_: int) -> pwd.struct_passwd:
        asked.set()
        hangs.wait(60)
        return user

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    users: dict[int, str] = {}
    monkeypatch.setattr(peers, "_users", users)
    ask = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(30), served(house.app, folder) as where:
        first = asyncio.create_task(said(where.unix, ask % SHOP_TOKEN.encode()))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        others = [await said(each, ask % b"/healthz") for each in (where.tcp, where.unix)]
        await first
        hangs.set()
        while user.pw_name not in users.values():
            await asyncio.sleep(0.01)
        await said(where.unix, ask % b"/v1/apps/shop/jsapi_ticket")

    assert [statuses(each) for each in others] == [(200,), (200,)]
    nameless, named = (str(line["where"]) for line in house.audit())
    assert nameless.startswith(f"uid={os.getuid()} gid=")
    assert named.startswith(f"uid={os.getuid()}({user.pw_name}) gid=")


# Of what is alike the first, and a number


async def test_of_a_thousand_reads_the_first_is_told_and_the_number_of_the_rest(
    house: Audited,
) -> None:
    for _ in range(1000):
        await house.send("shopper", "GET", SHOP_TOKEN)
    first = house.audit()

    await house.clock.advance(3600)
    house.trail.sweep()

    assert len(first) == 1
    assert house.audit() == [{**first[0], "times": 999}]


async def test_the_rest_is_told_when_the_generation_changes(house: Audited) -> None:
    for _ in range(3):
        await house.send("shopper", "GET", SHOP_TOKEN)
    house.audit()

    await house.send("operator", "POST", SHOP_REFRESH, {})
    rest, *_ = house.audit()
    await house.send("shopper", "GET", SHOP_TOKEN)
    first, *_ = house.audit()

    assert (rest["who"], rest["times"]) == ("shopper", 2)
    assert first["generation"] > rest["generation"]
    assert "times" not in first


async def test_the_rest_is_told_at_the_end(house: Audited) -> None:
    for _ in range(3):
        await house.send("shopper", "GET", SHOP_TOKEN)
    house.audit()

    house.trail.end()

    assert [line["times"] for line in house.audit()] == [2]


async def test_each_client_and_each_key_is_told_of(house: Audited) -> None:
    for client in ("shopper", "everybody"):
        for path in (SHOP_TOKEN, "/v1/apps/shop/jsapi_ticket"):
            await house.send(client, "GET", path)

    assert len({(line["who"], line["key"]) for line in house.audit()}) == 4


async def test_a_read_that_gives_nothing_new_is_no_read(house: Audited) -> None:
    generation = house.fleet.keepers["shop/access_token"].generation
    headers = {"Authorization": f"Bearer {key('shopper')}", "If-None-Match": f'"{generation}"'}
    async with house.http.get(SHOP_TOKEN, headers=headers) as response:
        assert response.status == 304

    assert house.audit() == []


async def test_ten_thousand_denials_of_one_source_are_two_lines(
    clock: ManualClock,
) -> None:
    trail = Trail(clock, AuditFile(""))
    with capture_logs() as lines:
        for number in range(10_000):
            trail.add(Deed(where=f"2001:db8::{number:x}", outcome="unauthorized"))
        await clock.advance(60)
        trail.sweep()

    assert [line.get("times") for line in lines] == [None, 9999]


async def test_strangers_from_everywhere_fill_neither_log_nor_memory(clock: ManualClock) -> None:
    trail = Trail(clock, AuditFile(""))
    with capture_logs() as lines:
        for number in range(50_000):
            trail.add(
                Deed(
                    where=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                    outcome="unauthorized",
                )
            )
        trail.add(Deed(where="192.0.2.1", who="shopper", what="force", outcome="forbidden"))
        trail.end()

    assert len(lines) < 210
    assert sum(line.get("times", 1) for line in lines if line.get("who") != "shopper") == 50_000
    assert [line["where"] for line in lines if line.get("who") == "shopper"] == ["192.0.2.1"]


# What comes from outside


@settings(max_examples=200)
@given(st.builds(Deed, **dict.fromkeys(("where", "route", "who", "key", "path"), st.text())))
def test_whatever_a_caller_writes_is_one_short_line_of_plain_characters(deed: Deed) -> None:
    for value in deed.facts().values():
        assert re.fullmatch(r"[ -~]{1,120}", str(value))


async def test_names_paths_and_user_agents_of_callers_are_not_repeated(house: Audited) -> None:
    evil = "evil%0A%1b%5b2J%22canary"
    headers = {"Authorization": f"Bearer {key('shopper')}", "User-Agent": "canary"}
    for path in (f"/v1/apps/{evil}/access_token", f"/v1/apps/shop/{evil}/refresh", f"/{evil}"):
        async with house.http.post(path, headers=headers, json={}) as response:
            assert response.status < 500

    assert "canary" not in str(house.audit())


# Never a value


async def test_no_key_no_token_and_no_secret_is_ever_told(house: Audited) -> None:
    for case in CASES:
        await house.send(case.client, case.route.partition(" ")[0], case.path, case.body)
    house.trail.end()

    told = str(house.audit())
    assert told
    for canary in _canaries(house):
        assert canary not in told


def _canaries(house: Audited) -> Iterator[str]:
    yield from APP_SECRETS.values()
    yield from SECRETS.values()
    yield from (house.token(name) for name in house.fleet.keepers)
    yield "key-of-"
    yield BLOG
