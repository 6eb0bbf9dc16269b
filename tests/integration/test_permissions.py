"""Who is let in where: every route, against clients with each permission alone."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from kit.clock import settle
from kit.house import BLOG, SHOP, House, key
from kit.office import CORPID
from kit.upstream import Upstream, http, upstream

from tokend.forward.forward import Forward
from tokend.forward.passages import Passages
from tokend.happening import Happening, What
from tokend.model import Permission, Platform
from tokend.wechat.relay import open_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

APPS = ("shop", "blog", "sales")
ALL = tuple(str(permission) for permission in Permission)

# Each permission alone, all of them, and what those have who never see a token.
GRANTS = {
    **{each: (each,) for each in ALL},
    "all": ALL,
    "blind": ALL,
    "blindcaller": ("call",),
}

TOKEN = {"grant_type": "client_credential"}
REJECTED = {"rejected": 1}
PAGE = {"url": "https://shop.example/"}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A request in which ``KEY`` stands for the client key, and who is let in with it.

    *apps* are those whose clients may be let in: one if the request names it, all that have what is
    asked for if the key alone says which.
    """

    method: str
    path: str
    apps: tuple[str, ...] = ("shop",)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    let_in: set[str]
    #: What those get who are let in. One token a minute is forced: whoever is told so has been.
    done: frozenset[int] = frozenset({200, 429})


def login(method: str, path: str, done: int, body: dict[str, Any] | None = None) -> Route:
    return Route(
        method=method,
        path=f"/v1/apps/shop/{path}",
        body=body,
        let_in={"login", "all", "blind"},
        done=frozenset({done}),
    )


SESSION, OPENID = f"sessions/{'x' * 43}", "users/oNobody"

# Of nobody who has logged in: no such session, no such user, no good code.
LOGINS = {
    "log in": login("POST", "sessions", 422, {"code": "none"}),
    "a session": login("GET", SESSION, 404),
    "log out": login("DELETE", SESSION, 204),
    "bind": login("PUT", f"{SESSION}/user", 404, {"user": "ann"}),
    "verify": login("POST", f"{SESSION}/verify", 404, {"rawData": "{}", "signature": "0"}),
    "decrypt": login(
        "POST", f"{SESSION}/decrypt", 404, {"encryptedData": "A" * 22 + "==", "iv": "A" * 22 + "=="}
    ),
    "check": login("POST", f"{SESSION}/check", 404, {}),
    "reset": login("POST", f"{SESSION}/reset", 404, {}),
    "a user": login("GET", OPENID, 404),
    "forget": login("DELETE", OPENID, 204),
    "log out everywhere": login("DELETE", f"{OPENID}/sessions", 404),
    "a telephone number": login("POST", "phone-number", 422, {"code": "none"}),
    "who has paid": login("GET", "paid-unionid?openid=oNobody&transaction_id=1", 422),
}

ROUTES = LOGINS | {
    "token": Route(method="GET", path="/v1/apps/shop/access_token", let_in={"read", "all"}),
    "ticket": Route(method="GET", path="/v1/apps/shop/jsapi_ticket", let_in={"read", "all"}),
    "report": Route(
        method="POST",
        path="/v1/apps/shop/access_token/refresh",
        body=REJECTED,
        let_in={"refresh", "all"},
    ),
    "report a ticket": Route(
        method="POST",
        path="/v1/apps/shop/jsapi_ticket/refresh",
        body=REJECTED,
        let_in={"refresh", "all"},
    ),
    "force": Route(
        method="POST", path="/v1/apps/shop/access_token/refresh", body={}, let_in={"force", "all"}
    ),
    "sign": Route(
        method="POST",
        path="/v1/apps/shop/jsapi_signature",
        body=PAGE,
        let_in={"sign", "all", "blind"},
    ),
    "reload": Route(method="POST", path="/v1/reload", apps=APPS, let_in={"reload", "all", "blind"}),
    "as an official account": Route(
        method="GET",
        path="/cgi-bin/token",
        query={**TOKEN, "appid": SHOP, "secret": "KEY"},
        let_in={"read", "all", "blind", "blindcaller"},
    ),
    "as an official account, stable": Route(
        method="POST",
        path="/cgi-bin/stable_token",
        body={**TOKEN, "appid": BLOG, "secret": "KEY"},
        apps=("blog",),
        let_in={"read", "all", "blind", "blindcaller"},
    ),
    "as an official account, forced": Route(
        method="POST",
        path="/cgi-bin/stable_token",
        body={**TOKEN, "appid": SHOP, "secret": "KEY", "force_refresh": True},
        let_in={"all", "blind"},
    ),
    "as an agent": Route(
        method="GET",
        path="/cgi-bin/gettoken",
        apps=("sales",),
        query={"corpid": CORPID, "corpsecret": "KEY"},
        let_in={"read", "all", "blind", "blindcaller"},
    ),
    "a ticket as an official account": Route(
        method="GET",
        path="/cgi-bin/ticket/getticket",
        apps=("shop", "sales"),
        query={"access_token": "KEY", "type": "jsapi"},
        let_in={"read", "all"},
    ),
    "the corp's ticket as an agent": Route(
        method="GET",
        path="/cgi-bin/get_jsapi_ticket",
        apps=("shop", "sales"),
        query={"access_token": "KEY"},
        let_in={"read", "all"},
    ),
    "the agent's ticket as an agent": Route(
        method="GET",
        path="/cgi-bin/ticket/get",
        apps=("sales",),
        query={"access_token": "KEY", "type": "agent_config"},
        let_in={"read", "all"},
    ),
    "a call": Route(
        method="GET",
        path="/cgi-bin/user/get",
        apps=APPS,
        query={"access_token": "KEY"},
        let_in={"call", "all", "blind", "blindcaller"},
    ),
    "a call with a body": Route(
        method="POST",
        path="/cgi-bin/message/send",
        apps=APPS,
        query={"access_token": "KEY"},
        body={"touser": "@all"},
        let_in={"call", "all", "blind", "blindcaller"},
    ),
}

# Of these the key stands before the body.
WITH_BODY = [
    name
    for name, route in ROUTES.items()
    if route.body is not None and "KEY" not in (route.body or {}).values()
]

EVERYBODY = {f"{name}-{app}": app for app in APPS for name in GRANTS}

# Whoever comes may ask these, and learns no value by it.
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/status/{file}"),
}

# These have tests of their own below.
APART = {
    ("GET", "/v1/apps"),
    ("GET", "/v1/events"),
    ("GET", "/metrics"),
    ("GET", "/status"),
    ("GET", "/cgi-bin/stable_token"),
}

NOBODY = {None, "", "wrong", "0" * 64, "é" * 8}


def clients() -> str:
    return "".join(
        f"""
        [clients.{name}-{app}]
        apps = ["{app}"]
        can = {list(can)}
        {'tokens = "never"' if name.startswith("blind") else ""}
        """.replace("\n        ", "\n")
        for app in APPS
        for name, can in GRANTS.items()
    )


@pytest.fixture
async def wechat() -> AsyncIterator[Upstream]:
    answer = http(b'{"errcode":0,"errmsg":"ok"}', headers="Content-Type: application/json\r\n")
    async with upstream(answer) as running:
        yield running


@pytest.fixture
async def house(aiohttp_client, folder: Path, wechat: Upstream) -> AsyncIterator[House]:
    house = House(folder, clients=clients())
    async with open_relay(idle=house.config.wechat.timeout) as relay:
        passages = Passages(house.callers, dict.fromkeys(Platform, wechat.url))
        Forward(relay, passages, awake=house.awake).add_to(house.app.router)
        house.http = await aiohttp_client(house.app)
        await house.begin()
        yield house


async def ask(house: House, route: Route, given: str | None) -> aiohttp.ClientResponse:
    """With *given* in the place of the key; in the header, too, unless it is None."""
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    return await house.http.request(
        route.method,
        route.path,
        headers=headers,
        params=_with_key(route.query, given),
        json=None if route.body is None else _with_key(route.body, given),
    )


def _with_key(members: dict[str, Any], given: str | None) -> dict[str, Any]:
    return {name: (given or "") if value == "KEY" else value for name, value in members.items()}


async def is_let_in(house: House, route: Route, given: str | None) -> bool:
    """As the answer's own words have it: WeChat's routes say no with HTTP status 200."""
    async with await ask(house, route, given) as response:
        answer = {} if response.status == 204 else await response.json()
        if response.status in {401, 403}:
            assert answer["code"] == {401: "unauthorized", 403: "forbidden"}[response.status]
            return False
        assert response.status in route.done, answer
        return response.status >= 400 or answer.get("errcode", 0) == 0


@pytest.mark.parametrize("name", ROUTES)
async def test_a_route_is_for_those_who_have_its_permission_for_its_app(
    house: House, name: str
) -> None:
    route = ROUTES[name]

    got_in = {client for client in EVERYBODY if await is_let_in(house, route, key(client))}

    assert got_in == {f"{name}-{app}" for name in route.let_in for app in route.apps}


@pytest.mark.parametrize("name", ROUTES)
async def test_no_answer_holds_what_is_another_apps(house: House, name: str) -> None:
    for client, own in EVERYBODY.items():
        async with await ask(house, ROUTES[name], key(client)) as response:
            text = await response.text()
        shown = {str(kept) for kept, value in house.tokens().items() if value in text}
        assert all(kept.startswith(f"{own}/") for kept in shown), client
        assert not (shown and client.startswith("blind")), client


@pytest.mark.parametrize("name", ["a call", "a call with a body"])
async def test_a_call_goes_out_with_the_token_of_the_clients_app(
    house: House, wechat: Upstream, name: str
) -> None:
    for client, own in EVERYBODY.items():
        if await is_let_in(house, ROUTES[name], key(client)):
            sent = wechat.requests[-1].decode()
            assert f"access_token={house.token(f'{own}/access_token')}" in sent
            assert key(client) not in sent


@pytest.mark.parametrize("name", ROUTES)
async def test_nobody_is_let_in_without_a_key(house: House, name: str) -> None:
    assert not [given for given in NOBODY if await is_let_in(house, ROUTES[name], given)]


@pytest.mark.parametrize("name", WITH_BODY)
async def test_where_the_key_is_not_in_the_body_nobody_waits_for_a_strangers_body(
    house: House, name: str
) -> None:
    route = ROUTES[name]
    request = house.http.request(
        route.method, route.path, params=_with_key(route.query, "wrong"), data=_never()
    )

    async with asyncio.timeout(4), request as response:
        answer = await response.json()

    assert answer.get("code", answer.get("errcode")) in {"unauthorized", 40001}


async def _never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


# What is asked for here is there at once, or needs no token.
AT_ONCE = {"report", "report a ticket", "reload", "a call", "a call with a body", *LOGINS}
WAITING = sorted(ROUTES.keys() - AT_ONCE)

TAKEN = {
    "it has another key": {"key_sha256": "0" * 64},
    "it may do nothing any more": {"can": frozenset()},
    "it has no app any more": {"apps": frozenset()},
}


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
@pytest.mark.parametrize("name", WAITING)
async def test_who_waits_for_a_token_does_not_get_what_a_reload_has_taken_away(
    house: House, name: str, taken: dict[str, Any]
) -> None:
    client = f"all-{ROUTES[name].apps[0]}"
    async with without_tokens(house):
        asked = asyncio.create_task(is_let_in(house, ROUTES[name], key(client)))
        await asyncio.sleep(0.1)
        house.access.change([replace(house.access.named(client), **taken)])

    assert not await asked


@pytest.mark.parametrize("name", WAITING)
async def test_who_waits_for_a_token_sees_none_if_it_is_to_see_none_any_more(
    house: House, name: str
) -> None:
    client = f"all-{ROUTES[name].apps[0]}"
    async with without_tokens(house):
        asked = asyncio.create_task(ask(house, ROUTES[name], key(client)))
        await asyncio.sleep(0.1)
        house.access.change([replace(house.access.named(client), sees_tokens=False)])
    text = await (await asked).text()

    await house.live(3)
    assert not [kept for kept, value in house.tokens().items() if value in text]


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
@pytest.mark.parametrize("name", ["report", "force", "as an official account, forced"])
async def test_who_waits_for_a_refresh_does_not_get_what_a_reload_has_taken_away(
    house: House, name: str, taken: dict[str, Any]
) -> None:
    route = ROUTES[name]
    if name == "report":
        route = replace(route, body={"rejected": house.token("shop/access_token")})
    assert await is_let_in(house, ROUTES["as an official account"], key("all-shop"))
    house.wechat.hold()
    asked = asyncio.create_task(is_let_in(house, route, key("all-shop")))
    await asyncio.sleep(0.1)

    house.access.change([replace(house.access.named("all-shop"), **taken)])
    house.wechat.let_go()

    assert not await asked


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
async def test_a_call_whose_body_took_long_does_not_go_out_if_a_reload_has_taken_that_away(
    house: House, wechat: Upstream, taken: dict[str, Any]
) -> None:
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await rest.wait()
        yield b"}"

    route = ROUTES["a call with a body"]
    query = _with_key(route.query, key("all-shop"))
    asked = asyncio.create_task(house.http.post(route.path, params=query, data=slowly()))
    await asyncio.sleep(0.1)

    house.access.change([replace(house.access.named("all-shop"), **taken)])
    rest.set()

    assert (await (await asked).json())["errcode"] in {40001, 48001}
    assert wechat.requests == []


@asynccontextmanager
async def without_tokens(house: House) -> AsyncIterator[None]:
    """Until left no key has one, and WeChat does not answer."""
    house.wechat.hold()
    await house.clock.advance(7200)
    await house.schedule.look()
    await settle()
    yield
    house.wechat.let_go()


async def test_a_status_shows_the_keys_of_ones_own_apps(house: House) -> None:
    shown = {}
    for client in EVERYBODY:
        headers = {"Authorization": f"Bearer {key(client)}"}
        async with house.http.get("/v1/apps", headers=headers) as response:
            if response.status == 200:
                shown[client] = {each["app"] for each in (await response.json())["keys"]}

    assert await pages_shown(house) == shown
    assert {client: apps for client, apps in shown.items() if apps} == {
        f"{name}-{app}": {app} for app in APPS for name in ("status", "all", "blind")
    }


async def test_what_happens_to_the_keys_of_ones_own_apps_is_told(house: House) -> None:
    before = house.chronicle.last
    for app in APPS:
        keeper = house.fleet.keepers[f"{app}/access_token"]
        house.chronicle.add(keeper, Happening(what=What.LOST))

    told = {client: await apps_told_of(house, before, key(client)) for client in EVERYBODY}

    assert {client: apps for client, apps in told.items() if apps is not None} == {
        f"{name}-{app}": {app} for app in APPS for name in ("status", "all", "blind")
    }
    assert [await apps_told_of(house, before, given) for given in NOBODY] == [None] * len(NOBODY)


async def apps_told_of(house: House, after: int, given: str | None) -> set[str] | None:
    """In what comes first; None for who is refused."""
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    path = f"/v1/events?after={after}"
    async with house.http.get(path, headers=headers) as response:
        if response.status in {401, 403}:
            return None
        text = ""
        while not text.endswith("\n\n"):
            text += (await response.content.readany()).decode()
    return set(re.findall(r'^data: .*?"app": "(\w+)"', text, re.MULTILINE))


async def pages_shown(house: House) -> dict[str, set[str]]:
    """Whose keys each client finds on the status page."""
    shown = {}
    for client in EVERYBODY:
        headers = {"Authorization": aiohttp.encode_basic_auth("x", key(client))}
        async with house.http.get("/status", headers=headers) as response:
            if response.status == 200:
                shown[client] = set(re.findall(r'<li id="(\w+)/', await response.text()))
    return shown


def test_every_route_stands_in_the_table(house: House) -> None:
    there = {
        (route.method, route.resource.canonical)
        for route in house.app.router.routes()
        if route.method not in {"HEAD", "*"}
    }
    tried = {(route.method, _pattern(route.path)) for route in ROUTES.values()}

    assert there <= tried | OPEN | APART


def _pattern(path: str) -> str:
    match path.partition("?")[0].split("/"):
        case ["", "v1", "apps", _, ("jsapi_signature" | "phone-number" | "paid-unionid") as what]:
            return f"/v1/apps/{{app}}/{what}"
        case ["", "v1", "apps", _, "sessions"]:
            return "/v1/apps/{app}/sessions"
        case ["", "v1", "apps", _, ("sessions" | "users") as what, _, *rest]:
            name = "session" if what == "sessions" else "openid"
            return "/".join([f"/v1/apps/{{app}}/{what}/{{{name}}}", *rest])
        case ["", "v1", "apps", _, _, *rest]:
            return "/".join(["/v1/apps/{app}/{kind}", *rest])
    return path
