"""Mini-program login over HTTP: each route, with WeChat's rules behind it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from kit.clock import settle
from kit.house import BLOG, CLIENTS, SHOP, House, key
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.simulator.phone import Phone

MORE_CLIENTS = f"""{CLIENTS}
[clients.business]
apps = ["shop", "sales"]
can = ["login"]
[clients.blogs]
apps = ["blog"]
can = ["login"]
[clients.all]
apps = ["*"]
can = ["login"]
"""
DAY = 86_400


class Hall(House):
    """*phone* is ann's, who uses the mini-program shop."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clients=MORE_CLIENTS)
        self.lines: list[dict[str, Any]] = []

    @property
    def phone(self) -> Phone:
        return self.phone_of("ann")

    def phone_of(self, user: str, appid: str = SHOP) -> Phone:
        return self.world.phone(appid, user)

    def code(self) -> str:
        return self.phone.login(self.clock.now())

    async def ask(
        self, method: str, path: str, body: object = None, *, client: str = "business"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {key(client)}"}
        path = f"/v1/apps/{path}"
        async with self.http.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json() if response.status != 204 else {}

    async def good(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        status, answer = await self.ask(method, path, body)
        assert status in {200, 204}, answer
        return answer

    async def refusal(self, method: str, path: str, body: object = None, **more: str) -> str:
        status, answer = await self.ask(method, path, body, **more)
        assert status >= 400, answer
        return answer["code"]

    async def login(self, code: str = "") -> str:
        """The path of a session."""
        begun = await self.good("POST", "shop/sessions", {"code": code or self.code()})
        return f"shop/sessions/{begun['session']}"

    async def all_are_in(self, most: int) -> None:
        """So many requests have come, and wait."""
        async with asyncio.timeout(20):
            while sum(each._current_request is not None for each in self._connections) < most:  # noqa: SLF001, aiohttp tells in no other way
                await asyncio.sleep(0.01)
        await settle()

    @property
    def _connections(self) -> list[Any]:
        return self.http.server.handler.connections

    def calls(self, endpoint: str = "jscode2session") -> int:
        return self.world.calls(SHOP, endpoint)


@pytest.fixture
async def hall(aiohttp_client, folder: Path) -> AsyncIterator[Hall]:
    hall = Hall(folder)
    hall.http = await aiohttp_client(hall.app)
    with capture_logs() as hall.lines:
        await hall.begin()
        yield hall


# Logging in


async def test_a_code_becomes_a_session(hall: Hall) -> None:
    begun = await hall.good("POST", "shop/sessions", {"code": hall.code()})

    assert begun == {
        "session": begun["session"],
        "openid": hall.phone.openid,
        "unionid": hall.phone.unionid,
        "new": True,
        "expires_in": 30 * DAY,
    }


async def test_a_session_says_whose_it_is(hall: Hall) -> None:
    session = await hall.login()
    await hall.clock.advance(DAY)

    assert await hall.good("GET", session) == {
        "openid": hall.phone.openid,
        "unionid": hall.phone.unionid,
        "age": DAY,
        "expires_in": 29 * DAY,
    }


async def test_what_wechat_does_not_tell_is_not_there(hall: Hall) -> None:
    hall.phone.bound = False

    begun = await hall.good("POST", "shop/sessions", {"code": hall.code()})

    assert "unionid" not in begun
    assert "user" not in begun


async def test_of_fifty_with_one_code_at_once_all_get_the_session_of_one_exchange(
    hall: Hall,
) -> None:
    body = {"code": hall.code()}
    hall.wechat.hold()
    asked = [asyncio.create_task(hall.good("POST", "shop/sessions", body)) for _ in range(50)]
    await hall.all_are_in(50)
    hall.wechat.let_go()

    begun = await asyncio.gather(*asked)

    assert hall.calls() == 1
    assert len({each["session"] for each in begun}) == 1


async def test_a_caller_who_leaves_does_not_end_the_login_of_others(hall: Hall) -> None:
    code = hall.code()
    hall.wechat.hold()
    first, second = (
        asyncio.create_task(hall.good("POST", "shop/sessions", {"code": code})) for _ in ".."
    )
    await hall.all_are_in(2)
    first.cancel()
    await settle()
    hall.wechat.let_go()

    assert (await second)["openid"] == hall.phone.openid
    assert hall.calls() == 1


async def test_a_code_is_good_once(hall: Hall) -> None:
    code = hall.code()
    await hall.login(code)

    assert await hall.refusal("POST", "shop/sessions", {"code": code}) == "code_used"


async def test_a_code_is_good_for_five_minutes(hall: Hall) -> None:
    code = hall.code()
    await hall.clock.advance(301)

    assert await hall.refusal("POST", "shop/sessions", {"code": code}) == "code_invalid"


async def test_a_code_of_another_app_is_none(hall: Hall) -> None:
    code = hall.phone_of("ann", BLOG).login(hall.clock.now())

    assert await hall.refusal("POST", "shop/sessions", {"code": code}) == "code_invalid"


async def test_a_user_at_risk_is_refused(hall: Hall) -> None:
    hall.phone.risky = True

    status, answer = await hall.ask("POST", "shop/sessions", {"code": hall.code()})

    assert (status, answer["code"], answer["errcode"]) == (403, "user_blocked", 40226)


async def test_who_logs_in_all_the_time_is_told_to_wait_a_minute(hall: Hall) -> None:
    for _ in range(100):
        await hall.login()

    status, answer = await hall.ask("POST", "shop/sessions", {"code": hall.code()})

    assert (status, answer["code"], answer["retry_after"]) == (429, "login_limited", 60)


@pytest.mark.parametrize(("busy", "status"), [(2, 200), (3, 503)])
async def test_wechat_is_asked_twice_more_where_it_is_busy(
    hall: Hall, busy: int, status: int
) -> None:
    hall.wechat.coming.extend(["busy"] * busy)

    asked = asyncio.create_task(hall.ask("POST", "shop/sessions", {"code": hall.code()}))
    async with asyncio.timeout(20):
        while not asked.done():
            await asyncio.sleep(0.01)
            await hall.clock.advance(1)
    got, answer = await asked

    assert got == status
    assert answer.get("code") == ("wechat_busy" if status == 503 else None)
    assert answer.get("retry_after") == (1 if status == 503 else None)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("unreachable", "upstream_away"),
        ("unanswered", "upstream_away"),
        ("refused", "upstream_refused"),
    ],
)
async def test_a_login_that_wechat_does_not_answer_fails_and_a_new_code_works(
    hall: Hall, trouble: str, code: str
) -> None:
    hall.wechat.coming.append(trouble)

    assert await hall.refusal("POST", "shop/sessions", {"code": hall.code()}) == code
    assert await hall.good("GET", await hall.login())


async def test_what_keeps_users_out_is_told_once_a_minute_with_what_to_do(hall: Hall) -> None:
    def told() -> list[tuple[str, str]]:
        told = [line for line in hall.lines if line["event"] == "login_call_failed"]
        return [(line["call"], line["error"].partition(":")[0]) for line in told]

    refused = ("/sns/jscode2session", "errcode 40164")
    for trouble in ("refused", "refused", "unreachable", "refused"):
        hall.wechat.coming.append(trouble)
        await hall.refusal("POST", "shop/sessions", {"code": hall.code()})
    first = told()
    await hall.clock.advance(60)
    hall.wechat.coming.append("refused")
    await hall.refusal("POST", "shop/sessions", {"code": hall.code()})

    assert first == [refused, ("/sns/jscode2session", "unreachable")]
    assert told() == [*first, refused]
    (line, *_) = [line for line in hall.lines if line["event"] == "login_call_failed"]
    assert (line["app"], line["log_level"], "whitelist" in line["advice"]) == (
        "shop",
        "warning",
        True,
    )


async def test_what_a_user_does_is_not_told_to_the_operator(hall: Hall) -> None:
    code = hall.code()
    await hall.login(code)
    for bad in (code, "none"):
        await hall.refusal("POST", "shop/sessions", {"code": bad})
    hall.phone.risky = True
    await hall.refusal("POST", "shop/sessions", {"code": hall.code()})

    assert not [line for line in hall.lines if line["event"] == "login_call_failed"]


async def test_whose_code_may_be_used_up_is_told_to_come_with_a_new_one(hall: Hall) -> None:
    hall.wechat.coming.append("unanswered")

    _, answer = await hall.ask("POST", "shop/sessions", {"code": hall.code()})

    assert (answer["code"], "a new code" in answer["advice"]) == ("upstream_away", True)


async def test_no_more_than_so_many_logins_wait_for_wechat_at_once(hall: Hall) -> None:
    hall.wechat.hold()
    codes = [hall.phone_of(f"user-{n}").login(hall.clock.now()) for n in range(102)]
    headers = {"Authorization": f"Bearer {key('business')}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def login(code: str) -> int:
            url = hall.http.make_url("/v1/apps/shop/sessions")
            async with session.post(url, json={"code": code}, headers=headers) as response:
                return response.status

        asked = [asyncio.create_task(login(code)) for code in codes]
        async with asyncio.timeout(10):
            while sum(task.done() for task in asked) < 2:
                await asyncio.sleep(0.05)
        hall.wechat.let_go()
        statuses = await asyncio.gather(*asked)

    assert Counter(statuses) == {200: 100, 503: 2}


async def test_whose_permission_is_taken_away_meanwhile_gets_no_session(hall: Hall) -> None:
    hall.wechat.hold()
    asked = asyncio.create_task(hall.ask("POST", "shop/sessions", {"code": hall.code()}))
    await hall.all_are_in(1)

    hall.access.change([hall.config.clients["blogs"]])
    hall.wechat.let_go()

    status, answer = await asked
    assert (status, answer["code"]) == (401, "unauthorized")


async def test_agents_of_wecom_are_no_mini_programs(hall: Hall) -> None:
    assert await hall.refusal("POST", "sales/sessions", {"code": "x"}) == "unknown_key"
    assert await hall.refusal("POST", "none/sessions", {"code": "x"}, client="all") == "unknown_key"
    assert await hall.refusal("POST", "blog/sessions", {"code": "x"}) == "forbidden"


# Whose it is


async def test_a_session_of_one_app_is_unknown_to_another(hall: Hall) -> None:
    id_ = (await hall.login()).rpartition("/")[2]

    for client in ("blogs", "all"):
        refusal = await hall.refusal("GET", f"blog/sessions/{id_}", client=client)
        assert refusal == "unknown_session"


async def test_a_user_is_bound_and_known_again(hall: Hall) -> None:
    session, openid = await hall.login(), hall.phone.openid

    bound = await hall.good("PUT", f"{session}/user", {"user": "user-7"})

    assert bound == {
        "openid": openid,
        "unionid": hall.phone.unionid,
        "user": "user-7",
        "since": int(hall.clock.wall().timestamp()),
    }
    assert await hall.good("GET", f"shop/users/{openid}") == bound
    assert (await hall.good("GET", session))["user"] == "user-7"
    again = await hall.good("POST", "shop/sessions", {"code": hall.code()})
    assert (again["user"], again["new"]) == ("user-7", False)


async def test_logout(hall: Hall) -> None:
    one, other = await hall.login(), await hall.login()

    await hall.good("DELETE", one)

    assert await hall.refusal("GET", one) == "unknown_session"
    assert await hall.good("GET", other)
    await hall.good("DELETE", one)


async def test_logout_everywhere(hall: Hall) -> None:
    sessions = [await hall.login() for _ in range(3)]

    await hall.good("DELETE", f"shop/users/{hall.phone.openid}/sessions")

    assert [await hall.refusal("GET", each) for each in sessions] == ["unknown_session"] * 3
    assert await hall.good("GET", f"shop/users/{hall.phone.openid}")


async def test_a_user_is_forgotten(hall: Hall) -> None:
    session, user = await hall.login(), f"shop/users/{hall.phone.openid}"

    await hall.good("DELETE", user)

    assert await hall.refusal("GET", session) == "unknown_session"
    assert await hall.refusal("GET", user) == "unknown_user"
    assert await hall.refusal("DELETE", f"{user}/sessions") == "unknown_user"
    await hall.good("DELETE", user)


# What a phone sends


def picked(profile: dict[str, str], *names: str) -> dict[str, str]:
    return {name: profile[name] for name in names}


async def test_what_the_phone_signed_is_verified(hall: Hall) -> None:
    session = await hall.login()
    signed = picked(hall.phone.profile(hall.clock.now()), "rawData", "signature")

    assert (await hall.good("POST", f"{session}/verify", signed))["openid"] == hall.phone.openid
    forged = {**signed, "rawData": signed["rawData"].replace("ann", "bob")}
    assert await hall.refusal("POST", f"{session}/verify", forged) == "signature_refused"


async def test_what_the_phone_encrypted_is_decrypted(hall: Hall) -> None:
    session = await hall.login()
    encrypted = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")

    content = await hall.good("POST", f"{session}/decrypt", encrypted)

    assert (content["nickName"], content["openId"]) == ("ann", hall.phone.openid)


async def test_a_unionid_that_was_encrypted_is_kept(hall: Hall) -> None:
    hall.phone.bound = False
    session = await hall.login()
    hall.phone.bound = True
    encrypted = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")

    await hall.good("POST", f"{session}/decrypt", encrypted)

    assert (await hall.good("GET", session))["unionid"] == hall.phone.unionid


async def test_what_was_encrypted_long_ago_is_refused(hall: Hall) -> None:
    session = await hall.login()
    encrypted = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")
    await hall.clock.advance(301)

    assert await hall.refusal("POST", f"{session}/decrypt", encrypted) == "data_refused"


async def test_what_is_of_another_session_key_is_refused_until_the_phone_logs_in_again(
    hall: Hall,
) -> None:
    before = await hall.login()
    after = await hall.login()
    encrypted = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")

    assert await hall.refusal("POST", f"{before}/decrypt", encrypted) == "data_refused"
    assert await hall.good("POST", f"{after}/decrypt", encrypted)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("verify", {"rawData": "x"}),
        ("verify", {"rawData": "x", "signature": 1}),
        ("verify", {"rawData": "x", "signature": "x", "more": "x"}),
        ("decrypt", {"encryptedData": "!", "iv": "A" * 22 + "=="}),
        ("decrypt", {"encryptedData": "", "iv": "A" * 22 + "=="}),
        ("decrypt", {"encryptedData": "QUJD", "iv": "A" * 22 + "=="}),
        ("decrypt", {"encryptedData": "A" * 22 + "==", "iv": "QUJD"}),
        ("decrypt", []),
        ("user", {"user": ""}),
        ("user", {"user": "x" * 257}),
        ("user", {"user": "a\nb"}),
        ("user", {"user": None}),
        ("check", {"more": 1}),
    ],
)
async def test_what_is_no_such_request_is_told_so(hall: Hall, call: str, body: object) -> None:
    session = await hall.login()

    method = "PUT" if call == "user" else "POST"
    assert await hall.refusal(method, f"{session}/{call}", body) == "bad_request"


@pytest.mark.parametrize("code", ["", "x" * 513, "a b", "é", None, 7])
async def test_what_is_no_code_is_not_brought_to_wechat(hall: Hall, code: object) -> None:
    assert await hall.refusal("POST", "shop/sessions", {"code": code}) == "bad_request"
    assert await hall.refusal("POST", "shop/phone-number", {"code": code}) == "bad_request"
    assert hall.calls() == hall.calls("getuserphonenumber") == 0


async def test_what_developer_tools_give_without_an_appid_is_told_for_what_it_is(
    hall: Hall,
) -> None:
    _, answer = await hall.ask("POST", "shop/sessions", {"code": "the code is a mock one"})

    assert answer["code"] == "bad_request"
    assert "developer tools give no code without an appid" in answer["detail"]


# What is asked with the access_token


async def test_a_session_key_that_holds_is_said_to(hall: Hall) -> None:
    session = await hall.login()

    assert (await hall.good("POST", f"{session}/check"))["openid"] == hall.phone.openid
    assert (await hall.good("POST", f"{session}/check", {}))["openid"] == hall.phone.openid


async def login_elsewhere(hall: Hall) -> None:
    hall.code()


async def expire(hall: Hall) -> None:
    hall.phone.expire(hall.clock.now())


@pytest.mark.parametrize("end", [login_elsewhere, expire])
@pytest.mark.parametrize("call", ["check", "reset"])
async def test_a_session_whose_session_key_has_ended_is_over(hall: Hall, end, call: str) -> None:
    session = await hall.login()
    await end(hall)

    assert await hall.refusal("POST", f"{session}/{call}") == "unknown_session"
    assert await hall.refusal("GET", session) == "unknown_session"
    assert hall.calls("checksession" if call == "check" else "resetusersessionkey") == 1


async def test_a_session_key_is_reset_and_the_session_goes_on(hall: Hall) -> None:
    session = await hall.login()
    old = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")

    await hall.good("POST", f"{session}/reset")

    new = picked(hall.phone.profile(hall.clock.now()), "encryptedData", "iv")
    assert await hall.refusal("POST", f"{session}/decrypt", old) == "data_refused"
    assert await hall.good("POST", f"{session}/decrypt", new)
    assert await hall.good("POST", f"{session}/check")


async def test_a_token_that_wechat_rejects_is_replaced_and_the_call_made_once_more(
    hall: Hall,
) -> None:
    session, before = await hall.login(), hall.token("shop/access_token")
    for _ in range(2):
        hall.world.rotate(SHOP, hall.clock.now())

    assert await hall.good("POST", f"{session}/check")

    assert hall.token("shop/access_token") != before
    assert hall.calls("checksession") == 2


async def test_while_the_guard_rails_keep_the_token_the_caller_is_told_when_to_come_back(
    hall: Hall,
) -> None:
    code = hall.phone_of("ann", BLOG).login(hall.clock.now())
    _, begun = await hall.ask("POST", "blog/sessions", {"code": code}, client="blogs")
    session = f"blog/sessions/{begun['session']}"

    for _ in range(2):
        for _ in range(2):
            hall.world.rotate(BLOG, hall.clock.now())
        status, answer = await hall.ask("POST", f"{session}/check", client="blogs")

    assert (status, answer["code"]) == (429, "refresh_limited")
    assert (await hall.ask("GET", session, client="blogs"))[0] == 200


async def test_a_telephone_number_is_told(hall: Hall) -> None:
    code = hall.phone.show_number(hall.clock.now())

    number = await hall.good("POST", "shop/phone-number", {"code": code})

    assert number == {
        "phoneNumber": hall.phone.number,
        "purePhoneNumber": hall.phone.number,
        "countryCode": "86",
    }
    assert await hall.refusal("POST", "shop/phone-number", {"code": code}) == "code_invalid"


@pytest.mark.parametrize("errcode", [40029, 40163])
async def test_a_new_code_of_a_button_comes_from_the_button(hall: Hall, errcode: int) -> None:
    hall.wechat.replies.append({"errcode": errcode, "errmsg": "by the test"})

    _, answer = await hall.ask("POST", "shop/phone-number", {"code": "x"})

    assert "press the phone number button again" in answer["advice"]
    assert "重新点击手机号按钮" in answer["advice_zh"]


async def test_a_number_that_is_of_another_mini_program_is_not_told(hall: Hall) -> None:
    info = {"phoneNumber": "canary", "watermark": {"timestamp": 1, "appid": BLOG}}
    hall.wechat.replies.append({"errcode": 0, "errmsg": "ok", "phone_info": info})

    assert await hall.refusal("POST", "shop/phone-number", {"code": "x"}) == "upstream_away"


async def test_the_unionid_of_who_has_paid_is_told_and_kept(hall: Hall) -> None:
    hall.phone.bound = False
    session, openid = await hall.login(), hall.phone.openid
    hall.phone.bound = True
    paid = hall.phone.pay(hall.clock.now())

    by_number = f"shop/paid-unionid?openid={openid}&transaction_id={paid.transaction_id}"
    by_order = (
        f"shop/paid-unionid?openid={openid}&mch_id={paid.mch_id}&out_trade_no={paid.out_trade_no}"
    )

    told = {"openid": openid, "unionid": hall.phone.unionid}
    assert await hall.good("GET", by_number) == await hall.good("GET", by_order) == told
    assert (await hall.good("GET", session))["unionid"] == hall.phone.unionid


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("openid={openid}&transaction_id=none", "identity_refused"),
        ("openid=oNobody&transaction_id=1", "identity_refused"),
        ("openid={openid}", "bad_request"),
        ("transaction_id=1", "bad_request"),
        ("openid={openid}&mch_id=1", "bad_request"),
        ("openid={openid}&transaction_id=1&transaction_id=2", "bad_request"),
        ("openid={openid}&transaction_id=1&access_token=x", "bad_request"),
        ("openid={openid}&transaction_id=", "bad_request"),
        ("openid=../x&transaction_id=1", "bad_request"),
    ],
)
async def test_what_is_no_order_is_refused(hall: Hall, query: str, code: str) -> None:
    await hall.login()

    asked = f"shop/paid-unionid?{query.format(openid=hall.phone.openid)}"

    assert await hall.refusal("GET", asked) == code


# What is told of it


async def test_logins_are_told_by_the_first_and_what_is_done_to_a_user_each_time(
    hall: Hall,
) -> None:
    hall.lines.clear()
    for _ in range(3):
        session = await hall.login()
    user = f"shop/users/{hall.phone.openid}"
    for path in (f"{user}/sessions", f"{user}/sessions", user):
        await hall.good("DELETE", path)
    assert await hall.refusal("GET", session, client="shopper") == "forbidden"

    told = [line for line in hall.lines if line["event"] == "audit"]

    assert [(line["who"], line["what"], line["outcome"]) for line in told] == [
        *[("business", "login", "ok")] * 4,
        ("shopper", "login", "forbidden"),
    ]
    assert {line["key"] for line in told} == {"shop"}
    assert session.rpartition("/")[2] not in json.dumps(told)


async def test_calls_for_logins_are_counted_by_their_endpoint(hall: Hall) -> None:
    session = await hall.login()
    await hall.good("POST", f"{session}/check")
    await hall.refusal("POST", "shop/sessions", {"code": "none"})

    def calls(endpoint: str, error: str) -> float | None:
        labels = {"endpoint": endpoint, "error": error}
        return hall.counts.registry.get_sample_value("tokend_wechat_calls_total", labels)

    assert calls("/sns/jscode2session", "") == 1
    assert calls("/wxa/checksession", "") == 1
    assert calls("/sns/jscode2session", "code_refused") == 1
