"""When a token is due, and how long to wait after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend import policy
from tokend.errors import (
    AdministratorAsked,
    AdministratorRefused,
    AdministratorRefusedTwice,
    DayQuotaReached,
    MinuteQuotaReached,
    StoreError,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.model import Secret, Token
from tokend.terms import Terms

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
STABLE = policy.stable_pace(timedelta(seconds=300), Terms())
CLASSIC = policy.classic_pace(timedelta(seconds=300), Terms())
EARLY_CLASSIC = policy.classic_pace(timedelta(seconds=900), Terms())
PLENTY = timedelta(seconds=7000)

draws = st.floats(min_value=0, max_value=1)
lives = st.floats(min_value=60, max_value=7200).map(lambda seconds: timedelta(seconds=seconds))
failures = st.integers(min_value=1, max_value=10_000)


def token(life: timedelta) -> Token:
    return Token(value=Secret("92_x"), generation=1, fence=1, expires_at=NOW + life)


def refused(kind: type[UpstreamRefused]) -> UpstreamRefused:
    return kind(0, "", "")


@given(life=lives, draw=draws)
def test_a_stable_token_is_due_only_inside_the_last_300_seconds(
    life: timedelta, draw: float
) -> None:
    """Before them WeChat would give the same token again."""
    kept = token(life)

    due = policy.due_at(kept, STABLE, draw=draw)

    assert timedelta(seconds=270) <= kept.expires_at - due <= timedelta(seconds=295)


def test_a_classic_token_is_due_300_seconds_ahead() -> None:
    due = policy.due_at(token(timedelta(seconds=7200)), CLASSIC, draw=0.7)

    assert due == NOW + timedelta(seconds=6900)


@given(life=lives, passed=lives, pace=st.sampled_from([STABLE, CLASSIC, EARLY_CLASSIC]))
def test_no_more_life_is_promised_than_any_refresh_leaves(
    life: timedelta, passed: timedelta, pace: policy.Pace
) -> None:
    kept, now = token(life), NOW + passed

    until = policy.usable_until(kept, pace, now)

    earliest_refresh = max(kept.expires_at - pace.ahead, now)
    assert until <= kept.expires_at
    assert until <= earliest_refresh + policy.OVERLAP


def test_refreshing_earlier_than_the_overlap_shortens_the_promise() -> None:
    """The old token dies 300 s after the refresh, not at its own end."""
    until = policy.usable_until(token(timedelta(seconds=7200)), EARLY_CLASSIC, NOW)

    assert until == NOW + timedelta(seconds=7200 - 900 + 300)


@pytest.mark.parametrize(
    ("error", "tries", "shortest", "longest"),
    [
        pytest.param(
            UpstreamUnreachable("x"), 1, 0.5, 1, id="unreachable: a second, half of it drawn"
        ),
        pytest.param(UpstreamUnclear("x"), 3, 2, 4, id="unclear: doubling"),
        pytest.param(refused(UpstreamBusy), 99, 7.5, 15, id="busy: 15 s at most"),
        pytest.param(StoreError("x"), 1, 8, 10, id="store: until it is back"),
        pytest.param(refused(MinuteQuotaReached), 1, 60, 75, id="minute quota: the next minute"),
        pytest.param(refused(MinuteQuotaReached), 9, 60, 75, id="minute quota: no doubling"),
        pytest.param(refused(DayQuotaReached), 5, 3240, 3960, id="day quota: hourly"),
        pytest.param(refused(UpstreamRefused), 1, 60, 66, id="operator: a minute"),
        pytest.param(refused(UpstreamRefused), 2, 120, 132, id="operator: doubling"),
        pytest.param(refused(UpstreamRefused), 99, 1800, 1980, id="operator: half an hour at most"),
        pytest.param(refused(AdministratorAsked), 1, 600, 660, id="asked: ten minutes"),
        pytest.param(refused(AdministratorRefused), 1, 3600, 3960, id="refused: an hour"),
        pytest.param(refused(AdministratorRefusedTwice), 1, 86400, 95040, id="twice: a day"),
    ],
)
def test_each_class_of_error_has_its_own_clock(
    error: UpstreamUnclear, tries: int, shortest: float, longest: float
) -> None:
    row = policy.backoff(error, STABLE, remaining=PLENTY)

    drawn = [row.wait(tries, draw).total_seconds() for draw in (0, 1)]

    assert drawn == pytest.approx([shortest, longest])


@pytest.mark.parametrize(
    ("pace", "remaining", "cap"),
    [
        pytest.param(STABLE, 61, 15, id="stable, time enough"),
        pytest.param(STABLE, 59, 5, id="stable, under a minute left"),
        pytest.param(STABLE, 0, 15, id="stable, expired"),
        pytest.param(STABLE, -600, 60, id="stable, long expired"),
        pytest.param(CLASSIC, 121, 60, id="classic, time enough"),
        pytest.param(CLASSIC, 119, 5, id="classic, under two minutes left"),
    ],
)
def test_tries_follow_faster_while_little_life_is_left(
    pace: policy.Pace, remaining: float, cap: float
) -> None:
    row = policy.backoff(UpstreamUnreachable("x"), pace, remaining=timedelta(seconds=remaining))

    assert row.wait(1000, draw=1) == timedelta(seconds=cap)


def test_an_expired_token_makes_the_day_quota_worth_a_look_every_15_minutes() -> None:
    row = policy.backoff(refused(DayQuotaReached), STABLE, remaining=timedelta(0))

    assert row.wait(1, draw=0.5) == timedelta(minutes=15)


@given(tries=failures, draw=draws, remaining=lives)
def test_a_wait_is_never_nothing_and_never_beyond_its_cap(
    tries: int, draw: float, remaining: timedelta
) -> None:
    row = policy.backoff(UpstreamUnclear("x"), STABLE, remaining=remaining)

    wait = row.wait(tries, draw)

    assert timedelta(seconds=0.5) <= wait <= timedelta(seconds=15)


@given(life=lives, passed=lives)
def test_after_the_same_answer_it_asks_again_inside_the_window(
    life: timedelta, passed: timedelta
) -> None:
    kept, now = token(life), NOW + passed

    again = policy.again_at(kept, STABLE, now, answers=1)

    assert again >= now + timedelta(seconds=5)
    assert again >= kept.expires_at - timedelta(seconds=295)
