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
        self._ending: set[asyncio.Task[None]] = set()

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
            self._stop(name)
        for notifier in self._notifiers.values():
            notifier.keep(is_kept)
        for name, receiver in receivers.items():
            known = self._notifiers.get(name)
            if known is None:
                self._notifiers[name] = self._notifier(receiver)
                self._start(name)
            elif known.receiver != receiver:
                self._stop(name)
                known.change(receiver)
                self._start(name)

    async def finish(self) -> None:
        """A last chance for what waits, and no more than that."""
        await tasks.end([*self._running.values(), *self._ending])
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await asyncio.gather(*(each.finish() for each in self._notifiers.values()))

    def _notifier(self, receiver: Receiver) -> Notifier:
        return Notifier(receiver, self._way, self._clock, host=platform.node())

    def _start(self, name: str) -> None:
        self._running[name] = asyncio.create_task(self._notifiers[name].run())

    def _stop(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
