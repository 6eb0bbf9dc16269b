"""One receiver is told until it has heard, and nobody waits for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING, Protocol

import structlog

from tokend.notify.desk import GRACE, Desk
from tokend.notify.formats import FORMATS, Outcome
from tokend.notify.message import compose
from tokend.policy import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.chronicle import Event
    from tokend.clock import Clock
    from tokend.model import TokenKey
    from tokend.notify.formats import Answer, Call, Format
    from tokend.notify.receiver import Receiver

log = structlog.get_logger()

# Robots take 20 messages a minute, of all who share one.
_PAUSE = timedelta(minutes=1)

_BACKOFF = Backoff(first=timedelta(seconds=10), cap=timedelta(minutes=5), late=0.2)


class Way(Protocol):
    """To a webhook."""

    async def send(self, call: Call, as_in: Format) -> Answer:
        """What came of it. Never raises."""


class Notifier:
    """Tells a receiver what it is to be told: the first change once it has stood for a while, what
    has come together by then, and more a minute later.
    """

    def __init__(
        self,
        receiver: Receiver,
        way: Way,
        clock: Clock,
        *,
        host: str,
        draw: Callable[[], float] = random,
    ) -> None:
        self._desk = Desk(receiver)
        self._way = way
        self._clock = clock
        self._host = host
        self._draw = draw
        self._news = asyncio.Event()
        self._not_before = clock.elapsed()
        self._failures = 0
        self._trouble: Outcome | None = None

    def hear(self, event: Event, *, percent: int) -> None:
        """At once, whatever the receiver does."""
        self._desk.hear(event, percent=percent, now=self._clock.elapsed())
        if self._desk:
            self._news.set()

    @property
    def receiver(self) -> Receiver:
        return self._desk.receiver

    def change(self, receiver: Receiver) -> None:
        """Tell it so from the next ``run`` on, and soon: what was not taken may be now."""
        self._desk.receiver = receiver
        self._not_before, self._failures, self._trouble = self._clock.elapsed(), 0, None

    def keep(self, is_kept: Callable[[TokenKey], bool]) -> None:
        """Nobody keeps other keys any more."""
        self._desk.keep(is_kept)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            await self._clock.sleep(max(GRACE, self._not_before - self._clock.elapsed()))
            try:
                await self._tell(before=self._clock.elapsed() - GRACE)
            except Exception:
                log.exception("notifier_crashed", notifier=self._name)
                self._desk.lost()
            if not self._desk:
                self._news.clear()

    async def finish(self) -> None:
        """The last chance of all there is to tell."""
        try:
            await self._tell(before=self._clock.elapsed())
        finally:
            self.end()

    def end(self) -> None:
        """What has not been told never will be."""
        self._desk.lost_all()
        if self._desk.dropped:
            log.warning("changes_never_told", notifier=self._name, changes=self._desk.dropped)

    @property
    def _name(self) -> str:
        return self.receiver.name

    async def _tell(self, *, before: timedelta) -> None:
        news = self._desk.take(before, self._clock.elapsed())
        if not news:
            return
        receiver, dropped = self.receiver, self._desk.dropped
        message = compose(news, host=self._host, language=receiver.language, dropped=dropped)
        as_in = FORMATS[receiver.format]
        try:
            answer = await self._way.send(as_in.call(receiver, message, self._clock.wall()), as_in)
        except asyncio.CancelledError:
            self._desk.given_back()
            raise
        if answer.outcome is Outcome.TOLD:
            self._told(len(news), dropped)
        elif answer.outcome is Outcome.LATER:
            self._away(answer)
        else:
            self._refused(answer, as_in)

    def _told(self, changes: int, dropped: int) -> None:
        self._desk.settled()
        self._desk.dropped -= dropped
        self._failures, self._trouble = 0, None
        self._not_before = self._clock.elapsed() + _PAUSE
        log.info("operators_told", notifier=self._name, changes=changes, dropped=dropped or None)

    def _away(self, answer: Answer) -> None:
        self._desk.given_back()
        self._failures += 1
        wait = max(_BACKOFF.wait(self._failures, self._draw()), answer.wait)
        self._not_before = self._clock.elapsed() + wait
        self._complain(
            answer,
            "notifier_away",
            advice="it is tried again, with all that changes until then",
        )

    def _refused(self, answer: Answer, as_in: Format) -> None:
        self._desk.lost()
        self._not_before = self._clock.elapsed() + _PAUSE
        self._complain(
            answer,
            "notifier_refused",
            advice="see to its url_file, secret_file and format, and to the robot's own settings",
            manual=as_in.manual or None,
        )

    def _complain(self, answer: Answer, event: str, **more: str | None) -> None:
        """Once, until it has heard something or goes wrong in another way."""
        if self._trouble is not answer.outcome:
            self._trouble = answer.outcome
            log.warning(event, notifier=self._name, error=answer.said, **more)
