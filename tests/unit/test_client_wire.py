"""What the client takes for tokend's answer, and what for a stranger's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend.client.errors import Away, ClientError, NotReady, Refused
from tokend.client.token import Held
from tokend.client.wire import Limited, Reply, read

KEY = "shop/access_token"
ISSUED = {
    "app": "shop",
    "kind": "access_token",
    "access_token": "92_1",
    "generation": 1,
    "expires_in": 7200,
}
PROBLEM = {"code": "not_ready", "detail": "no", "advice": "wait", "retry_after": 1}
HUGE = 10**400


def heard(status: int, body: bytes) -> Held | ClientError | None:
    try:
        return read(Reply(status, body), KEY, asked_at=1000, now=1001)
    except ClientError as error:
        return error


def wrong(status: int, document: dict[str, Any], **members: object) -> Held | ClientError | None:
    return heard(status, json.dumps({**document, **members}).encode())


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({name: value}, id=f"{name}-{value!r:.20}")
        for name, values in {
            "app": ["other", None, ["shop"]],
            "kind": ["jsapi_ticket", None],
            "access_token": ["", " ", "92\n1", "92 1", "92_\u4e2d", "92\x00", 92, None, "9" * 4097],
            "generation": [-1, HUGE, 10**18, True, 1.0, "1", None, float("nan")],
            "expires_in": [-1, True, 1.5, "1", None, float("inf"), [1]],
        }.items()
        for value in values
    ],
)
def test_a_token_with_anything_odd_about_it_is_none(members: dict[str, object]) -> None:
    answer = wrong(200, ISSUED, **members)

    assert type(answer) is Away
    assert str(answer) == f"{KEY}: HTTP status 200, not tokend's own"


@pytest.mark.parametrize("seconds", [7201, HUGE])
def test_a_life_that_wechat_does_not_give_is_cut_to_what_it_does(seconds: int) -> None:
    answer = wrong(200, ISSUED, expires_in=seconds)

    assert isinstance(answer, Held)
    assert answer.until == 1000 + 7200


@pytest.mark.parametrize("status", [429, 502, 503])
@pytest.mark.parametrize(
    "seconds", [-1, HUGE, 10**7, True, 1.5, "1", None, float("nan"), float("inf"), -float("inf")]
)
def test_a_wait_that_nobody_could_sleep_is_not_tokends(status: int, seconds: object) -> None:
    answer = wrong(status, PROBLEM, retry_after=seconds)

    assert str(answer) == f"{KEY}: HTTP status {status}, not tokend's own"


def test_what_is_said_is_one_line_and_not_endless() -> None:
    evil = "a\r\n\x1b[2J\u2028\u202e\ud800" + "x" * 60_000
    answer = wrong(403, PROBLEM, detail=evil, advice=evil, code=evil)

    assert isinstance(answer, Refused)
    assert str(answer).isprintable()
    assert answer.code.isprintable()
    assert len(str(answer)) < 1100


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param(b'{"detail":' * 9_000, id="deep objects"),
        pytest.param(b"9" * 60_000, id="a long number"),
        pytest.param(b"\xff\xfe\x00", id="half of UTF-16"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b'"\\ud800"', id="half a character"),
    ],
)
@pytest.mark.parametrize("status", [0, 200, 204, 301, 404, 429, 503, 999])
def test_what_is_no_document_is_not_tokends(status: int, body: bytes) -> None:
    assert str(heard(status, body)) == f"{KEY}: HTTP status {status}, not tokend's own"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=10,
)
NAMES = sorted({*ISSUED, *PROBLEM, "ticket"})
DOCUMENTS = st.builds(
    lambda base, odd: json.dumps({**base, **odd}).encode(),
    st.sampled_from([{}, ISSUED, PROBLEM]),
    st.dictionaries(st.sampled_from(NAMES), ANYTHING),
)
STATUSES = st.integers(0, 999) | st.sampled_from([200, 304, 401, 403, 404, 429, 500, 502, 503])


@settings(deadline=None)
@given(
    status=STATUSES, body=st.binary() | DOCUMENTS | ANYTHING.map(lambda a: json.dumps(a).encode())
)
def test_whatever_is_said_is_a_token_no_news_or_an_error(status: int, body: bytes) -> None:
    answer = heard(status, body)

    if isinstance(answer, Held):
        assert status == 200
        assert 1000 <= answer.until <= 1000 + 7200
        assert 0 <= answer.token.generation < 10**18
        assert answer.token.key == KEY
        assert answer.token.isascii()
        assert answer.token.isprintable()
        assert 1 <= len(answer.token) <= 4096
    elif answer is None:
        assert status == 304
    else:
        assert str(answer).isprintable()
        assert len(str(answer)) < 1100
        if isinstance(answer, Away | NotReady | Limited):
            assert 0 <= answer.retry_after.total_seconds() <= 2 * 86_400
