"""All receivers there are."""

from __future__ import annotations

import asyncio
import platform
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tokend import tasks
from tokend.notify.notifier import Notifier
from tokend.notify.webhook import open_webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tokend.chronicle import Event
    from tokend.clock import Clock
    from tokend.model import TokenKey
    from tokend.notify.notifier import Way
    from tokend.notify.receiver import Receiver

# What is left to say at the end has so long, all receivers together.
_LAST_SECONDS = 2


@asynccontextmanager
async def notifying(spent: Callable[[TokenKey], int], clock: Clock) -> AsyncIterator[Notifiers]:
    """*spent* says how many percent are spent of what a day grants a key. Once left, all have had
    a last chance.
    """
    async with open_webhooks() as webhooks:
        notifiers = Notifiers(webhooks, spent, clock)
        try:
            yield notifiers
        finally:
            await notifiers.finish()


class Notifiers:
    """Has each of them told what happens."""

    def __init__(self, way: Way, spent: Callable[[TokenKey], int], clock: Clock) -> None:
        self._way = way
        self._spent = spent
        self._clock = clock
        self._notifiers: dict[str, Notifier] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def hear(self, event: Event) -> None:
        """As a listener of the chronicle."""
        if self._notifiers:
            percent = self._spent(event.status.key)
            for notifier in self._notifiers.values():
                notifier.hear(event, percent=percent)

    def change(
        self, receivers: Mapping[str, Receiver], is_kept: Callable[[TokenKey], bool]
    ) -> None:
        """Tell these and no others, of these keys and no others. One that stays does not notice."""
        for name in self._notifiers.keys() - receivers.keys():
            self._notifiers.pop(name).end()
            self._running.pop(name).cancel()
        for notifier in self._notifiers.values():
            notifier.keep(is_kept)
        for name, receiver in receivers.items():
            if name in self._notifiers:
                self._notifiers[name].change(receiver)
            else:
                self._begin(receiver)

    async def finish(self) -> None:
        """A last chance for what waits, and no more than that."""
        await tasks.end(self._running.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await asyncio.gather(*(each.finish() for each in self._notifiers.values()))

    def _begin(self, receiver: Receiver) -> None:
        notifier = Notifier(receiver, self._way, self._clock, host=platform.node())
        self._notifiers[receiver.name] = notifier
        self._running[receiver.name] = asyncio.create_task(notifier.run())
