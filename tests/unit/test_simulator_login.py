"""Mini-program login, as the simulator plays it."""

from __future__ import annotations

import re
from base64 import b64decode
from random import Random

import pytest
from kit.mini_program import MiniProgram
from kit.town import APPID, NOON, SECRET, after

from tokend.simulator.account import Account
from tokend.simulator.world import World

DAY = 86_400


@pytest.fixture
def shop() -> MiniProgram:
    return MiniProgram()


# Who the users are


def test_a_login_tells_who_it_is_and_a_session_key_and_nothing_else(shop: MiniProgram) -> None:
    reply = shop.session(shop.code())

    assert reply.keys() == {"openid", "session_key", "unionid"}
    assert reply["openid"] == shop.phone().openid
    assert reply["unionid"] == shop.phone().unionid
    assert len(b64decode(reply["session_key"], validate=True)) == 16


def test_an_openid_and_a_unionid_look_like_wechats(shop: MiniProgram) -> None:
    reply = shop.session(shop.code())

    for name in ("openid", "unionid"):
        assert re.fullmatch(r"o[A-Za-z0-9_-]{27}", reply[name])


def test_a_user_is_the_same_at_each_login_and_nobody_else(shop: MiniProgram) -> None:
    first, again = (shop.session(shop.code(seconds), seconds) for seconds in (0, 1))
    other = shop.session(shop.code(user="bob"))

    assert first["openid"] == again["openid"] != other["openid"]
    assert first["unionid"] == again["unionid"] != other["unionid"]


def test_a_user_of_two_accounts_has_two_openids_and_one_unionid() -> None:
    appids = ("wxaaaaaaaaaaaaaaaa", "wxbbbbbbbbbbbbbbbb")
    accounts = [Account(appid=appid, secret=SECRET, random=Random(1)) for appid in appids]
    world = World(accounts, Random(2))

    one, other = (world.phone(appid, "ann") for appid in appids)

    assert one.openid != other.openid
    assert one.unionid == other.unionid
    assert one.login(NOON) != other.login(NOON)


def test_an_unbound_account_is_told_no_unionid(shop: MiniProgram) -> None:
    shop.phone().bound = False

    assert shop.session(shop.code()).keys() == {"openid", "session_key"}


# Who is kept from logging in


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        pytest.param({"appid": ""}, 41002, id="no appid"),
        pytest.param({"appid": "wxffffffffffffffff"}, 40013, id="unknown appid"),
        pytest.param({"grant_type": ""}, 40002, id="no grant_type"),
        pytest.param({"grant_type": "client_credential"}, 40002, id="the grant_type of tokens"),
        pytest.param({"secret": ""}, 41004, id="no secret"),
        pytest.param({"secret": "wrong"}, 40125, id="wrong secret"),
        pytest.param({"js_code": ""}, 41008, id="no code"),
        pytest.param({"js_code": "made-up"}, 40029, id="unknown code"),
        pytest.param({"appid": "", "grant_type": ""}, 41002, id="appid first"),
        pytest.param({"grant_type": "", "secret": ""}, 40002, id="grant_type before secret"),
        pytest.param({"secret": "wrong", "js_code": ""}, 40125, id="secret before code"),
    ],
)
def test_a_bad_login_is_refused_and_its_code_stays_good(
    shop: MiniProgram, change: dict[str, str], errcode: int
) -> None:
    code = shop.code()

    reply = shop.session(code, **change)

    assert reply.keys() == {"errcode", "errmsg"}
    assert reply["errcode"] == errcode
    assert "session_key" in shop.session(code)


def test_a_refused_login_has_a_request_id(shop: MiniProgram) -> None:
    errmsg = shop.session("made-up")["errmsg"]

    assert re.fullmatch(r"invalid code, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", errmsg)


def test_the_whitelist_guards_logins_and_comes_before_the_code(
    shop: MiniProgram,
) -> None:
    shop.town.account.ip_whitelist = ("203.0.113.7",)

    refused = shop.session("", caller="203.0.113.8")
    admitted = shop.session(shop.code(), caller="203.0.113.7")

    assert refused["errcode"] == 40164
    assert "session_key" in admitted


def test_a_code_of_another_account_is_invalid(shop: MiniProgram) -> None:
    other = Account(appid="wxbbbbbbbbbbbbbbbb", secret=SECRET, random=Random(1))
    code = other.phones.of("ann").login(NOON)

    assert shop.session(code)["errcode"] == 40029


def test_a_code_is_good_once(shop: MiniProgram) -> None:
    code = shop.code()
    shop.session(code)

    assert shop.session(code, 1)["errcode"] == 40163


@pytest.mark.parametrize(
    ("seconds", "errcode"),
    [pytest.param(299.9, None, id="five minutes"), pytest.param(300, 40029, id="not longer")],
)
def test_a_code_lives_five_minutes(shop: MiniProgram, seconds: float, errcode: int | None) -> None:
    code = shop.code()

    assert shop.session(code, seconds).get("errcode") == errcode


def test_a_user_logs_in_a_hundred_times_a_minute(shop: MiniProgram) -> None:
    for _ in range(100):
        assert "openid" in shop.session(shop.code())
    code = shop.code()

    assert shop.session(code)["errcode"] == 45011
    assert "openid" in shop.session(shop.code(user="bob"))
    assert "openid" in shop.session(code, 60)


def test_used_codes_count_too(shop: MiniProgram) -> None:
    code = shop.code()

    errcodes = [shop.session(code).get("errcode") for _ in range(101)]

    assert errcodes == [None, *[40163] * 99, 45011]


def test_a_risky_user_is_blocked_and_the_code_is_used(shop: MiniProgram) -> None:
    shop.phone().risky = True
    code = shop.code()

    errcodes = [shop.session(code)["errcode"] for _ in range(2)]

    assert errcodes == [40226, 40163]


def test_logins_are_in_the_ledger_refused_or_not(shop: MiniProgram) -> None:
    shop.session(shop.code())
    shop.session("made-up")
    shop.session("", appid="")

    assert shop.world.calls(APPID, "jscode2session") == 2
    assert shop.world.calls("", "jscode2session") == 1
    assert shop.world.rejected_uses == 0


# The session_key


def test_a_new_session_key_is_good(shop: MiniProgram) -> None:
    assert shop.check(shop.key()) == {"errcode": 0, "errmsg": "ok"}


@pytest.mark.parametrize("call", ["check", "reset"])
@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        pytest.param({"openid": ""}, 40003, id="no openid"),
        pytest.param({"openid": "o" + 27 * "x"}, 40003, id="unknown openid"),
        pytest.param({"sig_method": ""}, 87008, id="no sig_method"),
        pytest.param({"sig_method": "hmac_sha1"}, 87008, id="another sig_method"),
        pytest.param({"signature": ""}, 87009, id="no signature"),
        pytest.param({"signature": 64 * "0"}, 87009, id="another signature"),
        pytest.param({"access_token": ""}, 41001, id="no access_token"),
        pytest.param({"access_token": "made-up"}, 40001, id="unknown access_token"),
        pytest.param({"openid": "", "sig_method": ""}, 40003, id="openid first"),
        pytest.param({"sig_method": "", "signature": ""}, 87008, id="sig_method before signature"),
    ],
)
def test_a_bad_question_about_a_session_is_refused_and_ends_no_session(
    shop: MiniProgram, call: str, change: dict[str, str], errcode: int
) -> None:
    key = shop.key()

    reply = getattr(shop, call)(key, **change)

    assert reply.keys() == {"errcode", "errmsg"}
    assert reply["errcode"] == errcode
    assert shop.check(key)["errcode"] == 0


def test_a_session_key_signs_for_its_user_alone(shop: MiniProgram) -> None:
    shop.key(user="bob")

    reply = shop.check(shop.key(), openid=shop.phone("bob").openid)

    assert reply["errcode"] == 87009


def test_who_never_logged_in_has_no_session_key(shop: MiniProgram) -> None:
    bob = shop.phone("bob")

    assert shop.check("", openid=bob.openid)["errcode"] == 87007
    assert not bob.check_session(NOON)


def test_a_login_ends_the_session_key_before_it_even_if_its_code_is_not_used(
    shop: MiniProgram,
) -> None:
    old = shop.key()
    code = shop.code(1)

    assert shop.check(old, 1)["errcode"] == 87009
    assert shop.check(shop.session(code, 1)["session_key"], 1)["errcode"] == 0


def test_a_code_gives_the_session_key_of_its_own_login(shop: MiniProgram) -> None:
    first, second = shop.code(), shop.code(1)

    old, new = shop.session(first, 2)["session_key"], shop.session(second, 2)["session_key"]

    assert shop.check(old, 2)["errcode"] == 87009
    assert shop.check(new, 2)["errcode"] == 0


@pytest.mark.parametrize(
    ("seconds", "errcode"),
    [
        pytest.param(3 * DAY - 0.1, 0, id="three days"),
        pytest.param(3 * DAY, 87007, id="not longer"),
    ],
)
def test_a_session_key_ends(shop: MiniProgram, seconds: float, errcode: int) -> None:
    key = shop.key()

    assert shop.check(key, seconds)["errcode"] == errcode
    assert shop.phone().check_session(after(seconds)) == (errcode == 0)


def test_a_session_key_may_end_early(shop: MiniProgram) -> None:
    key = shop.key()
    shop.phone().expire(after(1))

    assert shop.check(key, 1)["errcode"] == 87007
    assert not shop.phone().check_session(after(1))
    assert shop.check(shop.key(2), 2)["errcode"] == 0


def test_a_session_key_that_is_reset_gives_way_to_another_at_once(shop: MiniProgram) -> None:
    old = shop.key()

    reply = shop.reset(old, 1)

    new = reply.pop("session_key")
    assert reply == {"errcode": 0, "errmsg": "ok", "openid": shop.phone().openid}
    assert len(b64decode(new, validate=True)) == 16
    assert shop.check(new, 1)["errcode"] == 0
    assert shop.check(old, 1)["errcode"] == 87009
    assert shop.reset(old, 1)["errcode"] == 87009


def test_a_session_key_that_is_reset_inherits_the_end(shop: MiniProgram) -> None:
    new = shop.reset(shop.key(), DAY)["session_key"]

    assert shop.check(new, 3 * DAY - 1)["errcode"] == 0
    assert shop.check(new, 3 * DAY)["errcode"] == 87007


def test_all_session_keys_are_known_whoever_has_them(shop: MiniProgram) -> None:
    """So that tests can look for them where they should not be."""
    first = shop.key()
    second = shop.reset(shop.key(1), 1)["session_key"]
    bobs = shop.key(user="bob")

    assert {first, second, bobs} <= set(shop.world.all_issued())


@pytest.mark.parametrize("call", ["check", "reset"])
def test_calls_about_sessions_are_in_the_ledger(shop: MiniProgram, call: str) -> None:
    getattr(shop, call)(shop.key())
    getattr(shop, call)("", access_token="made-up")

    endpoint = {"check": "checksession", "reset": "resetusersessionkey"}[call]
    assert shop.world.calls(APPID, endpoint) == 1
    assert shop.world.rejected_uses == 1
