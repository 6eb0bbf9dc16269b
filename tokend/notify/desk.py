"""What one receiver is still to be told. No I/O.

A refresh that fails once, and a trouble that is over within seconds, are nobody's business: WeCom's
tokens fail once at each of their ends, when WeCom still gives the old one. So a key is failing once
two refreshes in a row have failed, and whatever is told has stood for ``GRACE`` before.

Of each key there is one change to tell, the last; a recovery says what it ended. So a receiver that
was away for long hears how things are, and no list of how they came about.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from tokend.errors import MinuteQuotaReached, UpstreamRefused
from tokend.happening import What
from tokend.notify.news import News, news_of
from tokend.notify.receiver import Topic
from tokend.policy import forbids_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokend.chronicle import Event
    from tokend.model import TokenKey
    from tokend.notify.receiver import Receiver

GRACE = timedelta(seconds=10)

# What could not be told in this time is of no use any more.
_STALE = timedelta(days=1)

# Some 500 bytes each, and much less than a second to put into words.
_MOST = 10_000

_ENOUGH_FAILURES = 2
_LEVELS = (50, 80, 100)

# What a trouble is told for once: its topic, and the errcode of a refusal.
_Mark: TypeAlias = "tuple[Topic, int | None]"

# A key; its budget is apart. As text, whose hash is made once for all the dicts it goes through.
_Slot: TypeAlias = str


class Desk:
    """Gathers it. *dropped* is how many changes will never be told, which is still to be said."""

    def __init__(self, receiver: Receiver, *, most: int = _MOST) -> None:
        self.receiver = receiver
        self.dropped = 0
        self._most = most
        self._waiting: dict[_Slot, News] = {}
        self._taken: dict[_Slot, News] = {}
        self._troubles: dict[TokenKey, tuple[_Mark, ...]] = {}
        self._levels: dict[TokenKey, int] = {}

    def __bool__(self) -> bool:
        """Tell if there is anything to tell."""
        return bool(self._waiting)

    def hear(self, event: Event, *, percent: int, now: timedelta) -> None:
        """This happened, and *percent* of what a day grants this key are spent."""
        key = event.status.key
        if not self.receiver.has(key.app):
            return
        if event.happening.what is What.RECOVERED:
            self._recovered(event, now)
        else:
            self._worse(event, now)
        self._look_at_budget(event, percent, now)

    def take(self, before: timedelta, now: timedelta) -> list[News]:
        """What was heard *before* this, until it is ``settled`` or ``given_back``."""
        stale = now - _STALE
        young = {slot: news for slot, news in self._waiting.items() if news.heard > before}
        ripe = len(self._waiting) - len(young)
        self._taken = {
            slot: news for slot, news in self._waiting.items() if stale < news.heard <= before
        }
        self._waiting = young
        self.dropped += ripe - len(self._taken)
        return list(self._taken.values())

    def settled(self) -> None:
        """What was taken has been told."""
        self._taken = {}

    def given_back(self) -> None:
        """It has not, and what has come since about the same keys counts more."""
        self._waiting = self._taken | self._waiting
        self._taken = {}

    def lost(self) -> None:
        """It never will be."""
        self.dropped += len(self._taken)
        self._taken = {}

    def lost_all(self) -> None:
        """Nor will what is waiting."""
        self.given_back()
        self.dropped += len(self._waiting)
        self._waiting = {}

    def keep(self, is_kept: Callable[[TokenKey], bool]) -> None:
        """Forget all other keys."""
        for slot in [slot for slot, news in self._waiting.items() if not is_kept(news.key)]:
            del self._waiting[slot]
        for of_keys in (self._troubles, self._levels):
            for key in [key for key in of_keys if not is_kept(key)]:
                del of_keys[key]

    def _worse(self, event: Event, now: timedelta) -> None:
        key = event.status.key
        before = self._troubles.get(key, ())
        for mark in _marks(event):
            is_news = mark not in before and not (before and mark[0] is Topic.FAILING)
            if self.receiver.wants(mark[0]) and is_news:
                self._troubles[key] = (*before, mark)
                self._add_trouble(news_of(mark[0], event, now, begins=not before))
                return

    def _add_trouble(self, news: News) -> None:
        """Of one that has not been told yet, this says more; it began when that did."""
        slot = str(news.key)
        untold = self._waiting.get(slot)
        if untold and untold.topic is not Topic.RECOVERED:
            news = news._replace(heard=untold.heard, begins=untold.begins)
        self._add(slot, news)

    def _recovered(self, event: Event, now: timedelta) -> None:
        key = event.status.key
        marks = self._troubles.pop(key, ())
        if not marks:
            return
        slot = str(key)
        untold = self._waiting.get(slot)
        if untold and untold.begins and now - untold.heard < GRACE:
            del self._waiting[slot]
        elif self.receiver.wants(Topic.RECOVERED):
            ended = min((topic for topic, _ in marks), key=_GRAVITY.index)
            self._add(slot, news_of(Topic.RECOVERED, event, now, ended=ended))

    def _look_at_budget(self, event: Event, percent: int, now: timedelta) -> None:
        key = event.status.key
        level = max((each for each in _LEVELS if percent >= each), default=0)
        before = self._levels.pop(key, 0)
        if level:
            self._levels[key] = level
        if level > before and self.receiver.wants(Topic.QUOTA):
            self._add(f"{key} {Topic.QUOTA}", news_of(Topic.QUOTA, event, now, percent=level))

    def _add(self, slot: _Slot, news: News) -> None:
        is_room = len(self._waiting) + len(self._taken) < self._most
        if is_room or slot in self._waiting:
            self._waiting[slot] = news
        else:
            self.dropped += 1


# What a recovery is said to have ended: the worst of it.
_GRAVITY = (Topic.EXPIRED, Topic.REFUSED, Topic.FAILING)


def _marks(event: Event) -> Iterator[_Mark]:
    """What this may be told for, that which says most first."""
    happening, failures = event.happening, event.status.failures
    if happening.what is What.EXPIRED:
        yield Topic.EXPIRED, None
    if happening.what is What.FAILED and failures:
        if isinstance(happening.error, UpstreamRefused) and _is_for_operators(happening.error):
            yield Topic.REFUSED, happening.error.errcode
        if failures >= _ENOUGH_FAILURES:
            yield Topic.FAILING, None


def _is_for_operators(error: UpstreamRefused) -> bool:
    """A minute is over before anybody has read of it."""
    return forbids_reports(error) and not isinstance(error, MinuteQuotaReached)
