"""What business servers are answered, over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.again import Again, asked_again
from kit.clock import settle
from kit.logged import logging_to
from kit.scene import APPID, KEY, Scene

from tokend.api.access import Access
from tokend.api.listeners import UnixSocket, serving
from tokend.api.polls import Polls
from tokend.api.room import Room
from tokend.api.routes import make_app
from tokend.api.screen import Screen
from tokend.api.source import Proxies
from tokend.api.warden import Warden
from tokend.api.wire import LONGEST_BODY
from tokend.audit.file import AuditFile
from tokend.audit.trail import Trail
from tokend.errors import ConfigError, UpstreamUnreachable
from tokend.model import Client, Permission
from tokend.remedy import remedy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.test_utils import TestClient
    from kit.clock import ManualClock

TOKEN = "/v1/apps/shop/access_token"
REFRESH = f"{TOKEN}/refresh"
ROOM = Room(tcp=100, per_address=100)
FULL_KEY, READ_KEY, BLOG_KEY = "full-canary-key", "read-canary-key", "blog-canary-key"


def client_with(name: str, key: str, apps: set[str] | None, *can: Permission) -> Client:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Client(name=name, key_sha256=digest, apps=apps and frozenset(apps), can=frozenset(can))


CLIENTS = (
    client_with("full", FULL_KEY, None, *Permission),
    client_with("reader", READ_KEY, {"shop"}, Permission.READ),
    client_with("blogger", BLOG_KEY, {"blog"}, *Permission),
)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Still:
    """No other node does anything."""

    trouble = None
    asked = 0

    async def awake(self) -> None:
        """Asked before each answer that is not given again."""
        self.asked += 1
        await settle()


class File:
    """A configuration file that is as good as its *mistakes*."""

    def __init__(self) -> None:
        self.mistakes: tuple[str, ...] = ()
        self.readings = 0

    async def reload(self) -> None:
        self.readings += 1
        if self.mistakes:
            raise ConfigError(self.mistakes)


class Api:
    """One node with its API; ``call`` asks with the key that may do everything."""

    def __init__(self, scene: Scene, clients: tuple[Client, ...]) -> None:
        self.scene = scene
        self.keeper, self.schedule = scene.node()
        self.file = File()
        self.follower = Still()
        self.access = Access(clients, scene.clock)
        self.app = make_app(
            {str(KEY): self.keeper},
            self.access,
            scene.clock,
            names=lambda: [str(KEY)],
            follower=self.follower,
            configuration=self.file,
            trail=Trail(scene.clock, AuditFile("")),
            chronicle=scene.chronicle,
            shaped=[],
            screen=Screen(hosts=["tokend.internal"], proxies=Proxies()),
            polls=Polls(most=20, most_per_client=10, most_at_socket=10),
        )
        self.http: TestClient

    async def begin(self) -> None:
        await self.schedule.look()
        await settle()
        self.scene.clock.suspend(timedelta(seconds=0.5))  # the answer stays for the rest of one

    async def call(
        self, method: str, path: str, *, key: str = FULL_KEY, headers=None, **more
    ) -> aiohttp.ClientResponse:
        return await self.http.request(
            method, path, headers={**bearer(key), **(headers or {})}, **more
        )

    async def token(self) -> str:
        return (await (await self.call("GET", TOKEN)).json())["access_token"]


Make = "Callable[..., Awaitable[Api]]"


@pytest.fixture(params=["asked once", "asked again"])
async def make(
    request: pytest.FixtureRequest, aiohttp_client, clock: ManualClock, folder: Path
) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make_api(method: str = "stable_token", clients=CLIENTS) -> Api:
            api = Api(Scene(clock, method=method), clients)
            api.http = (
                await aiohttp_client(api.app)
                if request.param == "asked once"
                else await stack.enter_async_context(asked_again(api.app, folder))
            )
            return api

        yield make_api


@pytest.fixture
async def api(make: Make) -> Api:
    """With its first token."""
    api = await make()
    await api.begin()
    return api


async def problem(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """The status and code of a well-formed problem document."""
    assert response.headers["Content-Type"].startswith("application/problem+json")
    assert response.headers["Cache-Control"] == "no-store"
    document = await response.json()
    assert document["status"] == response.status
    assert document["title"]
    assert document["detail"]
    assert document["advice"]
    return response.status, document["code"]


# GET


async def test_here_all_is_said_of_answers_that_are_given_again_too(make: Make) -> None:
    api = await make()
    await api.begin()

    await api.token()
    await api.token()

    assert api.follower.asked == (1 if isinstance(api.http, Again) else 2)


async def test_a_token_comes_with_its_facts(api: Api) -> None:
    response = await api.call("GET", TOKEN)

    answer = await response.json()
    value = answer.pop("access_token")
    assert api.scene.world.is_valid(value, api.scene.clock.now())
    assert answer == {
        "app": "shop",
        "appid": APPID,
        "kind": "access_token",
        "expires_in": 7199,
        "expires_at": "2026-11-20T10:00:00Z",
        "generation": 1795161600000000,
        "state": "fresh",
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["ETag"] == '"1795161600000000"'


async def test_expires_in_shrinks_with_time_and_is_never_rounded_up(api: Api) -> None:
    await api.scene.clock.advance(10.5)

    answer = await (await api.call("GET", TOKEN)).json()

    assert answer["expires_in"] == 7189


async def test_expires_at_is_told_by_the_hosts_clock(api: Api) -> None:
    """Readers go by theirs, which is in step with the host's."""
    api.scene.clock.jump_wall(timedelta(hours=1))

    answer = await (await api.call("GET", TOKEN)).json()

    assert answer["expires_in"] == 7199
    assert answer["expires_at"] == "2026-11-20T11:00:00Z"


@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"1", "{}"', "*"])
async def test_a_known_generation_is_not_sent_again(api: Api, tag: str) -> None:
    generation = api.keeper.current().token.generation

    response = await api.call("GET", TOKEN, headers={"If-None-Match": tag.format(generation)})

    assert response.status == 304
    assert await response.read() == b""
    assert response.headers["ETag"] == f'"{generation}"'


async def test_an_older_generation_is_answered_with_the_token(api: Api) -> None:
    response = await api.call("GET", TOKEN, headers={"If-None-Match": '"1"'})

    assert response.status == 200


async def test_text_is_the_bare_value(api: Api) -> None:
    response = await api.call("GET", TOKEN, headers={"Accept": "text/plain"})

    assert await response.text() == api.keeper.current().token.value.reveal()
    assert response.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("accept", ["application/json, text/plain, */*", "*/*", ""])
async def test_who_also_takes_json_gets_json(api: Api, accept: str) -> None:
    """JavaScript clients send the first of these with every request."""
    response = await api.call("GET", TOKEN, headers={"Accept": accept})

    assert response.headers["Content-Type"].startswith("application/json")


async def test_a_long_poll_is_answered_by_the_next_generation(api: Api) -> None:
    known = api.keeper.current().token.generation
    poll = asyncio.create_task(api.call("GET", TOKEN, params={"after": str(known), "wait": "60"}))
    await asyncio.sleep(0.05)

    await api.keeper.refresh(rejected=None, by="shopper")

    answer = await (await poll).json()
    assert answer["generation"] > known


async def test_a_long_poll_without_news_is_not_modified(api: Api) -> None:
    known = str(api.keeper.current().token.generation)

    response = await api.call("GET", TOKEN, params={"after": known, "wait": "0"})

    assert response.status == 304
    assert response.headers["ETag"] == f'"{known}"'


async def test_a_poll_that_is_behind_is_answered_at_once(api: Api) -> None:
    response = await api.call("GET", TOKEN, params={"after": "1", "wait": "60"})

    assert response.status == 200


async def test_two_hundred_cold_requests_make_one_call(make: Make) -> None:
    api = await make("token")
    api.scene.wechat.hold()
    await api.begin()
    readers = [asyncio.create_task(api.call("GET", TOKEN)) for _ in range(200)]
    await asyncio.sleep(0.3)

    api.scene.wechat.let_go()
    answers = [await (await reader).json() for reader in readers]

    assert len({answer["access_token"] for answer in answers}) == 1
    assert api.scene.calls() == 1


async def test_without_a_token_the_answer_says_why_and_when_to_come_back(make: Make) -> None:
    api = await make()
    api.scene.account.ip_whitelist = ("203.0.113.0/24",)
    await api.begin()

    response = await api.call("GET", TOKEN)

    document = await response.json()
    assert await problem(response) == (503, "not_ready")
    assert 60 <= int(response.headers["Retry-After"]) <= 66
    assert document["errcode"] == 40164
    assert document["advice"] == (
        "WeChat sees address 127.0.0.1; add it to the IP whitelist of shop, "
        "then 'tokend refresh KEY', or wait for the next try"
    )


# POST …/refresh


@pytest.mark.parametrize("by", ["token", "generation"])
async def test_two_hundred_reports_of_one_token_make_one_refresh(make: Make, by: str) -> None:
    api = await make("token")
    await api.begin()
    current = api.keeper.current().token
    rejected = current.value.reveal() if by == "token" else current.generation
    reports = (api.call("POST", REFRESH, json={"rejected": rejected}) for _ in range(200))

    answers = [await response.json() for response in await asyncio.gather(*reports)]

    assert api.scene.calls() == 2
    assert {answer["access_token"] for answer in answers} == {await api.token()}
    late = await api.call("POST", REFRESH, json={"rejected": rejected})
    assert (await late.json())["refreshed"] is False
    assert api.scene.calls() == 2


async def test_a_second_report_within_the_minute_is_told_to_wait(api: Api) -> None:
    await api.call("POST", REFRESH, json={"rejected": await api.token()})
    current = await api.token()

    response = await api.call("POST", REFRESH, json={"rejected": current})

    assert await problem(response) == (429, "refresh_limited")
    assert response.headers["Retry-After"] == "60"
    assert await api.token() == current


async def test_an_empty_object_forces(api: Api) -> None:
    before = await api.token()

    answer = await (await api.call("POST", REFRESH, json={})).json()

    assert answer["refreshed"] is True
    assert answer["access_token"] != before


async def test_a_refusal_by_wechat_is_passed_on_and_the_token_stays(api: Api) -> None:
    before = await api.token()
    api.scene.account.secret = "was reset"

    response = await api.call("POST", REFRESH, json={})

    document = await response.json()
    assert await problem(response) == (502, "upstream_refused")
    assert document["errcode"] == 40125
    assert "AppSecret of shop" in document["advice"]
    assert await api.token() == before


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        pytest.param(b"not json", "application/json", (400, "bad_request"), id="not JSON"),
        pytest.param(b"", "application/json", (400, "bad_request"), id="empty"),
        pytest.param(b"\xff\xfe", "application/json", (400, "bad_request"), id="not UTF-8"),
        pytest.param(b"[" * 8000, "application/json", (400, "bad_request"), id="nested"),
        pytest.param(b"[]", "application/json", (400, "bad_request"), id="a list"),
        pytest.param(b'{"reject":"x"}', "application/json", (400, "bad_request"), id="misspelt"),
        pytest.param(b'{"rejected":null}', "application/json", (400, "bad_request"), id="null"),
        pytest.param(b'{"rejected":true}', "application/json", (400, "bad_request"), id="bool"),
        pytest.param(b'{"rejected":1.5}', "application/json", (400, "bad_request"), id="float"),
        pytest.param(b'{"rejected":-1}', "application/json", (400, "bad_request"), id="negative"),
        pytest.param(
            b'{"rejected":1000000000000000000}', "application/json", (400, "bad_request"), id="huge"
        ),
        pytest.param(b'{"rejected":""}', "application/json", (400, "bad_request"), id="no token"),
        pytest.param(b"{}", "text/plain", (415, "unsupported_media_type"), id="not sent as JSON"),
        pytest.param(
            b'{"rejected":"' + b"x" * 9000 + b'"}',
            "application/json",
            (413, "body_too_large"),
            id="too large",
        ),
    ],
)
async def test_a_bad_body_is_refused_and_the_token_stays(
    api: Api, body: bytes, kind: str, expected: tuple[int, str]
) -> None:
    before = await api.token()

    response = await api.call("POST", REFRESH, data=body, headers={"Content-Type": kind})

    assert await problem(response) == expected
    assert await api.token() == before
    assert api.scene.calls() == 1


async def test_a_compressed_body_is_refused(api: Api) -> None:
    """A few bytes can inflate to any number."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    response = await api.call("POST", REFRESH, data=b"not gzip", headers=headers)

    assert await problem(response) == (415, "unsupported_media_type")


async def test_a_report_of_half_a_character_is_a_report_of_another_token(api: Api) -> None:
    response = await api.call(
        "POST",
        REFRESH,
        data=rb'{"rejected":"\ud800"}',
        headers={"Content-Type": "application/json"},
    )

    assert (await response.json())["refreshed"] is False


async def test_a_report_may_name_a_token_of_4096_characters(api: Api) -> None:
    response = await api.call("POST", REFRESH, json={"rejected": "x" * 4096})

    assert (await response.json())["refreshed"] is False


# Who may do what


@pytest.mark.parametrize(
    ("method", "path", "key", "expected"),
    [
        pytest.param("GET", TOKEN, "wrong", (401, "unauthorized"), id="wrong key"),
        pytest.param("GET", TOKEN, "", (401, "unauthorized"), id="empty key"),
        pytest.param("GET", TOKEN, "é" * 99, (401, "unauthorized"), id="key beyond ASCII"),
        pytest.param("GET", "/v1/apps", "wrong", (401, "unauthorized"), id="status, wrong key"),
        pytest.param("GET", "/v1/apps", READ_KEY, (403, "forbidden"), id="status, not permitted"),
        pytest.param("GET", TOKEN, BLOG_KEY, (403, "forbidden"), id="another's app"),
        pytest.param("POST", REFRESH, READ_KEY, (403, "forbidden"), id="force, reader"),
        pytest.param("GET", "/v1/apps/nope/access_token", FULL_KEY, (404, "unknown_key"), id="app"),
        pytest.param("GET", "/v1/apps/shop/nope", FULL_KEY, (404, "unknown_key"), id="kind"),
        pytest.param("GET", "/v1/nope", FULL_KEY, (404, "not_found"), id="route"),
        pytest.param("PUT", TOKEN, FULL_KEY, (405, "method_not_allowed"), id="method"),
        pytest.param("GET", f"{TOKEN}?after=x", FULL_KEY, (400, "bad_request"), id="after"),
        pytest.param("GET", f"{TOKEN}?wait=5", FULL_KEY, (400, "bad_request"), id="wait alone"),
        pytest.param(
            "GET", f"{TOKEN}?after=1&wait=61", FULL_KEY, (400, "bad_request"), id="too long a wait"
        ),
        pytest.param(
            "GET", f"{TOKEN}?after=1&after=2", FULL_KEY, (400, "bad_request"), id="after twice"
        ),
        pytest.param("GET", f"{TOKEN}?force=1", FULL_KEY, (400, "bad_request"), id="parameter"),
    ],
)
async def test_what_may_not_be_is_a_problem_with_a_code(
    api: Api, method: str, path: str, key: str, expected: tuple[int, str]
) -> None:
    body = {"json": {}} if method == "POST" else {}

    response = await api.call(method, path, key=key, **body)

    assert await problem(response) == expected


async def test_who_logs_users_in_where_that_is_not_enabled_is_told_so(api: Api) -> None:
    posted = await api.call("POST", "/v1/apps/shop/sessions", json={"code": "x"})
    read = await api.call("GET", "/v1/apps/shop/sessions/x")

    assert [posted.status, read.status] == [405, 404]
    for each in (posted, read):
        assert "login.enabled = true" in (await each.json())["advice"]


async def test_whose_body_is_too_large_is_told_how_large_it_may_be(api: Api) -> None:
    largest = b'{"rejected":"' + b"x" * (LONGEST_BODY - 15) + b'"}'

    headers = {"Content-Type": "application/json"}

    taken = await api.call("POST", REFRESH, data=largest, headers=headers)
    refused = await api.call("POST", REFRESH, data=largest + b" ", headers=headers)

    assert (taken.status, refused.status) == (200, 413)
    assert (await refused.json())["advice"] == f"send {LONGEST_BODY // 1024} KiB at most"


async def test_no_key_is_unauthorized_and_told_how(api: Api) -> None:
    response = await api.http.get(TOKEN)

    assert await problem(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_reader_may_not_report(api: Api) -> None:
    response = await api.call("POST", REFRESH, key=READ_KEY, json={"rejected": 1})

    assert await problem(response) == (403, "forbidden")


async def test_a_foreign_app_and_an_unknown_one_answer_alike(api: Api) -> None:
    """Else names could be found out by asking."""
    foreign = await api.call("GET", TOKEN, key=BLOG_KEY)
    unknown = await api.call("GET", "/v1/apps/nope/access_token", key=BLOG_KEY)

    body = (await foreign.text()).replace("shop", "nope")
    assert body == await unknown.text()


async def test_without_clients_loopback_may_read_and_report_but_not_force(make: Make) -> None:
    api = await make(clients=())
    await api.begin()

    read = await api.http.get(TOKEN)
    report = await api.http.post(REFRESH, json={"rejected": 1})
    force = await api.http.post(REFRESH, json={})

    assert (read.status, report.status) == (200, 200)
    assert await problem(force) == (403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Origin": "https://evil.example"}, 403, id="a web page"),
        pytest.param({"Host": "evil.example"}, 403, id="a rebound name"),
        pytest.param({"Host": "evil.example:8390"}, 403, id="a rebound name with a port"),
        pytest.param({"Host": "127.0.0.1.evil.example"}, 403, id="like an address"),
        pytest.param({"Host": "localhost:8390"}, 200, id="localhost"),
        pytest.param({"Host": "[::1]:8390"}, 200, id="IPv6"),
        pytest.param({"Host": "10.1.2.3"}, 200, id="IPv4"),
        pytest.param({"Host": "tokend.internal:8390"}, 200, id="a configured name"),
    ],
)
async def test_web_pages_do_not_get_in_through_a_browser_on_the_host(
    api: Api, headers: dict[str, str], status: int
) -> None:
    response = await api.call("GET", TOKEN, headers=headers)

    assert response.status == status


@pytest.fixture
async def socket_url(api: Api, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    unix = UnixSocket(path=folder / "tokend.sock", mode=0o660)
    async with (
        serving(api.app, addresses=[], unix=unix, warden=Warden(ROOM, Proxies())),
        aiohttp.ClientSession(
            "http://localhost", connector=aiohttp.UnixConnector(str(unix.path))
        ) as session,
    ):
        yield session


async def test_whoever_may_open_the_socket_may_do_everything(
    socket_url: aiohttp.ClientSession, folder: Path
) -> None:
    async with socket_url.post(REFRESH, json={}) as forced:
        answer = await forced.json()

    assert answer["refreshed"] is True
    assert (folder / "tokend.sock").stat().st_mode & 0o777 == 0o660


async def test_a_reload_says_what_came_of_it(api: Api) -> None:
    good = await api.call("POST", "/v1/reload")
    api.file.mistakes = ("apps.shop.appid: wx0: too short", "log.level: no")
    bad = await api.call("POST", "/v1/reload")

    assert (good.status, await good.json()) == (200, {"keys": 1})
    assert await problem(bad) == (409, "configuration_refused")
    refused = await bad.json()
    assert refused["detail"] == "apps.shop.appid: wx0: too short\nlog.level: no"
    assert "restart tokend for a change that takes it" in refused["advice"]


@pytest.mark.parametrize("clients", [CLIENTS[1:2], ()], ids=["a reader", "whoever is there"])
async def test_not_everybody_may_reload(make: Make, clients: tuple[Client, ...]) -> None:
    api = await make(clients=clients)

    response = await api.call("POST", "/v1/reload", key=READ_KEY)

    assert await problem(response) == (403, "forbidden")
    assert api.file.readings == 0


async def test_a_long_poll_ends_with_the_permission(make: Make) -> None:
    api = await make()
    await api.begin()
    generation = api.keeper.current().token.generation
    poll = asyncio.create_task(api.call("GET", f"{TOKEN}?after={generation}&wait=60", key=READ_KEY))
    await asyncio.sleep(0.05)

    api.access.change(CLIENTS[:1])
    await api.keeper.refresh(rejected=None, by="shopper")

    assert (await poll).status == 401


async def test_a_long_poll_gives_nothing_to_who_is_to_see_no_tokens_any_more(make: Make) -> None:
    api = await make()
    await api.begin()
    generation = api.keeper.current().token.generation
    poll = asyncio.create_task(api.call("GET", f"{TOKEN}?after={generation}&wait=60", key=READ_KEY))
    await asyncio.sleep(0.05)

    api.access.change([replace(client, sees_tokens=False) for client in CLIENTS])
    await api.keeper.refresh(rejected=None, by="x")

    assert await problem(await poll) == (403, "forbidden")


async def test_a_long_poll_ends_when_tokend_does(api: Api) -> None:
    """A client that waits must not hold up a restart; it asks again, and is held by the socket."""
    generation = api.keeper.current().token.generation
    poll = asyncio.create_task(api.call("GET", f"{TOKEN}?after={generation}&wait=60"))
    await asyncio.sleep(0.05)

    await api.app.shutdown()

    assert (await poll).status == 304


# How it is


async def test_the_status_shows_every_key_and_no_value(api: Api) -> None:
    response = await api.call("GET", "/v1/apps")

    assert json.loads(await response.text()) == {
        "keys": [
            {
                "app": "shop",
                "appid": APPID,
                "kind": "access_token",
                "state": "fresh",
                "generation": 1795161600000000,
                "expires_in": 7199,
                "expires_at": "2026-11-20T10:00:00Z",
                "refreshing": False,
                "refreshing_elsewhere": None,
                "next_refresh_in": 6917,
                "next_refresh_at": "2026-11-20T09:55:17Z",
                "failures": 0,
                "error": None,
                "record_trouble": None,
            }
        ],
        "next": None,
        "configuration_mistakes": [],
        "store_trouble": None,
    }


async def test_the_status_says_what_to_do_about_a_failure(make: Make) -> None:
    api = await make()
    api.scene.account.frozen = True
    await api.begin()

    (key,) = (await (await api.call("GET", "/v1/apps")).json())["keys"]

    assert key["state"] == "missing"
    assert key["failures"] == 1
    assert key["error"]["errcode"] == 40243
    assert key["error"]["advice"] == (
        "the AppSecret of shop is frozen; unfreeze it in WeChat's console, "
        "then 'tokend refresh KEY', or wait for the next try"
    )


async def test_so_it_does_where_wechat_is_not_reached(make: Make) -> None:
    api = await make()
    away = UpstreamUnreachable("https://api.weixin.qq.com: Connection refused")
    api.scene.wechat.troubles.append(away)
    await api.begin()

    (key,) = (await (await api.call("GET", "/v1/apps")).json())["keys"]

    assert key["error"] == {
        "message": str(away),
        "advice": remedy(away).en,
        "advice_zh": remedy(away).zh,
    }


async def test_a_client_sees_the_status_of_its_apps_only(api: Api) -> None:
    answer = await (await api.call("GET", "/v1/apps", key=BLOG_KEY)).json()

    assert answer == {"keys": [], "next": None, "configuration_mistakes": [], "store_trouble": None}


async def test_ready_means_that_every_key_can_be_served(make: Make) -> None:
    api = await make()

    before = await api.http.get("/readyz")
    await api.begin()
    after = await api.http.get("/readyz")

    assert before.status == 503
    assert await before.json() == {
        "ready": False,
        "not_ready": {"shop/access_token": "missing"},
        "not_ready_keys": 1,
    }
    assert after.status == 200
    assert await after.json() == {"ready": True, "not_ready": {}, "not_ready_keys": 0}


async def test_alive_means_that_the_process_answers(make: Make) -> None:
    api = await make()

    response = await api.http.get("/healthz")

    assert response.status == 200


async def test_a_bug_in_a_handler_is_an_internal_error_that_tells_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The log says where it is, and no more."""
    api = await make()
    await api.begin()

    def fail() -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(type(api.keeper), "current", lambda _: fail())
    with (tmp_path / "log").open("w") as stream, logging_to(stream):
        response = await api.call("GET", TOKEN)

    assert await problem(response) == (500, "internal_error")
    told = (tmp_path / "log").read_text()
    assert "request_crashed" in told
    assert "RuntimeError" in told
    assert "RuntimeError: canary" not in told
    assert "canary" not in await response.text()
