"""When a token is due, how long it may be promised, how long to wait after a failure.

Pure arithmetic: *now* and chance (*draw*, 0 to 1) are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.errors import (
    AdministratorAsked,
    AdministratorRefused,
    AdministratorRefusedTwice,
    BreakerOpen,
    DayQuotaReached,
    LeaseBusy,
    MinuteQuotaReached,
    StoreError,
    TokendError,
    TokenRejected,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamUnclear,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.model import Token
    from tokend.terms import Terms

NO_TIME = timedelta(0)

# For this long WeChat honours the old token beside the new one.
# https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
OVERLAP = timedelta(minutes=5)


# So often may WeChat give the same token although it is due, before that is an alarm.
SAME_ANSWERS = 5

# A token that the store does not have is offered to it again after this. Others, who have none,
# wait a little longer once the store is back.
RESTORE_PAUSE = timedelta(seconds=2)
RESTORE_PATIENCE = timedelta(seconds=2.5)

# A classic token is asked for without the store, by the node that may, only when this is left.
LAST_MOMENTS = timedelta(seconds=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When one key is refreshed and how fast tries follow each other while WeChat is away.

    due is ``expires_at - ahead`` plus a jitter drawn between *jitter_from* and *jitter_to*.
    Tries double from *first* to *cap*, or to *urgent_cap* when less than *urgent* is left; after
    an unclear answer there is none for *quarantine*. A token is confirmed every *reconcile* (zero:
    never), a suspect one after *quarantine*.
    """

    ahead: timedelta
    jitter_from: timedelta
    jitter_to: timedelta
    first: timedelta
    cap: timedelta
    urgent: timedelta
    urgent_cap: timedelta
    reconcile: timedelta
    quarantine: timedelta

    @property
    def latest(self) -> timedelta:
        """The least life that a token has left when it becomes due."""
        return self.ahead - self.jitter_to


def stable_pace(ahead: timedelta, terms: Terms) -> Pace:
    """For stable_token, which gives a new token only in the last 300 s of the old one.

    Due lies safely inside that window: a call before it would return the same token again. Asking
    again costs nothing, so tokens are confirmed now and then, and suspect ones at once. WeChat's
    manual wants a call every five minutes:
    https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
    """
    return Pace(
        ahead=ahead,
        jitter_from=timedelta(seconds=5),
        jitter_to=timedelta(seconds=30),
        first=timedelta(seconds=1),
        cap=timedelta(seconds=15),
        urgent=timedelta(seconds=60),
        urgent_cap=timedelta(seconds=5),
        reconcile=terms.reconcile,
        quarantine=NO_TIME,
    )


def classic_pace(ahead: timedelta, terms: Terms) -> Pace:
    """For cgi-bin/token, where every call gives a new token; tries are dearer, so slower."""
    return Pace(
        ahead=ahead,
        jitter_from=NO_TIME,
        jitter_to=NO_TIME,
        first=timedelta(seconds=2),
        cap=timedelta(seconds=60),
        urgent=timedelta(seconds=120),
        urgent_cap=timedelta(seconds=5),
        reconcile=NO_TIME,
        quarantine=terms.quarantine,
    )


def wecom_pace(_: timedelta, terms: Terms) -> Pace:
    """For WeCom, which gives the same token until that has ended, and then the next one.

    https://developer.work.weixin.qq.com/document/path/91039
    """
    return replace(
        stable_pace(timedelta(seconds=1), terms),
        jitter_from=NO_TIME,
        jitter_to=NO_TIME,
        cap=timedelta(seconds=5),
        reconcile=NO_TIME,
    )


def ticket_pace(ahead: timedelta, terms: Terms) -> Pace:
    """For tickets: due after the access_token that they are asked for with. Whether a ticket ends
    the life of the one before is not told, so they are asked for as rarely as classic tokens.
    """
    return replace(
        classic_pace(ahead, terms),
        jitter_from=timedelta(seconds=45),
        jitter_to=timedelta(seconds=75),
        cap=timedelta(seconds=15),
    )


# By the method.
PACES = {"stable_token": stable_pace, "token": classic_pace, "gettoken": wecom_pace}


def due_at(token: Token, pace: Pace, *, draw: float) -> datetime:
    """The instant from which a scheduled refresh should happen."""
    jitter = pace.jitter_from + (pace.jitter_to - pace.jitter_from) * draw
    return token.expires_at - pace.ahead + jitter


def again_at(token: Token, pace: Pace, now: datetime, *, answers: int) -> datetime:
    """When to ask again after WeChat gave the same token although it was due, *answers* times now.

    Its clock is behind ours: wait until its own window of renewal must have opened. If it does
    not open, do not hammer at it.
    """
    margin = pace.jitter_from if answers <= SAME_ANSWERS else pace.jitter_to
    return max(token.expires_at - pace.ahead + margin, now + margin)


def confirm_at(token: Token, pace: Pace, now: datetime, *, draw: float) -> datetime | None:
    """When to ask WeChat whether the token is still the one it accepts; None: never.

    A *suspect* one, where asking costs it, not before every call that may have superseded it has
    been acted on; then the confirmation is the last word.
    """
    if token.suspect:
        return now + pace.quarantine
    if not pace.reconcile:
        return None
    return now + pace.reconcile * (0.9 + 0.2 * draw)


def usable_until(token: Token, pace: Pace, now: datetime) -> datetime:
    """Until when the token, not yet refreshed at *now*, will be accepted, come what is planned.

    The next scheduled refresh comes at due at the earliest and leaves the old token the overlap.
    """
    next_refresh = max(token.expires_at - pace.ahead, now)
    return min(token.expires_at, next_refresh + OVERLAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits after failures of one class: doubling from *first* to *cap*.

    A wait is drawn between ``1 - early`` and ``1 + late`` times that: early for haste that must
    not come in step, late where WeChat has named a time before which no call may come.
    """

    first: timedelta
    cap: timedelta
    early: float = 0.0
    late: float = 0.0

    def wait(self, failures: int, draw: float) -> timedelta:
        base = min(self.first * (1 << min(failures - 1, 32)), self.cap)
        return base * (1 - self.early + (self.early + self.late) * draw)


_SECONDS = timedelta(seconds=1)

# How often a node looks whether another one has finished refreshing.
LEASE_POLL = Backoff(first=0.25 * _SECONDS, cap=2 * _SECONDS, early=0.5, late=0.5)

# Each class of failure has its own clock; the first row that fits decides.
# https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html (errcodes)
_BACKOFFS: tuple[tuple[type[TokendError], Backoff], ...] = (
    (LeaseBusy, LEASE_POLL),
    (TokenRejected, Backoff(first=_SECONDS, cap=60 * _SECONDS, early=0.5)),
    (BreakerOpen, Backoff(first=60 * _SECONDS, cap=60 * _SECONDS, late=0.25)),
    # That the store is back is noticed sooner than this.
    (StoreError, Backoff(first=10 * _SECONDS, cap=60 * _SECONDS, early=0.2)),
    (MinuteQuotaReached, Backoff(first=60 * _SECONDS, cap=60 * _SECONDS, late=0.25)),
    (DayQuotaReached, Backoff(first=3600 * _SECONDS, cap=3600 * _SECONDS, early=0.1, late=0.1)),
    (AdministratorAsked, Backoff(first=600 * _SECONDS, cap=600 * _SECONDS, late=0.1)),
    (AdministratorRefused, Backoff(first=3600 * _SECONDS, cap=3600 * _SECONDS, late=0.1)),
    (AdministratorRefusedTwice, Backoff(first=86400 * _SECONDS, cap=86400 * _SECONDS, late=0.1)),
)
_OPERATOR = Backoff(first=60 * _SECONDS, cap=1800 * _SECONDS, late=0.1)
_DAY_QUOTA_EXPIRED = Backoff(first=900 * _SECONDS, cap=900 * _SECONDS, early=0.1, late=0.1)
_LONG_EXPIRED_CAP = timedelta(seconds=60)
_LONG_EXPIRED = timedelta(minutes=10)


def backoff(error: TokendError, pace: Pace, *, remaining: timedelta) -> Backoff:
    """The clock of this class of failure, for a token with *remaining* life (negative: expired)."""
    if isinstance(error, DayQuotaReached) and remaining <= NO_TIME:
        return _DAY_QUOTA_EXPIRED
    for kind, row in _BACKOFFS:
        if isinstance(error, kind):
            return row
    if isinstance(error, UpstreamRefused) and not isinstance(error, UpstreamBusy):
        return _OPERATOR
    if isinstance(error, UpstreamUnclear) and pace.quarantine:
        return Backoff(first=pace.quarantine, cap=pace.quarantine, late=0.1)
    return Backoff(first=pace.first, cap=_transient_cap(pace, remaining), early=0.5)


def _transient_cap(pace: Pace, remaining: timedelta) -> timedelta:
    if remaining <= -_LONG_EXPIRED:
        return _LONG_EXPIRED_CAP
    if NO_TIME < remaining < pace.urgent:
        return pace.urgent_cap
    return pace.cap


def forbids_reports(error: TokendError | None) -> bool:
    """Tell if, after *error*, a caller's report must wait for the backoff.

    WeChat has said no: another call would be refused as well, count against a quota,
    or, while the administrator is being asked, pester a person.
    """
    return isinstance(error, UpstreamRefused) and not isinstance(
        error, UpstreamBusy | TokenRejected
    )


def forbids_force(error: TokendError | None) -> bool:
    """Tell if, after *error*, even an operator must wait: the call would harm.

    An operator who has just mended a secret or an IP whitelist need not.
    """
    return isinstance(
        error,
        MinuteQuotaReached | DayQuotaReached | AdministratorRefused | AdministratorRefusedTwice,
    )
