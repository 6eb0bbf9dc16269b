"""The line that shows the life of a key's tokens: where each begins, ends and overlaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend.model import Secret, State, Status, Token, TokenKey
from tokend.page.line import LIFE, Beginning, life_line

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OFFICIAL = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
TICKET = TokenKey(app="shop", appid="wx0123456789abcdef", kind="jsapi_ticket")
AGENT = TokenKey(app="sales", appid="ww0123456789abcdef/1000002", kind="access_token")


def status(left: int | None, refresh: int, key: TokenKey = OFFICIAL) -> Status:
    """With so many minutes left, if there is a token, and so many to the next refresh."""
    expires_in = (left or 0) * MINUTE
    token = Token(value=Secret("x"), generation=7, fence=7, expires_at=NOW + expires_in)
    return Status(
        key=key,
        state=State.FRESH,
        token=None if left is None else token,
        expires_in=expires_in,
        refreshing=False,
        next_refresh_in=refresh * MINUTE,
        failures=0,
        error=None,
    )


def minutes(span) -> tuple[int, int] | None:
    return span and (span.begin // MINUTE, span.end // MINUTE)


def test_the_old_token_is_accepted_for_five_minutes_beside_the_new_one() -> None:
    line = life_line(status(100, 95), Beginning(20 * MINUTE, replaced=True))

    assert minutes(line.token) == (-20, 100)
    assert minutes(line.before) == (-30, -15)
    assert minutes(line.overlap) == (95, 100)
    assert minutes(line.next) == (95, 110)
    assert minutes(line.shown) == (-30, 110)


def test_a_token_that_is_replaced_early_lives_five_minutes_more() -> None:
    line = life_line(status(100, 40), None)

    assert minutes(line.overlap) == (40, 45)


@pytest.mark.parametrize("key", [TICKET, AGENT])
def test_where_wechat_promises_no_overlap_none_is_shown(key: TokenKey) -> None:
    line = life_line(status(100, 95, key), Beginning(20 * MINUTE, replaced=True))

    assert line.overlap is None
    assert minutes(line.before) == (-30, -20)


def test_before_the_first_token_there_is_none() -> None:
    assert life_line(status(115, 110), Beginning(5 * MINUTE, replaced=False)).before is None
    assert life_line(status(115, 110), None).before is None


def test_of_unknown_age_it_is_taken_to_have_got_two_hours() -> None:
    assert minutes(life_line(status(100, 95), None).token) == (-20, 100)


def test_without_a_token_there_is_but_the_next_one() -> None:
    line = life_line(status(None, 3), None)

    assert (line.before, line.token, line.overlap) == (None, None, None)
    assert minutes(line.next) == (3, 13)
    assert minutes(line.shown) == (-10, 13)


def test_what_has_ended_long_ago_is_not_in_it() -> None:
    line = life_line(status(-3 * 24 * 60, 24 * 60), Beginning(3 * LIFE * 12, replaced=True))

    assert (line.token, line.next) == (None, None)
    assert minutes(line.shown) == (-130, 130)


@given(
    left=st.none() | st.integers(-10_000, 200),
    refresh=st.integers(0, 2000),
    beginning=st.none() | st.builds(Beginning, st.timedeltas(0 * MINUTE), st.booleans()),
)
def test_all_that_is_shown_lies_in_it_in_order(
    left: int | None, refresh: int, beginning: Beginning | None
) -> None:
    line = life_line(status(left, refresh), beginning)

    assert line.shown.begin < timedelta(0) < line.shown.end
    for span in filter(None, (line.before, line.token, line.overlap, line.next)):
        assert 0 <= line.at(span.begin) < line.at(span.end) <= 1
    assert 0 < line.at(timedelta(0)) < 1
    assert 0 <= line.at(line.refresh) <= 1
