"""What comes out of an answer of WeChat: a token or a typed error, whatever went in."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend.errors import (
    AddressRefused,
    AdministratorAsked,
    AdministratorRefused,
    AdministratorRefusedTwice,
    DayQuotaReached,
    MinuteQuotaReached,
    SecretRefused,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnclear,
)
from tokend.model import App, Issued, Secret
from tokend.wechat import advice
from tokend.wechat.advice import Advice
from tokend.wechat.replies import read_token

APP = App(name="shop", appid="wx0123456789abcdef", secret=Secret("canary-app-secret"))
GOOD = {"access_token": "92_good", "expires_in": 7200}


def read(content: object) -> Issued:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_token(body, APP)


def test_a_good_answer_is_a_value_and_a_lifetime() -> None:
    issued = read(GOOD)

    assert issued == Issued(value=Secret("92_good"), lifetime=timedelta(seconds=7200))


def test_an_errcode_of_zero_is_no_error() -> None:
    assert read({**GOOD, "errcode": 0, "errmsg": "ok"}).value == Secret("92_good")


@pytest.mark.parametrize(
    ("given", "lifetime"),
    [
        pytest.param(7200, 7200, id="the usual"),
        pytest.param(345, 345, id="what is left of a stable token"),
        pytest.param(60, 60, id="the shortest"),
        pytest.param("7200", 7200, id="digits"),
        pytest.param(7201, 7200, id="more than WeChat has"),
        pytest.param(999_999_999, 7200, id="far more"),
    ],
)
def test_expires_in_is_at_most_two_hours(given: object, lifetime: int) -> None:
    assert read({**GOOD, "expires_in": given}).lifetime == timedelta(seconds=lifetime)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(0, id="zero"),
        pytest.param(59, id="too short"),
        pytest.param(-7200, id="negative"),
        pytest.param(True, id="bool"),
        pytest.param(7200.5, id="float"),
        pytest.param("7200 ", id="digits and a blank"),
        pytest.param("٧٢٠٠", id="digits of another script"),
        pytest.param("", id="empty"),
        pytest.param(10**30, id="huge"),
        pytest.param(None, id="null"),
        pytest.param([7200], id="list"),
    ],
)
def test_an_expires_in_that_is_nonsense_is_unclear(given: object) -> None:
    with pytest.raises(UpstreamUnclear, match="expires_in"):
        read({**GOOD, "expires_in": given})


@pytest.mark.parametrize("length", [1, 136, 512, 513, 4096])
def test_tokens_of_any_length_up_to_4096_are_taken(length: int) -> None:
    value = "x" * length

    assert read({**GOOD, "access_token": value}).value == Secret(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 4097, id="too long"),
        pytest.param("92_a\r\nSet-Cookie: x", id="line break"),
        pytest.param("92_\x00", id="NUL"),
        pytest.param("92 a", id="blank"),
        pytest.param("92_é", id="not ASCII"),
        pytest.param(92, id="number"),
        pytest.param(None, id="null"),
        pytest.param({"a": 1}, id="object"),
    ],
)
def test_what_cannot_be_a_token_is_unclear(value: object) -> None:
    with pytest.raises(UpstreamUnclear, match="access_token"):
        read({**GOOD, "access_token": value})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html><h1>502 Bad Gateway</h1></html>", id="HTML"),
        pytest.param(b'{"access_token":"92_good","expires_in":72', id="cut off"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), id="byte order mark"),
        pytest.param(json.dumps(GOOD).encode("utf-16"), id="UTF-16"),
        pytest.param(
            b'{"access_token":"92_a","access_token":"92_b","expires_in":7200}', id="twice"
        ),
        pytest.param(b'{"expires_in":NaN,"access_token":"92_good"}', id="NaN"),
        pytest.param(b"[" * 16_000, id="nested without end"),
        pytest.param(b'{"expires_in":' + b"9" * 10_000 + b"}", id="a number of 10,000 digits"),
        pytest.param(b'["92_good"]', id="list"),
        pytest.param(b'"92_good"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="empty object"),
    ],
)
def test_garbage_is_unclear(body: bytes) -> None:
    with pytest.raises(UpstreamUnclear):
        read(body)


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [
        (-1, UpstreamBusy),
        (40001, SecretRefused),
        (40013, UpstreamRefused),
        (40125, SecretRefused),
        (40164, AddressRefused),
        (45009, DayQuotaReached),
        (45011, MinuteQuotaReached),
        (89503, AdministratorAsked),
        (89506, AdministratorRefusedTwice),
        (89507, AdministratorRefused),
        (99999, UpstreamRefused),
        ("40013", UpstreamRefused),
    ],
)
def test_an_errcode_says_who_has_to_act(errcode: object, kind: type[UpstreamRefused]) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        read({"errcode": errcode, "errmsg": "said"})

    assert type(caught.value) is kind
    assert caught.value.errcode == int(str(errcode))
    assert caught.value.advice


def test_an_errcode_outweighs_a_token_beside_it() -> None:
    with pytest.raises(UpstreamRefused):
        read({**GOOD, "errcode": 40013, "errmsg": "invalid appid"})


def test_an_errcode_that_is_no_number_is_unclear() -> None:
    with pytest.raises(UpstreamUnclear, match="errcode"):
        read({**GOOD, "errcode": "bad"})


def test_the_advice_names_the_address_that_wechat_sees_and_how_not_to_wait() -> None:
    errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6172-1-1"

    with pytest.raises(UpstreamRefused) as caught:
        read({"errcode": 40164, "errmsg": errmsg})

    assert caught.value.advice == (
        "WeChat sees address 203.0.113.7; add it to the IP whitelist of shop, "
        "then 'tokend refresh KEY', or wait for the next try"
    )


@pytest.mark.parametrize("errcode", [40001, 40125])
def test_the_advice_on_a_wrong_secret_says_when_the_right_one_counts(errcode: int) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        read({"errcode": errcode, "errmsg": "invalid"})

    assert "'tokend reload'" in caught.value.advice
    assert "tokend reload" in caught.value.advice_zh


def test_a_secret_that_is_echoed_does_not_show() -> None:
    with pytest.raises(UpstreamRefused) as caught:
        read({"errcode": 40125, "errmsg": "bad secret canary-app-secret\x1b[31m\n" + "x" * 9999})

    assert str(caught.value).startswith("errcode 40125: bad secret …\ufffd[31m\ufffd")
    assert len(str(caught.value)) < 250


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["access_token", "expires_in", "errcode", "errmsg", "x"]), inner
                )
            ),
        ),
    )
)
def test_nothing_but_a_token_or_a_typed_error_comes_out(content: object) -> None:
    try:
        issued = read(content)
    except UpstreamError:
        return

    assert timedelta(seconds=60) <= issued.lifetime <= timedelta(seconds=7200)
    assert issued.value.reveal()


@pytest.mark.parametrize(
    ("errmsg", "told", "rid"),
    [
        (
            "invalid appid rid: 6a0b1c2d-11aa22bb-33cc44dd",
            "invalid appid",
            "6a0b1c2d-11aa22bb-33cc44dd",
        ),
        ("invalid code, rid: 6a0b1c2d-11-33", "invalid code", "6a0b1c2d-11-33"),
        ("system error", "system error", ""),
    ],
)
def test_the_id_of_a_request_is_for_the_log_alone(errmsg: str, told: str, rid: str) -> None:
    """With it and a token WeChat shows the request, and the AppSecret in it."""
    with pytest.raises(UpstreamRefused) as refused:
        read({"errcode": 40013, "errmsg": errmsg})

    assert (refused.value.errmsg, refused.value.rid) == (told, rid)
    assert str(refused.value) == f"errcode 40013: {told}"


def test_of_wecom_the_rest_of_a_life_is_taken() -> None:
    robot = App(name="robot", appid="ww0123456789abcdef/1", secret=Secret("canary"))
    body = json.dumps({"errcode": 0, "access_token": "t", "expires_in": 5}).encode()

    assert read_token(body, robot).lifetime == timedelta(seconds=5)


@pytest.mark.parametrize("errcode", [-1, 40125, 48001, 99999])
def test_what_another_tokend_refuses_is_to_be_looked_at_there(errcode: int) -> None:
    errmsg = f"{'x' * 300}: no such client key (tokend)"

    with pytest.raises(UpstreamRefused) as caught:
        read({"errcode": errcode, "errmsg": errmsg})

    assert caught.value.advice == advice.TOKEND.en


def test_an_advice_says_the_same_in_chinese() -> None:
    error = refused({"errcode": 40164, "errmsg": "invalid ip 203.0.113.9 ipv6 ::1, not in list"})

    for words in (error.advice, error.advice_zh):
        assert "203.0.113.9" in words
        assert "shop" in words
    assert "白名单" in error.advice_zh


@pytest.mark.parametrize("each", [v for v in vars(advice).values() if isinstance(v, Advice)])
def test_every_advice_is_there_in_chinese(each: Advice) -> None:
    here = each.about("canteen", "203.0.113.9")

    assert re.search("[\u4e00-\u9fff]", here.zh)
    assert not re.search("[\u4e00-\u9fff]", here.en)
    assert ("canteen" in here.en, "203.0.113.9" in here.en) == (
        "canteen" in here.zh,
        "203.0.113.9" in here.zh,
    )


def refused(content: object) -> UpstreamRefused:
    with pytest.raises(UpstreamRefused) as refusal:
        read(content)
    return refusal.value
