"""What a mini-program gets from phones, and what WeChat tells it of them."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from kit.mini_program import MiniProgram
from kit.office import Office
from kit.town import APPID, CALLER, NOON, Town, after

from tokend.simulator.phone import NotLoggedIn
from tokend.simulator.session import SessionKey
from tokend.simulator.world import World


@pytest.fixture
def shop() -> MiniProgram:
    return MiniProgram()


def decrypt(given: dict[str, str], session_key: str) -> dict[str, Any]:
    """As WeChat's manual tells it."""
    cipher = Cipher(AES128(b64decode(session_key)), CBC(b64decode(given["iv"])))
    decryptor = cipher.decryptor()
    padded = decryptor.update(b64decode(given["encryptedData"])) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return json.loads(unpadder.update(padded) + unpadder.finalize())


# Who may ask WeChat


@pytest.mark.parametrize(
    ("token", "errcode"),
    [
        pytest.param("", 41001, id="missing"),
        pytest.param("made-up", 40001, id="unknown"),
        pytest.param("superseded", 40001, id="superseded"),
        pytest.param("expired", 42001, id="expired"),
        pytest.param("an agent's", 40001, id="of WeCom"),
    ],
)
@pytest.mark.parametrize(
    "call", ["checksession", "resetusersessionkey", "getuserphonenumber", "getpaidunionid"]
)
def test_a_bad_token_is_refused_whatever_is_asked(call: str, token: str, errcode: int) -> None:
    town, office = Town(), Office()
    world = World([town.account], Random(2), [office.corp])
    tokens = {
        "superseded": town.classic()["access_token"],
        "expired": town.stable()["access_token"],
        "an agent's": office.token(7200),
    }
    for seconds in (1, 2):
        town.classic(seconds)

    query = {"access_token": tokens.get(token, token)}
    body = (b"{}",) if call == "getuserphonenumber" else ()
    reply = getattr(world, call)(query, *body, caller=CALLER, now=after(7200))

    assert reply["errcode"] == errcode
    assert world.rejected_uses == bool(token)
    assert [call in calls for calls in world.all_calls().values()].count(True) == 1


def test_the_whitelist_guards_these_calls_too(shop: MiniProgram) -> None:
    query = {"access_token": shop.token()}
    shop.town.account.ip_whitelist = ("203.0.113.7",)

    reply = shop.world.checksession(query, caller="203.0.113.8", now=NOON)

    assert reply["errcode"] == 40164


# What phones encrypt


def test_a_profile_is_signed_and_encrypted_with_the_session_key(shop: MiniProgram) -> None:
    key = shop.key()

    given = shop.phone().profile(after(1))

    text = given["rawData"] + key
    assert given["signature"] == hashlib.sha1(text.encode()).hexdigest()  # noqa: S324, WeChat's
    assert decrypt(given, key) == {
        **json.loads(given["rawData"]),
        "openId": shop.phone().openid,
        "unionId": shop.phone().unionid,
        "watermark": {"timestamp": int(after(1).timestamp()), "appid": APPID},
    }


def test_raw_data_names_no_ids(shop: MiniProgram) -> None:
    shop.key(user="王小明")

    raw_data = shop.phone("王小明").profile(NOON)["rawData"]

    assert '"nickName":"王小明"' in raw_data
    assert not {"openId", "unionId", "watermark"} & json.loads(raw_data).keys()


def test_the_profile_of_an_unbound_account_has_no_unionid(shop: MiniProgram) -> None:
    shop.phone().bound = False
    key = shop.key()

    assert "unionId" not in decrypt(shop.phone().profile(NOON), key)


def test_after_another_login_the_new_session_key_encrypts(shop: MiniProgram) -> None:
    shop.key()
    new = shop.key(1)

    assert decrypt(shop.phone().profile(after(2)), new)["openId"] == shop.phone().openid


def test_after_a_reset_the_new_session_key_encrypts(shop: MiniProgram) -> None:
    new = shop.reset(shop.key())["session_key"]

    assert decrypt(shop.phone().profile(NOON), new)["openId"] == shop.phone().openid


def test_each_profile_is_encrypted_with_an_iv_of_its_own(shop: MiniProgram) -> None:
    shop.key()

    first, second = (shop.phone().profile(NOON) for _ in range(2))

    assert first["iv"] != second["iv"]
    assert first["encryptedData"] != second["encryptedData"]


def test_without_a_session_key_there_is_no_profile(shop: MiniProgram) -> None:
    with pytest.raises(NotLoggedIn):
        shop.phone().profile(NOON)

    shop.key()
    shop.phone().expire(NOON)

    with pytest.raises(NotLoggedIn):
        shop.phone().profile(NOON)


# Telephone numbers


def test_a_code_of_the_button_tells_the_number_and_when_it_was_pressed(shop: MiniProgram) -> None:
    code = shop.phone().show_number(after(1))

    reply = shop.number(code, 60)

    number = reply["phone_info"].pop("phoneNumber")
    assert re.fullmatch(r"1[0-9]{10}", number)
    assert reply == {
        "errcode": 0,
        "errmsg": "ok",
        "phone_info": {
            "purePhoneNumber": number,
            "countryCode": "86",
            "watermark": {"timestamp": int(after(1).timestamp()), "appid": APPID},
        },
    }


def test_a_user_has_one_number_which_is_nobody_elses(shop: MiniProgram) -> None:
    phones = [shop.phone(user) for user in ("ann", "ann", "bob")]

    first, again, other = (shop.number(each.show_number(NOON))["phone_info"] for each in phones)

    assert first == again
    assert first["phoneNumber"] != other["phoneNumber"]


def test_a_number_needs_no_login_and_ends_none(shop: MiniProgram) -> None:
    key = shop.key()

    assert shop.number(shop.phone("bob").show_number(NOON))["errcode"] == 0
    assert shop.number(shop.phone().show_number(NOON))["errcode"] == 0
    assert shop.check(key)["errcode"] == 0


@pytest.mark.parametrize("code", ["", "made-up", None, 1, ["code"]])
def test_a_code_that_no_button_gave_is_invalid(shop: MiniProgram, code: Any) -> None:
    assert shop.number(code)["errcode"] == 40029


def test_codes_of_logins_and_of_the_button_are_not_each_other(shop: MiniProgram) -> None:
    assert shop.number(shop.code())["errcode"] == 40029
    assert shop.session(shop.phone().show_number(NOON))["errcode"] == 40029


def test_a_code_of_the_button_is_good_once(shop: MiniProgram) -> None:
    code = shop.phone().show_number(NOON)

    assert [shop.number(code)["errcode"] for _ in range(2)] == [0, 40029]


@pytest.mark.parametrize(
    ("seconds", "errcode"),
    [pytest.param(299.9, 0, id="five minutes"), pytest.param(300, 40029, id="not longer")],
)
def test_a_code_of_the_button_lives_five_minutes(
    shop: MiniProgram, seconds: float, errcode: int
) -> None:
    code = shop.phone().show_number(NOON)

    assert shop.number(code, seconds)["errcode"] == errcode


def test_a_number_is_told_of_the_openid_that_is_named(shop: MiniProgram) -> None:
    ann, bob = shop.phone(), shop.phone("bob")
    code = ann.show_number(NOON)

    right = shop.number(ann.show_number(NOON), openid=ann.openid)
    errcodes = [shop.number(code, openid=each.openid)["errcode"] for each in (bob, ann)]

    assert right["errcode"] == 0
    assert errcodes == [40003, 40029]


@pytest.mark.parametrize(
    ("body", "errcode"),
    [pytest.param(b"", 44002, id="empty"), pytest.param(b"code=1", 47001, id="a form")],
)
def test_a_code_of_the_button_comes_in_json(shop: MiniProgram, body: bytes, errcode: int) -> None:
    query = {"access_token": shop.token()}

    reply = shop.world.getuserphonenumber(query, body, caller=CALLER, now=NOON)

    assert reply["errcode"] == errcode


def test_a_bad_token_does_not_use_up_a_code_of_the_button(shop: MiniProgram) -> None:
    code = shop.phone().show_number(NOON)

    assert shop.number(code, token="made-up")["errcode"] == 40001
    assert shop.number(code)["errcode"] == 0
    assert shop.world.calls(APPID, "getuserphonenumber") == 1
    assert shop.world.rejected_uses == 1


# The unionid of who has paid


@pytest.mark.parametrize("names", [("transaction_id",), ("mch_id", "out_trade_no")])
def test_an_order_tells_the_unionid_for_five_minutes(
    shop: MiniProgram, names: tuple[str, ...]
) -> None:
    payment = shop.phone().pay(NOON)
    order = {name: getattr(payment, name) for name in names}

    assert shop.paid(299.9, **order) == {
        "errcode": 0,
        "errmsg": "ok",
        "unionid": shop.phone().unionid,
    }
    assert shop.paid(300, **order)["errcode"] == 89300


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        pytest.param({}, 89300, id="no order"),
        pytest.param({"transaction_id": "made-up"}, 89300, id="unknown order"),
        pytest.param({"mch_id": "1900000109"}, 89300, id="merchant alone"),
        pytest.param({"openid": ""}, 40003, id="no openid"),
        pytest.param({"openid": "o" + 27 * "x"}, 40003, id="unknown openid"),
        pytest.param({"access_token": "made-up"}, 40001, id="unknown access_token"),
    ],
)
def test_a_bad_question_about_an_order_is_refused(
    shop: MiniProgram, change: dict[str, str], errcode: int
) -> None:
    shop.phone().pay(NOON)

    assert shop.paid(**change)["errcode"] == errcode


def test_an_order_is_its_merchants(shop: MiniProgram) -> None:
    order = shop.phone().pay(NOON).out_trade_no

    assert shop.paid(mch_id="1900000110", out_trade_no=order)["errcode"] == 89300
    assert shop.paid(out_trade_no=order)["errcode"] == 89300


def test_each_order_has_a_number_of_its_own_and_tells_who_paid_it(shop: MiniProgram) -> None:
    first, second = (shop.phone().pay(after(seconds)) for seconds in (0, 200))

    replies = [
        shop.paid(250, transaction_id=first.transaction_id),
        shop.paid(400, transaction_id=first.transaction_id),
        shop.paid(400, transaction_id=second.transaction_id),
        shop.paid(400, transaction_id=second.transaction_id, user="bob"),
    ]

    assert [each["errcode"] for each in replies] == [0, 89300, 0, 89300]
    assert first.out_trade_no != second.out_trade_no


def test_an_unbound_account_is_told_so_whatever_the_order(shop: MiniProgram) -> None:
    payment = shop.phone().pay(NOON)
    shop.phone().bound = False

    assert shop.paid(transaction_id=payment.transaction_id)["errcode"] == 89002
    assert shop.paid()["errcode"] == 89002


# WeChat's own examples
# https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html


def session_key(value: str) -> SessionKey:
    return SessionKey(value=value, expires_at=NOON)


def test_raw_data_is_signed_as_in_wechats_example() -> None:
    raw_data = (
        '{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou",'
        '"province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/'
        '1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}'
    )

    signature = session_key("HyVFkGl5F5OQWJZZaNzBBg==").signature(raw_data)

    assert signature == "75e81ceda165f4ffa64f4068af58c64b8f54b88c"


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        pytest.param(
            '{"foo":"bar"}',
            "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b",
            id="WeChat's",
        ),
        pytest.param(
            "",
            "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128",
            id="with the same key",
        ),
    ],
)
def test_a_server_signs_as_in_wechats_example(text: str, signature: str) -> None:
    assert session_key("o0q0otL8aEzpcZL/FT9WsQ==").hmac_sha256(text) == signature


def test_data_is_encrypted_as_in_wechats_example() -> None:
    """aes-sample.zip of the manual."""
    told = (
        '{"openId":"oGZUI0egBJY1zhBYw2KhdUfwVJJE","nickName":"Band","gender":1,"language":"zh_CN",'
        '"city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":'
        '"http://wx.qlogo.cn/mmopen/vi_32/aSKcBBPpibyKNicHNTMM0qJVh8Kjgiak2AHWr8MHM4WgMEm7GFhsf8'
        'OYrySdbvAMvTsw3mo8ibKicsnfN5pRjl1p8HQ/0","unionId":"ocMvos6NjeKLIBqg5Mr9QjxrP1FA",'
        '"watermark":{"timestamp":1477314187,"appid":"wx4f4bc4dec97d474b"}}'
    )

    encrypted = session_key("tiihtNczf5v6AKRyjwEUhQ==").encrypt(
        told, iv=b64decode("r7BXXKkLb8qrSNn05n0qiA==")
    )

    assert encrypted == (
        "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC"
        "+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poO"
        "FtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8"
        "xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB"
        "6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJd"
        "NiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOy"
        "uxINew=="
    )
