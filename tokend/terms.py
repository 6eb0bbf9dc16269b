"""The numbers of the refresh protocol, and what must hold between them.

All nodes of one store should run with the same ones. A time is measured from *before* the request
that began it was sent, so that a slow answer shortens what is left and never lengthens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND = timedelta(seconds=1)
_SAVES = 3
_HEADROOM = 5 * _SECOND

# The longest wait between two looks at a lease that another node holds.
_POLL = 3 * _SECOND

# WeChat honours the old token for 300 s: what is unclear must be clear a minute before that.
_CLEARED_WITHIN = 240 * _SECOND

# WeChat grants so many force_refresh calls a day.
# https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
_FORCED_A_DAY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Defaults are those of the configuration.

    *call*        a call to WeChat ends within this
    *step*        so does a step in the store
    *lease*       how long a node that died keeps others from refreshing
    *quarantine*  how long WeChat may still act on a classic call whose answer never came
    *reconcile*   how often a stable_token is compared with WeChat's; zero: never
    *pause*       between two costly calls for a key that nothing planned
    *daily*       how many of those a day come about by themselves, and *reserve* more that only an
                  operator may ask for
    *at_once*     how many refreshes that are due this node has under way at one time
    *mints_alone* this node gets a classic token even while the store is away; one node at most
    """

    call: timedelta = 8 * _SECOND
    step: timedelta = 1 * _SECOND
    lease: timedelta = 30 * _SECOND
    quarantine: timedelta = 90 * _SECOND
    reconcile: timedelta = 240 * _SECOND
    pause: timedelta = 60 * _SECOND
    daily: int = 15
    reserve: int = 5
    at_once: int = 64
    mints_alone: bool = False

    @property
    def guard(self) -> timedelta:
        """A call may begin this long after the lease was asked for: it still ends, and is saved,
        while the lease is held.
        """
        return self.lease - self.call - _SAVES * self.step - _HEADROOM

    @property
    def takeover(self) -> timedelta:
        """How long after a node died in a refresh another one has finished it."""
        return self.lease + _POLL + self.call

    def broken(self) -> Iterator[str]:
        """Every inequality that does not hold, in the names of the configuration."""
        least = self.call + 2 * _SAVES * self.step + _HEADROOM
        if self.lease < least:
            yield (
                f"refresh.lease_seconds ({_s(self.lease)}) must be at least wechat.timeout_seconds "
                f"+ 6 * store.timeout_seconds + {_s(_HEADROOM)} ({_s(least)}), or a call could "
                "outlast its lease"
            )
        if self.quarantine < self.lease:
            yield (
                f"refresh.quarantine_seconds ({_s(self.quarantine)}) must be at least "
                f"refresh.lease_seconds ({_s(self.lease)})"
            )
        # The lease is held, then its holder dies; another notices, and waits before it asks.
        cleared = 2 * self.quarantine + self.lease + self.call + _POLL
        if cleared >= _CLEARED_WITHIN:
            yield (
                "2 * refresh.quarantine_seconds + refresh.lease_seconds + wechat.timeout_seconds "
                f"+ {_s(_POLL)} ({_s(cleared)}) must be less than {_s(_CLEARED_WITHIN)}, or an "
                "unclear refresh could outlast the 300 s for which WeChat honours the old token"
            )
        if self.daily + self.reserve > _FORCED_A_DAY:
            yield (
                f"refresh.daily_limit + refresh.operator_reserve ({self.daily + self.reserve}) "
                f"must be at most {_FORCED_A_DAY}, which is what WeChat grants a day"
            )


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}"
