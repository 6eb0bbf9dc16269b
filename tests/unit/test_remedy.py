"""What operators are told to do about an error."""

from __future__ import annotations

import pytest

from tokend.errors import (
    BreakerOpen,
    DayQuotaReached,
    LeaseBusy,
    RecordUnreadable,
    StoreError,
    TokendError,
    UpstreamRefused,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.remedy import remedy


@pytest.mark.parametrize(
    "error",
    [
        UpstreamUnreachable("?"),
        UpstreamUnclear("?"),
        BreakerOpen("?"),
        StoreError("?"),
        LeaseBusy("?"),
        DayQuotaReached(45009, "?", advice="wait", advice_zh="等待"),
        TokendError("?"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_there_is_something_to_do_about_every_error_in_both_languages(error: TokendError) -> None:
    advice = remedy(error)

    assert advice.said("en").isascii()
    assert not advice.said("zh").isascii()


def test_about_a_refusal_it_is_what_its_errcode_asks_for() -> None:
    refused = UpstreamRefused(40125, "invalid appsecret", "mend it", advice_zh="改正")

    assert remedy(refused) == ("mend it", "改正")


def test_else_it_is_for_the_nearest_kind_of_error() -> None:
    assert remedy(RecordUnreadable("?")) == remedy(StoreError("?"))
    assert remedy(UpstreamUnclear("?")) != remedy(UpstreamUnreachable("?"))
