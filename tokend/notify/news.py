"""A change of a key, as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tokend.chronicle import Event
    from tokend.errors import TokendError
    from tokend.model import TokenKey
    from tokend.notify.receiver import Topic


class News(NamedTuple):
    """A change, *at* a time of the wall clock, and as it was *heard* by the clock that never jumps.

    *left* is how long the token is still good; *ended* what a recovery ended; *percent* of a day's
    new tokens are spent. *begins* a time of trouble of which nothing has been told yet.
    """

    topic: Topic
    key: TokenKey
    at: datetime
    heard: timedelta
    left: timedelta
    error: TokendError | None = None
    ended: Topic | None = None
    percent: int = 0
    begins: bool = False


def news_of(
    topic: Topic,
    event: Event,
    now: timedelta,
    *,
    begins: bool = False,
    ended: Topic | None = None,
    percent: int = 0,
) -> News:
    """What an *event* that was heard *now* means to operators."""
    return News(
        topic=topic,
        key=event.status.key,
        at=event.at,
        heard=now,
        left=event.status.expires_in,
        error=event.happening.error,
        begins=begins,
        ended=ended,
        percent=percent,
    )
