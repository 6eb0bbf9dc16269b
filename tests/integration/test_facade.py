"""WeChat's own routes, as SDKs use them: another base URL, a client key for a secret."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from aiohttp.test_utils import make_mocked_request
from kit.again import asked_again
from kit.clock import settle
from kit.house import BLOG, SHOP, House, key
from kit.office import CORPID, STOCK
from kit.served import connected, said, served

from tokend.api.room import Room
from tokend.api.signature import page_url
from tokend.facade.errcodes import Refused
from tokend.model import Secret
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Make = Callable[..., Coroutine[None, None, House]]


@pytest.fixture(params=["asked once", "asked again"])
async def make(request: pytest.FixtureRequest, aiohttp_client, folder: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make_house(**settings: str) -> House:
            house = House(folder, **settings)
            house.http = (
                await aiohttp_client(house.app)
                if request.param == "asked once"
                else await stack.enter_async_context(asked_again(house.app, folder))
            )
            await house.begin()
            return house

        yield make_house


@pytest.fixture
async def house(make: Make) -> House:
    return await make()


def token_query(client: str, appid: str = SHOP) -> dict[str, str]:
    return {"grant_type": "client_credential", "appid": appid, "secret": key(client)}


def refusal(answer: dict[str, Any]) -> tuple[int, set[str]]:
    """The errcode, and what else is said beside the errmsg."""
    assert answer["errmsg"].endswith("(tokend)")
    return answer["errcode"], answer.keys() - {"errcode", "errmsg"}


# Tokens


async def test_a_token_comes_in_wechats_shape(house: House) -> None:
    answer = await house.get("/cgi-bin/token", **token_query("shopper"))

    assert answer == {"access_token": house.token("shop/access_token"), "expires_in": 7197}
    assert house.is_valid(answer["access_token"])


async def test_a_stable_token_comes_in_wechats_shape(house: House) -> None:
    answer = await house.post("/cgi-bin/stable_token", token_query("blogger", BLOG))

    assert answer["access_token"] == house.token("blog/access_token")


async def test_wecoms_token_comes_in_wecoms_shape(house: House) -> None:
    answer = await house.get("/cgi-bin/gettoken", corpid=CORPID, corpsecret=key("seller"))

    assert answer == {
        "errcode": 0,
        "errmsg": "ok",
        "access_token": house.token("sales/access_token"),
        "expires_in": 7197,
    }


TOKEN, STABLE, GETTOKEN = "/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/gettoken"
GOOD = token_query("shopper")
CORP = {"corpid": CORPID, "corpsecret": key("seller")}


@pytest.mark.parametrize(
    ("method", "path", "given", "errcode"),
    [
        pytest.param("GET", TOKEN, GOOD | {"secret": "wrong"}, 40125, id="a wrong key"),
        pytest.param("GET", TOKEN, GOOD | {"appid": "wx0"}, 40013, id="an unknown appid"),
        pytest.param("GET", TOKEN, GOOD | {"appid": BLOG}, 40013, id="another's app"),
        pytest.param(
            "GET", TOKEN, token_query("seller", f"{CORPID}/1000002"), 40013, id="WeCom's app",
        ),
        pytest.param("GET", TOKEN, token_query("onlooker"), 48001, id="no permission"),
        pytest.param("GET", TOKEN, GOOD | {"grant_type": "x"}, 40002, id="a wrong grant type"),
        pytest.param("GET", TOKEN, {**GOOD, "appid": ""}, 41002, id="no appid"),
        pytest.param("GET", TOKEN, {**GOOD, "secret": ""}, 41004, id="no key"),
        pytest.param(
            "GET", TOKEN, {"appid": "wx0", "secret": "x"} | {"grant_type": "client_credential"},
            40125, id="an unknown appid and a wrong key",
        ),
        pytest.param("POST", STABLE, GOOD | {"secret": "wrong"}, 40125, id="stable: a wrong key"),
        pytest.param("POST", STABLE, GOOD | {"appid": BLOG}, 40013, id="stable: another's app"),
        pytest.param("POST", STABLE, [], 47001, id="stable: no object"),
        pytest.param("POST", STABLE, {**GOOD, "appid": 7}, 41002, id="stable: a number"),
        pytest.param("GET", STABLE, GOOD, 43002, id="stable: not by POST"),
        pytest.param("GET", GETTOKEN, CORP | {"corpsecret": "x"}, 40001, id="WeCom: a wrong key"),
        pytest.param("GET", GETTOKEN, CORP | {"corpid": "ww0"}, 40013, id="WeCom: unknown corp"),
        pytest.param("GET", GETTOKEN, CORP | {"corpid": SHOP}, 40013, id="WeCom: no corp at all"),
        pytest.param(
            "GET", GETTOKEN, CORP | {"corpsecret": key("shopper")}, 40013, id="WeCom: no such app",
        ),
        pytest.param(
            "GET", GETTOKEN, CORP | {"corpsecret": key("everybody")}, 40013, id="WeCom: two apps",
        ),
        pytest.param("GET", GETTOKEN, {"corpid": CORPID}, 41004, id="WeCom: no key"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_with_wechats_errcode(
    house: House, method: str, path: str, given: Any, errcode: int
) -> None:
    if method == "GET":
        answer = await house.get(path, **given)
    else:
        answer = await house.post(path, given)

    assert refusal(answer) == (errcode, set())


async def test_a_parameter_that_stands_twice_is_refused(house: House) -> None:
    async with house.http.get(f"{TOKEN}?appid={SHOP}&appid={BLOG}", params=GOOD) as response:
        answer = await response.json()

    assert refusal(answer) == (47001, set())


async def test_a_token_without_life_is_an_error_and_not_given(house: House) -> None:
    house.wechat.coming.extend(["unreachable"] * 100)
    await house.clock.advance(7200)

    answer = await house.get("/cgi-bin/token", **GOOD)

    assert refusal(answer) == (-1, set())


async def test_bodies_that_strangers_keep_back_keep_nobody_out(house: House, folder: Path) -> None:
    """The key stands in them: nobody knows who sends them."""
    head = f"POST {STABLE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
    query = urlencode(GOOD)
    asked = f"GET {TOKEN}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with (
        asyncio.timeout(30),
        served(house.app, folder, room=Room(tcp=4, per_address=4)) as where,
        AsyncExitStack() as strangers,
    ):
        for _ in range(12):
            _, writer = await strangers.enter_async_context(connected(where.tcp))
            writer.write(head)
            await settle()

        heard = await said(where.tcp, asked.encode())

    assert house.token("shop/access_token").encode() in heard


# Rejections


@pytest.mark.parametrize("make", ["asked once"], indirect=True)
async def test_an_sdk_that_asks_again_after_a_rejection_gets_the_new_token(house: House) -> None:
    """All that most of them do about a 40001 is to fetch once more."""
    before = await house.get("/cgi-bin/token", **GOOD)
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    after = await house.get("/cgi-bin/token", **GOOD)

    assert not house.is_valid(before["access_token"])
    assert house.is_valid(after["access_token"])


async def test_so_does_one_that_asks_by_stable_token(house: House) -> None:
    await house.post(STABLE, GOOD)
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    after = await house.post(STABLE, GOOD | {"force_refresh": False})

    assert house.is_valid(after["access_token"])


async def test_asking_again_and_again_asks_wechat_now_and_then(house: House) -> None:
    calls = house.world.calls(SHOP, "stable_token")

    for _ in range(500):
        await house.get("/cgi-bin/token", **GOOD)

    assert house.world.calls(SHOP, "stable_token") == calls + 1


async def test_asking_again_for_a_classic_token_never_costs_one(house: House) -> None:
    calls = house.world.calls(BLOG, "token")

    for _ in range(20):
        await house.get("/cgi-bin/token", **token_query("blogger", BLOG))

    assert house.world.calls(BLOG, "token") == calls


async def test_force_refresh_reports_the_token_that_was_given_last(house: House) -> None:
    before = await house.post(STABLE, GOOD)

    after = await house.post(STABLE, GOOD | {"force_refresh": True})

    assert after["access_token"] != before["access_token"]
    assert after["access_token"] == house.token("shop/access_token")


async def test_the_processes_of_a_client_do_not_condemn_each_others_new_token(house: House) -> None:
    """Each has met the end of the first token, and says so without naming it."""
    await house.post(STABLE, GOOD)

    answers = []
    for _ in range(8):
        answers.append((await house.post(STABLE, GOOD | {"force_refresh": True}))["access_token"])
        await house.live(61)

    assert answers[:5] == answers[:1] * 5
    assert len(set(answers)) == 2


async def test_force_refresh_without_a_token_to_report_is_a_plain_get(house: House) -> None:
    before = house.token("shop/access_token")

    answer = await house.post(STABLE, GOOD | {"force_refresh": True})

    assert answer["access_token"] == before


async def test_force_refresh_of_a_token_from_another_node_finds_the_new_one(house: House) -> None:
    """Or from before a restart: nobody here knows which one is meant."""
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    answer = await house.post(STABLE, GOOD | {"force_refresh": True})

    assert house.is_valid(answer["access_token"])


async def test_nothing_is_told_of_an_app_that_is_not_the_clients(house: House) -> None:
    house.wechat.coming.extend(["refused"] * 100)
    await house.live(7300, step=50)

    answer = await house.get(TOKEN, **token_query("blogger", SHOP))

    assert refusal(answer) == (40013, set())
    assert "40164" not in str(answer)


@pytest.mark.parametrize(
    ("client", "foreign", "unknown"),
    [
        pytest.param("shopper", {"appid": BLOG}, {"appid": "wx0"}, id="an account"),
        pytest.param("shopper", {"corpid": CORPID}, {"corpid": "ww0"}, id="a corp"),
        pytest.param(
            "seller", {"appid": f"{CORPID}/{STOCK}"}, {"appid": f"{CORPID}/1"}, id="an agent"
        ),
    ],
)
@pytest.mark.parametrize("force", [False, True])
async def test_a_foreign_account_and_an_unknown_one_answer_alike(
    house: House, client: str, foreign: dict[str, str], unknown: dict[str, str], *, force: bool
) -> None:
    given = {**token_query(client), "corpsecret": key(client)}

    for path in (TOKEN, GETTOKEN):
        answers = [await house.get(path, **given | named) for named in (foreign, unknown)]
        assert answers[0] == answers[1]
    asked = [given | named | {"force_refresh": force} for named in (foreign, unknown)]
    answers = [await house.post(STABLE, each) for each in asked]

    assert answers[0] == answers[1]


async def test_a_token_is_known_as_soon_as_it_is_given(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its saving may take a while."""
    keeper = house.fleet.keepers["shop/access_token"]
    saved, save = asyncio.Event(), LocalStore.save

    async def save_slowly(*given: Any) -> Any:
        await saved.wait()
        return await save(*given)

    monkeypatch.setattr(LocalStore, "save", save_slowly)
    refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="shopper"))
    await settle()
    given = await house.get(TOKEN, **GOOD)

    answer = await house.get(TICKET, access_token=str(given["access_token"]), type="jsapi")
    saved.set()
    await refreshing

    assert answer["errcode"] == 0


async def test_force_refresh_past_the_guard_rails_gives_the_current_token(house: House) -> None:
    await house.post(STABLE, GOOD)
    first = await house.post(STABLE, GOOD | {"force_refresh": True})
    calls = house.world.calls(SHOP, "stable_token")

    answers = [await house.post(STABLE, GOOD | {"force_refresh": True}) for _ in range(50)]

    assert {answer["access_token"] for answer in answers} == {first["access_token"]}
    assert house.world.calls(SHOP, "stable_token") <= calls + 2


async def test_force_refresh_takes_the_permission_to_report(house: House) -> None:
    everybody = token_query("everybody")
    await house.post(STABLE, everybody)

    answer = await house.post(STABLE, everybody | {"force_refresh": True})

    assert refusal(answer) == (48001, set())


# Tickets


@pytest.mark.parametrize("by", ["token", "key"])
@pytest.mark.parametrize("kind", ["jsapi", "wx_card"])
async def test_a_ticket_is_given_for_the_token_or_the_key(house: House, by: str, kind: str) -> None:
    given = house.token("shop/access_token") if by == "token" else key("shopper")

    answer = await house.get("/cgi-bin/ticket/getticket", access_token=given, type=kind)

    assert answer == {
        "errcode": 0,
        "errmsg": "ok",
        "ticket": house.token(f"shop/{kind}_ticket"),
        "expires_in": 7197,
    }


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        pytest.param("/cgi-bin/get_jsapi_ticket", {}, "sales/jsapi_ticket", id="corp"),
        pytest.param(
            "/cgi-bin/ticket/get", {"type": "agent_config"}, "sales/agent_config_ticket", id="agent"
        ),
    ],
)
async def test_wecoms_tickets_are_given(
    house: House, path: str, query: dict[str, str], name: str
) -> None:
    answer = await house.get(path, access_token=house.token("sales/access_token"), **query)

    assert (answer["errcode"], answer["ticket"]) == (0, house.token(name))


TICKET = "/cgi-bin/ticket/getticket"


@pytest.mark.parametrize(
    ("given", "kind", "errcode"),
    [
        pytest.param("nonsense", "jsapi", 40001, id="neither token nor key"),
        pytest.param("", "jsapi", 41001, id="nothing"),
        pytest.param(key("shopper"), "beer_card", 40097, id="an unknown type"),
        pytest.param(key("everybody"), "jsapi", 40001, id="a key for many apps"),
        pytest.param(key("blogger"), "jsapi", 48001, id="a kind that is not kept"),
        pytest.param(key("blind"), "jsapi", 48001, id="a client that never sees any"),
    ],
)
async def test_what_is_wrong_with_a_ticket_is_said_with_wechats_errcode(
    house: House, given: str, kind: str, errcode: int
) -> None:
    answer = await house.get(TICKET, access_token=given, type=kind)

    assert refusal(answer) == (errcode, set())


async def test_a_token_that_wechat_honours_no_longer_is_nobodys(house: House) -> None:
    first = house.token("shop/access_token")
    await house.fleet.keepers["shop/access_token"].refresh(rejected=None, by="shopper")
    await house.clock.advance(301)

    answer = await house.get(TICKET, access_token=first, type="jsapi")

    assert refusal(answer) == (40001, set())


async def test_the_token_before_the_current_one_still_tells_who_calls(house: House) -> None:
    first = house.token("shop/access_token")
    await house.clock.advance(61)
    await house.fleet.keepers["shop/access_token"].refresh(rejected=None, by="shopper")

    answer = await house.get(TICKET, access_token=first, type="jsapi")

    assert answer["ticket"] == house.token("shop/jsapi_ticket")


# Handles


async def test_a_client_that_never_sees_tokens_gets_a_handle(house: House) -> None:
    answer = await house.get("/cgi-bin/token", **token_query("blind"))

    handle = str(answer["access_token"])
    assert handle != house.token("shop/access_token")
    assert not house.is_valid(handle)
    assert [caller.client.name for caller in named(house, handle)] == ["blind"]


@pytest.mark.parametrize(
    "path", ["/v1/apps/shop/access_token", "/v1/apps/shop/jsapi_ticket"], ids=["token", "ticket"]
)
async def test_a_client_that_never_sees_tokens_gets_none_by_another_way(
    house: House, path: str
) -> None:
    headers = {"Authorization": f"Bearer {key('blind')}"}

    async with house.http.get(path, headers=headers) as read:
        assert read.status == 403
    body = {"rejected": house.token("shop/access_token")}
    async with house.http.post(f"{path}/refresh", headers=headers, json=body) as reported:
        assert reported.status == 403


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda handle: f"{handle[:-9]}AAAA{handle[-5:]}", id="another mac"),
        pytest.param(lambda handle: handle.replace("h1.", "h2."), id="another kind"),
        pytest.param(lambda handle: handle.rpartition(".")[0], id="no mac"),
        pytest.param(lambda handle: "h1." + "W10." + handle.rpartition(".")[2], id="no content"),
        pytest.param(lambda _: "h1..", id="nothing"),
        pytest.param(lambda _: "h1.\ud800.x", id="no characters"),
    ],
)
async def test_a_handle_that_was_tampered_with_is_none(
    house: House, spoil: Callable[[str], str]
) -> None:
    handle = str((await house.get("/cgi-bin/token", **token_query("blind")))["access_token"])

    assert named(house, spoil(handle)) == []


async def test_a_handle_ends_with_the_token_it_stands_for(house: House) -> None:
    handle = str((await house.get("/cgi-bin/token", **token_query("blind")))["access_token"])
    await house.clock.advance(7200)

    assert named(house, handle) == []


def named(house: House, given: str) -> list[Any]:
    """Whoever that is; nobody, if it is refused."""
    try:
        return list(house.callers.by_token(make_mocked_request("GET", "/"), Secret(given)))
    except Refused:
        return []


# Two apps and two clients


async def test_no_mix_of_parameters_gives_another_clients_app(house: House) -> None:
    """Everything a caller can send of its own, at every place where somebody else's could come."""
    secrets = {name: house.token(name) for name in house.fleet.keepers}
    theirs = {
        "shopper": [value for name, value in secrets.items() if not name.startswith("shop/")],
        "blogger": [value for name, value in secrets.items() if not name.startswith("blog/")],
        "seller": [value for name, value in secrets.items() if not name.startswith("sales/")],
        "blind": list(secrets.values()),
        "onlooker": list(secrets.values()),
    }
    apps = [SHOP, BLOG, CORPID, f"{CORPID}/1000002", f"{CORPID}/1000003", "*", ""]
    paths = [TOKEN, TICKET, GETTOKEN, "/cgi-bin/get_jsapi_ticket", "/cgi-bin/ticket/get"]
    paths += [f"/v1/apps/{name}" for name in house.fleet.keepers]

    served = set()
    for client, forbidden in theirs.items():
        for path in paths:
            for appid in apps:
                for kind in ("jsapi", "wx_card", "agent_config"):
                    query = {
                        "grant_type": "client_credential", "appid": appid, "corpid": appid,
                        "secret": key(client), "corpsecret": key(client),
                        "access_token": key(client), "type": kind,
                    }  # fmt: skip
                    headers = {"Authorization": f"Bearer {key(client)}"}
                    async with house.http.get(path, params=query, headers=headers) as response:
                        said = await response.text()
                    async with house.http.post(STABLE, json=query | {"force_refresh": True}) as got:
                        said += await got.text()
                    leaked = [value for value in forbidden if value in said]
                    assert leaked == [], (client, path, appid)
                    served |= {client for value in secrets.values() if value in said}
                    await house.clock.advance(0.5)  # a held lease runs out
    assert served == {"shopper", "blogger", "seller"}


@pytest.mark.parametrize(
    ("client", "mine"), [("shopper", "shop"), ("blogger", "blog"), ("seller", "sales")]
)
async def test_nobody_reports_the_token_of_anothers_app(
    house: House, client: str, mine: str
) -> None:
    headers = {"Authorization": f"Bearer {key(client)}"}
    outcomes = {}
    for name in house.fleet.keepers:
        body = {"rejected": house.token(name)}
        async with house.http.post(f"/v1/apps/{name}/refresh", json=body, headers=headers) as done:
            outcomes[name] = done.status

    forbidden = {name for name, status in outcomes.items() if status == 403}
    assert forbidden == {name for name in house.fleet.keepers if not name.startswith(f"{mine}/")}


# Signatures


async def test_a_page_is_signed_without_the_ticket_being_given(house: House) -> None:
    headers = {"Authorization": f"Bearer {key('blind')}"}
    body = {"url": "https://shop.example/page?x=1#part"}

    async with house.http.post(
        "/v1/apps/shop/jsapi_signature", json=body, headers=headers
    ) as response:
        answer = await response.json()

    assert answer.keys() == {"appId", "timestamp", "nonceStr", "signature"}
    assert answer["appId"] == SHOP
    assert abs(answer["timestamp"] - house.clock.wall().timestamp()) < 1
    assert answer["signature"] == expected(house, answer, "https://shop.example/page?x=1")


def expected(house: House, answer: dict[str, Any], url: str) -> str:
    ticket = house.token("shop/jsapi_ticket")
    text = (
        f"jsapi_ticket={ticket}&noncestr={answer['nonceStr']}"
        f"&timestamp={answer['timestamp']}&url={url}"
    )
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324, WeChat's choice


@pytest.mark.parametrize(
    ("url", "signs"),
    [
        ("https://a.example/?#/home", "https://a.example/?"),
        ("https://a.example/;x?y=#z#", "https://a.example/;x?y="),
        ("http://a.example", "http://a.example"),
    ],
)
def test_a_page_is_signed_as_its_browser_writes_it(url: str, signs: str) -> None:
    assert page_url(url) == signs


@pytest.mark.parametrize(
    ("client", "body", "status"),
    [
        pytest.param("shopper", {"url": "ftp://shop.example/"}, 400, id="no page"),
        pytest.param("shopper", {"url": "https:///page"}, 400, id="no host"),
        pytest.param("shopper", {"url": "https://shop.example/" + "x" * 5000}, 400, id="endless"),
        pytest.param("shopper", {"url": "https://shop.example/\n"}, 400, id="a line break"),
        pytest.param("shopper", {}, 400, id="nothing"),
        pytest.param("shopper", {"url": "https://a.example", "kind": "access_token"}, 400,
                     id="not by a ticket"),
        pytest.param("shopper", {"url": "https://a.example", "x": 1}, 400, id="more"),
        pytest.param("everybody", {"url": "https://a.example"}, 403, id="no permission"),
        pytest.param("blogger", {"url": "https://a.example"}, 403, id="another's app"),
    ],
)  # fmt: skip
async def test_what_cannot_be_signed_is_refused(
    house: House, client: str, body: dict[str, str], status: int
) -> None:
    headers = {"Authorization": f"Bearer {key(client)}"}

    async with house.http.post(
        "/v1/apps/shop/jsapi_signature", json=body, headers=headers
    ) as response:
        assert response.status == status


# Without clients, whoever is on the host


async def test_without_clients_any_key_does(make: Make) -> None:
    house = await make(clients="")

    answer = await house.get("/cgi-bin/token", **token_query("whoever"))

    assert answer["access_token"] == house.token("shop/access_token")
