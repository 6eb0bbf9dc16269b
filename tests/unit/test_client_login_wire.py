"""What the client takes for tokend's answer about a user, and whom it blames for a refusal."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend.api.problem_table import CODES, PROBLEMS
from tokend.api.wire import LONGEST_BODY
from tokend.client import errors
from tokend.client.errors import Away, ClientError, DataRefused, UsageError
from tokend.client.login_wire import Call, Calls
from tokend.client.wire import Reply
from tokend.config.settings import WechatSettings
from tokend.login.exchange import _PAUSES

SESSION, OPENID = "s" * 43, "o" * 28
CALLS = Calls("shop")
BEGUN = {"session": SESSION, "openid": OPENID, "new": True, "expires_in": 300}
SHOWN = {"openid": OPENID, "unionid": "u", "user": "1", "age": 0, "expires_in": 300}
USER = {"openid": OPENID, "user": "1", "since": 0}
NUMBER = {"phoneNumber": "1", "purePhoneNumber": "1", "countryCode": "86"}

# A call of each kind of answer, and an answer that is good.
GOOD: dict[str, tuple[Call[Any], int, object]] = {
    "login": (CALLS.login("code"), 200, BEGUN),
    "session": (CALLS.session(SESSION), 200, SHOWN),
    "user": (CALLS.user(OPENID), 200, USER),
    "decrypt": (CALLS.decrypt(SESSION, encrypted_data="", iv=""), 200, {"any": 1}),
    "logout": (CALLS.logout(SESSION), 204, None),
    "phone_number": (CALLS.phone_number("code"), 200, NUMBER),
    "paid_unionid": (CALLS.paid_unionid(OPENID, transaction_id="1"), 200, {"unionid": "u"}),
}

# Whom a refusal is told to, by tokend's code. What is not listed is for the operator if it is below
# 500, else for time.
BLAMED = {
    "unknown_session": "UnknownSession",
    "unknown_user": "UnknownUser",
    "code_invalid": "CodeRefused",
    "code_used": "CodeRefused",
    "user_blocked": "UserBlocked",
    "signature_refused": "DataRefused",
    "data_refused": "DataRefused",
    "identity_refused": "DataRefused",
    "bad_request": "DataRefused",
    "body_too_large": "DataRefused",
    "upstream_refused": "Refused",
    "login_limited": "Busy",
    "too_many_wrong_keys": "Busy",
    "refresh_limited": "Busy",
    "too_many_polls": "Busy",
}


def heard(call: Call[Any], status: int, answer: object) -> object:
    body = b"" if status == 204 else json.dumps(answer).encode()
    try:
        return call.read(Reply(status, body))
    except ClientError as error:
        return error


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_is_read(name: str) -> None:
    assert not isinstance(heard(*GOOD[name]), ClientError)


@pytest.mark.parametrize(("status", "code"), [(row.status, row.code) for _, row in PROBLEMS])
def test_each_of_tokends_problems_is_told_to_who_can_act(status: int, code: str) -> None:
    problem = {"code": code, "detail": "shop: no", "advice": "do", "retry_after": 7}
    error = heard(CALLS.login("code"), status, problem)

    assert type(error).__name__ == BLAMED.get(code, "Refused" if status < 500 else "Busy")
    assert str(error) == ("shop: no" if isinstance(error, errors.Later) else "shop: no (do)")
    assert error.code == code
    assert getattr(error, "retry_after", timedelta(seconds=7)) == timedelta(seconds=7)


def test_every_code_that_is_blamed_is_one_of_tokends() -> None:
    assert set(BLAMED) <= set(CODES)


NO_ID = [None, 1, "", "a b", "x" * 129, ["o"]]
NO_NUMBER = [None, -1, True, 1.5, "1", 10**400, float("nan")]
NO_TEXT = [None, 1, ["1"], {}]
ODD = {
    "login": {
        "session": [None, 1, "", "s" * 42, "s" * 44],
        "openid": NO_ID,
        "unionid": NO_TEXT,
        "new": [None, 0, "true"],
        "expires_in": NO_NUMBER,
    },
    "session": {"openid": NO_ID, "user": NO_TEXT, "age": NO_NUMBER, "expires_in": NO_NUMBER},
    "user": {"openid": NO_ID, "unionid": NO_TEXT, "since": NO_NUMBER},
    "phone_number": {"phoneNumber": NO_TEXT, "purePhoneNumber": NO_TEXT, "countryCode": NO_TEXT},
    "paid_unionid": {"unionid": NO_ID},
}


@pytest.mark.parametrize(
    ("name", "member"), [(name, member) for name, members in ODD.items() for member in members]
)
def test_an_answer_with_anything_odd_about_it_is_none(name: str, member: str) -> None:
    call, status, good = GOOD[name]
    answers = [heard(call, status, {**good, member: odd}) for odd in ODD[name][member]]

    assert {type(answer) for answer in answers} == {Away}
    assert {str(answer) for answer in answers} == {"shop: HTTP status 200, not tokend's own"}


@pytest.mark.parametrize("status", [0, 200, 204, 301, 404, 429, 503, 999])
@pytest.mark.parametrize("body", [b"", b"[" * 60_000, b"\xff", b"NaN", b'"\\ud800"', b"{}", b"[]"])
def test_what_is_no_document_is_not_tokends(status: int, body: bytes) -> None:
    for name, (call, _, _) in GOOD.items():
        if (name, status) == ("logout", 204) or (name, status, body) == ("decrypt", 200, b"{}"):
            continue  # these are
        with pytest.raises(Away, match="not tokend's own"):
            call.read(Reply(status, body))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=10,
)
NAMES = sorted({*BEGUN, *SHOWN, *USER, "code", "detail", "advice", "retry_after"})


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(GOOD)),
    status=st.integers(0, 999) | st.sampled_from([200, 204, 404, 429, 503]),
    odd=st.dictionaries(st.sampled_from(NAMES), ANYTHING),
)
def test_whatever_is_said_is_an_answer_or_a_short_error(
    name: str, status: int, odd: dict[str, object]
) -> None:
    call, _, good = GOOD[name]
    answer = heard(call, status, {**(good or {}), **odd})

    if isinstance(answer, ClientError):
        assert str(answer).isprintable()
        assert len(str(answer)) < 1100
    else:
        assert status in {200, 204}


def test_a_call_does_not_show_what_is_sent() -> None:
    shown = repr([call for call, _, _ in GOOD.values()] + [CALLS.login("canary-code")])

    assert SESSION not in shown
    assert "canary" not in shown


@pytest.mark.parametrize("app", ["", "Shop", "shop/access_token", "..", "a" * 65, "shop?"])
def test_what_is_no_apps_name_is_the_programs_mistake(app: str) -> None:
    with pytest.raises(UsageError, match="an app has a name like 'shop'"):
        Calls(app)


@pytest.mark.parametrize("user", [7, None, b"7"])
def test_what_the_program_calls_a_user_is_text_or_its_own_mistake(user: Any) -> None:
    with pytest.raises(UsageError, match=f"text, not {type(user).__name__}"):
        CALLS.bind(SESSION, user)


@pytest.mark.parametrize(
    "order", [{}, {"mch_id": "1"}, {"transaction_id": "1", "mch_id": "1"}, {"order": "1"}]
)
def test_an_order_that_nothing_names_is_the_programs_mistake(order: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="transaction_id, or by mch_id and out_trade_no"):
        CALLS.paid_unionid(OPENID, **order)


def test_what_tokend_would_not_read_for_its_length_is_not_sent() -> None:
    room = LONGEST_BODY - len(json.dumps({"user": ""}))
    assert CALLS.bind(SESSION, "x" * room)

    with pytest.raises(DataRefused, match="too long"):
        CALLS.bind(SESSION, "x" * (room + 1))


def test_a_login_is_waited_for_as_long_as_tokend_may_take() -> None:
    """Each call to WeChat may take the most that ``wechat.timeout_seconds`` can be."""
    longest = WechatSettings(timeout_seconds=8).timeout.total_seconds()
    pauses = sum(pause.total_seconds() for pause in _PAUSES)

    assert CALLS.login("code").request.patience > (len(_PAUSES) + 1) * longest + pauses
