"""Numbers that do not fit together are refused, with the inequality that fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokend.terms import Terms


def seconds(least: float, most: float) -> st.SearchStrategy[timedelta]:
    return st.floats(least, most).map(lambda number: timedelta(seconds=number))


any_terms = st.builds(
    Terms,
    call=seconds(1, 8),
    step=seconds(0.1, 2),
    lease=seconds(15, 60),
    quarantine=seconds(40, 100),
)


def test_the_defaults_hold() -> None:
    assert list(Terms().broken()) == []
    assert Terms().guard == timedelta(seconds=14)


@pytest.mark.parametrize(
    ("terms", "broken"),
    [
        (
            Terms(lease=timedelta(seconds=18)),
            (
                "refresh.lease_seconds (18) must be at least wechat.timeout_seconds + "
                "6 * store.timeout_seconds + 5 (19), or a call could outlast its lease"
            ),
        ),
        (
            Terms(step=timedelta(seconds=5)),
            (
                "refresh.lease_seconds (30) must be at least wechat.timeout_seconds + "
                "6 * store.timeout_seconds + 5 (43), or a call could outlast its lease"
            ),
        ),
        (
            Terms(quarantine=timedelta(seconds=20)),
            "refresh.quarantine_seconds (20) must be at least refresh.lease_seconds (30)",
        ),
        (
            Terms(quarantine=timedelta(seconds=110)),
            (
                "2 * refresh.quarantine_seconds + refresh.lease_seconds + wechat.timeout_seconds "
                "+ 3 (261) must be less than 240, or an unclear refresh could outlast the 300 s "
                "for which WeChat honours the old token"
            ),
        ),
        (
            Terms(daily=16),
            (
                "refresh.daily_limit + refresh.operator_reserve (21) must be at most 20, which is "
                "what WeChat grants a day"
            ),
        ),
    ],
    ids=["short lease", "slow store", "short quarantine", "long quarantine", "quota"],
)
def test_what_does_not_hold_is_told_with_its_numbers(terms: Terms, broken: str) -> None:
    assert list(terms.broken()) == [broken]


@given(terms=any_terms)
def test_a_call_that_the_guard_lets_begin_is_saved_before_its_lease_ends(terms: Terms) -> None:
    assume(not list(terms.broken()))
    saved = terms.guard + terms.call + 3 * terms.step + timedelta(seconds=0.7)

    assert saved < terms.lease
    assert terms.guard >= 3 * terms.step - timedelta(microseconds=10)


@given(terms=any_terms)
def test_an_unclear_refresh_is_cleared_up_while_the_old_token_lives(terms: Terms) -> None:
    assume(not list(terms.broken()))
    worst = terms.call + 2 * terms.quarantine + terms.lease + timedelta(seconds=3) + terms.call

    assert worst < timedelta(seconds=300)


def test_only_the_numbers_that_break_something_are_told() -> None:
    terms = replace(Terms(), lease=timedelta(seconds=10), daily=20, reserve=20)

    assert len(list(terms.broken())) == 2
