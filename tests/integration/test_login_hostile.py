"""Logins under attack: by callers, by what WeChat answers, by whoever else writes in the store."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from kit.shop import APPIDS, Answered, Shop, open_shop
from yarl import URL

from tokend.clock import SystemClock
from tokend.simulator.weather import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.simulator.session import SessionKey

IV = bytes(16)


@pytest.fixture
async def shop(folder: Path) -> AsyncIterator[Shop]:
    async with open_shop(folder, f"sqlite://{folder}/tokend.db") as shop:
        yield shop


def session_key(shop: Shop, user: str = "ann") -> SessionKey:
    """What tokend keeps to itself."""
    key = shop.wechat.phone(user).session_key(SystemClock().now())
    assert key
    return key


def encrypted(shop: Shop, text: str, iv: bytes = IV) -> dict[str, str]:
    """As WeChat would do it, whatever *text* is."""
    return {
        "encryptedData": session_key(shop).encrypt(text, iv),
        "iv": base64.b64encode(iv).decode(),
    }


def told(shop: Shop, **more: Any) -> dict[str, Any]:
    """What is in a profile."""
    watermark = {"appid": APPIDS["shop"], "timestamp": int(time.time())}
    return {"openId": shop.wechat.phone().openid, "watermark": watermark, **more}


# What phones send


async def test_half_of_a_character_in_a_nickname_does_no_harm(shop: Shop) -> None:
    """An emoji, cut in two by whoever counts UTF-16."""
    session = await shop.session()
    text = json.dumps(told(shop, nickName="\ud83d"))

    answered = await shop.ask("POST", f"{session}/decrypt", encrypted(shop, text))

    assert (answered.status, answered.answer["nickName"]) == (200, "\ud83d")


@pytest.mark.parametrize("unionid", [None, True, 4711, ["oU"], {"a": "b"}, "", "o U", "o" * 129])
async def test_what_is_no_unionid_is_not_kept_for_one(shop: Shop, unionid: object) -> None:
    shop.wechat.phone().bound = False
    session = await shop.session()
    text = json.dumps(told(shop, unionId=unionid))

    answered = await shop.ask("POST", f"{session}/decrypt", encrypted(shop, text))

    assert answered.status == 200
    assert "unionid" not in (await shop.ask("GET", session)).answer


@pytest.mark.parametrize(
    "timestamp",
    [None, True, "1", 1.5, [], 10**18, -(10**18), 10**400, float("inf"), float("nan")],
    ids=lambda value: str(value)[:20],
)
async def test_what_was_encrypted_at_no_time_that_there_is_is_refused(
    shop: Shop, timestamp: object
) -> None:
    session = await shop.session()
    watermark = {"appid": APPIDS["shop"], "timestamp": timestamp}
    text = json.dumps(told(shop, watermark=watermark))

    answered = await shop.ask("POST", f"{session}/decrypt", encrypted(shop, text))

    assert (answered.status, answered.code) == (422, "data_refused")


async def test_all_that_cannot_be_decrypted_is_answered_alike(shop: Shop) -> None:
    """Else whoever asks again and again finds out what is in it."""
    session = await shop.session()
    good = encrypted(shop, json.dumps(told(shop)))
    data = base64.b64decode(good["encryptedData"])
    iv = base64.b64decode(good["iv"])
    bad = [
        *((flipped(data, -n), iv) for n in range(1, 34)),
        *((data, bytes([bit]) + iv[1:]) for bit in (1, 2, 4, 8)),
        *((data[:length], iv) for length in range(16, len(data), 16)),
        *((bytes([last]) * 16, iv) for last in range(0, 256, 17)),
    ]

    answers = set()
    for broken, start in bad:
        answered = await shop.ask(
            "POST",
            f"{session}/decrypt",
            {
                "encryptedData": base64.b64encode(broken).decode(),
                "iv": base64.b64encode(start).decode(),
            },
        )
        answers.add((answered.status, answered.text, tuple(sorted(answered.headers.items()))))

    assert len(answers) == 1
    assert answers.pop()[0] == 422


def flipped(data: bytes, at: int) -> bytes:
    """One bit of the byte there."""
    altered = bytearray(data)
    altered[at] ^= 1
    return bytes(altered)


# What callers send

SESSION = "shop/sessions/{id}"
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "log in": ("POST", "shop/sessions", {"code": "x"}),
    "bind": ("PUT", f"{SESSION}/user", {"user": "x"}),
    "verify": ("POST", f"{SESSION}/verify", {"rawData": "x", "signature": "x"}),
    "decrypt": ("POST", f"{SESSION}/decrypt", {"encryptedData": "A" * 22 + "==", "iv": "x"}),
    "check": ("POST", f"{SESSION}/check", {}),
    "reset": ("POST", f"{SESSION}/reset", {}),
    "a telephone number": ("POST", "shop/phone-number", {"code": "x"}),
}
NONSENSE: dict[str, tuple[bytes, int]] = {
    "nothing": (b" ", 400),
    "no JSON": (b"{", 400),
    "no object": (b"[]", 400),
    "no text": (b"\xff\xfe{}", 400),
    "NUL": (b'{"code":"a\0b"}', 400),
    "deep": (b'{"code":' + b"[" * 4000 + b"]" * 4000 + b"}", 400),
    "one more": (b'{"code":"x","more":"x"}', 400),
    "large": (b'{"code":"' + b"x" * 8192 + b'"}', 413),
    "a large number": (b'{"code":' + b"9" * 5000 + b"}", 400),
}
VALUES = [None, True, 1, 1.5, [], {}, "", "\0", "a b\n", "\ud800", "安" * 3000]


@pytest.mark.parametrize("route", BODIES)
async def test_no_body_is_too_odd_for_a_clear_answer(shop: Shop, route: str) -> None:
    method, path, sound = BODIES[route]
    path = path.replace("shop/sessions/{id}", await shop.session())
    odd = [{**sound, name: value} for name in sound for value in VALUES]
    sent = [json.dumps(each).encode() for each in odd]

    refused = [
        await shop.ask(method, path, data=body, headers={"Content-Type": "application/json"})
        for body in [*sent, *(body for body, _ in NONSENSE.values())]
    ]

    statuses = {answered.status for answered in refused}
    assert statuses <= {400, 413, 422}, [each for each in refused if each.status >= 500]
    assert shop.wechat.calls("resetusersessionkey") == 0


async def test_each_nonsense_is_told_from_the_others(shop: Shop) -> None:
    kind = {"Content-Type": "application/json"}

    statuses = {
        name: (await shop.ask("POST", "shop/sessions", data=body, headers=kind)).status
        for name, (body, _) in NONSENSE.items()
    }

    assert statuses == {name: status for name, (_, status) in NONSENSE.items()}
    assert shop.wechat.calls() == 0


async def test_a_plus_that_became_a_space_is_named(shop: Shop) -> None:
    session = await shop.session()

    answered = await shop.ask(
        "POST", f"{session}/decrypt", {"encryptedData": "A" * 20 + " A==", "iv": "A" * 22 + "=="}
    )

    assert (answered.status, answered.code) == (400, "bad_request")
    assert "+ taken for a space" in answered.answer["detail"]


@pytest.mark.parametrize(
    "id_",
    ["x", "x" * 42, "x" * 44, "x" * 43 + "%0A", "%00" * 43, "..%2F..%2Fusers", "%C3%A9" * 43],
)
async def test_what_is_no_session_id_is_unknown_like_any_other(shop: Shop, id_: str) -> None:
    wrong = await shop.ask("GET", f"shop/sessions/{'x' * 43}")
    async with shop.http.get(URL(f"/v1/apps/shop/sessions/{id_}", encoded=True)) as response:
        odd = Answered(response.status, {}, await response.text())

    assert (odd.status, odd.text) == (404, wrong.text)
    assert wrong.code == "unknown_session"


# What WeChat answers

ODD_LOGINS: dict[str, Fault] = {
    "no JSON": Fault(body=b"<html>"),
    "nothing": Fault(body=b""),
    "huge": Fault(body=b"{" + b" " * 100_000 + b"}"),
    "deep": Fault(body=b"[" * 10_000),
    "an empty object": Fault(reply={}),
    "a status": Fault(status=500),
    "a redirect": Fault(status=302, headers={"Location": "http://127.0.0.1:1/"}, body=b""),
    "a name twice": Fault(body=b'{"openid":"oA","openid":"oB","session_key":"canary-key"}'),
    "no openid": Fault(merge={"openid": None}),
    "an odd openid": Fault(merge={"openid": "o/../x"}),
    "a long openid": Fault(merge={"openid": "o" * 129}),
    "an openid of numbers": Fault(merge={"openid": 4711}),
    "no session_key": Fault(merge={"session_key": None}),
    "an empty session_key": Fault(merge={"session_key": ""}),
    "an odd session_key": Fault(merge={"session_key": "canary-\ud800\n\0 安"}),
    "a session_key of lists": Fault(merge={"session_key": ["canary-key"]}),
    "an odd unionid": Fault(merge={"unionid": "o U"}),
    "a unionid of numbers": Fault(merge={"unionid": 4711}),
    "an errcode that is none": Fault(merge={"errcode": "canary"}),
    "an errcode that is true": Fault(merge={"errcode": True}),
}


@pytest.mark.parametrize("fault", ODD_LOGINS.values(), ids=ODD_LOGINS.keys())
async def test_an_answer_to_a_login_that_is_none_begins_no_session(
    shop: Shop, fault: Fault
) -> None:
    shop.wechat.weather.coming.append(_at("jscode2session", fault))

    answered = await shop.log_in()

    assert (answered.status, answered.code) == (503, "upstream_away")
    assert (await shop.log_in()).answer["new"]


@pytest.mark.parametrize(
    ("merge", "unionid"), [({"unionid": None}, None), ({"unionid": ""}, None), ({"errcode": 0}, 1)]
)
async def test_what_wechat_might_as_well_have_left_out_is_taken_for_that(
    shop: Shop, merge: dict[str, Any], unionid: object
) -> None:
    shop.wechat.weather.coming.append(Fault(endpoint="jscode2session", merge=merge))

    answered = await shop.log_in()

    assert answered.status == 200
    assert ("unionid" in answered.answer) == bool(unionid)


async def test_an_errcode_may_be_a_text(shop: Shop) -> None:
    reply = {"errcode": "40163", "errmsg": "code been used"}
    shop.wechat.weather.coming.append(Fault(endpoint="jscode2session", reply=reply))

    assert (await shop.log_in()).code == "code_used"


ODD_REPLIES: dict[str, Fault] = {
    "no JSON": Fault(body=b"<html>"),
    "huge": Fault(body=b'{"errcode":0,"x":"' + b"x" * 100_000 + b'"}'),
    "a list": Fault(body=b"[]"),
    "an errcode that is none": Fault(merge={"errcode": "ok"}),
    "a status": Fault(status=502),
}


@pytest.mark.parametrize("fault", ODD_REPLIES.values(), ids=ODD_REPLIES.keys())
@pytest.mark.parametrize(
    ("call", "endpoint"), [("check", "checksession"), ("reset", "resetusersessionkey")]
)
async def test_an_odd_word_about_a_session_key_ends_no_session(
    shop: Shop, call: str, endpoint: str, fault: Fault
) -> None:
    session = await shop.session()
    shop.wechat.weather.coming.append(_at(endpoint, fault))

    answered = await shop.ask("POST", f"{session}/{call}")

    assert (answered.status, answered.code) == (503, "upstream_away")
    assert (await shop.ask("GET", session)).status == 200


async def test_a_token_that_wechat_repeats_is_not_passed_on(shop: Shop) -> None:
    """To a client who may never see one."""
    session = await shop.session()
    token = (await shop.ask("GET", "shop/access_token")).answer["access_token"]
    reply = {"errcode": 48001, "errmsg": f"api unauthorized for {token}"}
    shop.wechat.weather.coming.append(Fault(endpoint="checksession", reply=reply))

    answered = await shop.ask("POST", f"{session}/check")

    assert (answered.status, answered.answer["errcode"]) == (502, 48001)
    assert token not in answered.text


async def test_what_wechat_gives_may_grow(folder: Path) -> None:
    merge = {"openid": "o" * 128, "unionid": "u" * 128, "session_key": "k" * 4096}
    fault = Fault(endpoint="jscode2session", merge=merge)
    async with open_shop(folder, f"sqlite://{folder}/tokend.db", is_sealed=True) as shop:
        shop.wechat.weather.coming.append(fault)
        session = await shop.session()

        bound = await shop.ask("PUT", f"{session}/user", {"user": "\U0001f600" * 256})
        shown = await shop.ask("GET", session)

    assert bound.status == 200
    assert (shown.answer["openid"], len(shown.answer["user"])) == ("o" * 128, 256)


@pytest.mark.parametrize(
    "merge",
    [
        {"phone_info": None},
        {"phone_info": {"watermark": {"appid": APPIDS["shop"]}}},
        {"phone_info": {"phoneNumber": "1", "watermark": {"appid": APPIDS["blog"]}}},
        {
            "phone_info": {
                "phoneNumber": ["1"],
                "purePhoneNumber": {},
                "countryCode": None,
                "watermark": {"appid": APPIDS["shop"]},
            }
        },
    ],
    ids=["none", "empty", "of another app", "of wrong types"],
)
async def test_what_is_no_telephone_number_is_not_given_for_one(
    shop: Shop, merge: dict[str, Any]
) -> None:
    shop.wechat.weather.coming.append(Fault(endpoint="getuserphonenumber", merge=merge))
    code = shop.wechat.phone().show_number(SystemClock().now())

    answered = await shop.ask("POST", "shop/phone-number", {"code": code})

    assert (answered.status, answered.code) == (503, "upstream_away")


def _at(endpoint: str, fault: Fault) -> Fault:
    return replace(fault, endpoint=endpoint)
