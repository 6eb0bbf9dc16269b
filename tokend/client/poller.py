"""What a ``Client`` has in one process: for each key that is read, a thread that polls tokend."""

from __future__ import annotations

import threading
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Self

from tokend.client import log, wire
from tokend.client.boottime import elapsed
from tokend.client.connection import CONNECT_SECONDS, Connection, ask_apart
from tokend.client.errors import Away, ClientError
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokend.client.address import Address

REPORT_SECONDS = 30.0


class Pollers(dict[str, "Poller"]):
    """By key. ``changed`` is their lock, and tells readers that a watch has heard something."""

    def __init__(self, address: Address, inherited: Mapping[str, Held]) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self._address = address
        self._inherited = inherited

    def child(self) -> Self:
        """No thread came along, and the locks may be held by one that did not."""
        held = {key: poller.watch.held for key, poller in list(self.items())}
        return type(self)(self._address, {**self._inherited, **held})

    def leave(self) -> None:
        for poller in list(self.values()):
            with suppress(OSError):
                poller.connection.forget()

    def alive(self, key: str) -> Poller:
        """The one of *key*: a new one if there is none, or its thread has ended.

        Call with the lock held. Raises ``Away`` if the system has no thread to give.
        """
        poller = self.get(key)
        if poller is not None and poller.is_alive():
            return poller
        known = Watch(key, self._inherited.get(key, NOTHING)) if poller is None else poller.watch
        poller = Poller(known, self._address, self)
        try:
            poller.start()
        except RuntimeError as error:
            raise Away(f"{key}: {error}") from None
        self[key] = poller
        return poller

    def let_go(self, poller: Poller) -> bool:
        """Forget *poller*, if nobody reads its key any more."""
        with self.changed:
            is_idle = poller.watch.is_idle(elapsed())
            if is_idle and self.get(poller.watch.key) is poller:
                del self[poller.watch.key]
        return is_idle


class Poller(threading.Thread):
    """Asks tokend what *watch* wants asked, and tells those who wait."""

    def __init__(self, watch: Watch, address: Address, pollers: Pollers) -> None:
        super().__init__(name=f"tokend {watch.key}", daemon=True)
        self.watch = watch
        self.connection = Connection(address)
        self._address = address
        self._pollers = pollers
        self._changed = pollers.changed
        # Again by the same thread: a signal handler may report as well.
        self._reporting = threading.RLock()
        self._is_stopped = False
        self._is_given_up = False
        self._wake = threading.Event()

    def stop(self) -> None:
        self.abandon()
        self._wake.set()

    def abandon(self) -> None:
        """Without a lock, which the thread that collects garbage may hold: it ends after a pause.

        That may be any thread, in any line; this one, where it waits.
        """
        self._is_stopped = True
        self.connection.end()

    def ask_anew(self) -> None:
        """Give up what is asked. Call with the lock held."""
        self._is_given_up = True
        self.connection.hang_up()

    def run(self) -> None:
        while not self._is_over():
            try:
                self._step()
            except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                log.crashed(self.watch.key)
                self._failed(self._address.away(error))
            self._say()
        self.connection.close()

    def _is_over(self) -> bool:
        self._wake.wait(self.watch.pause(elapsed()))
        return self._is_stopped or self._pollers.let_go(self)

    def _step(self) -> None:
        with self._changed:
            self._is_given_up = False
            ask = self.watch.ask(elapsed())
        try:
            reply = self.connection.ask(ask.request)
        except ClientError as error:
            if not self._is_stopped and not self._is_given_up:
                self._failed(error)
            return
        with self._changed:
            self.watch.answered(ask, reply, now=elapsed(), draw=random())
            self._changed.notify_all()

    def _failed(self, error: ClientError) -> None:
        with self._changed:
            self.watch.failed(error, now=elapsed(), draw=random())
            self._changed.notify_all()

    def _say(self) -> None:
        with self._changed:
            words = self.watch.words()
        log.warn(words)

    def report(self, token: Token) -> Token:
        """The token to use in place of *token*. Raises ``NoToken`` or ``Refused``.

        Threads that come meanwhile wait, and share what comes of it.
        """
        if not self._reporting.acquire(timeout=REPORT_SECONDS):
            raise Away(f"{token.key}: the report takes too long")
        try:
            with self._changed:
                known = self.watch.replaced(token, elapsed())
            return self._reported(token) if known is None else known
        finally:
            self._reporting.release()
            self._say()

    def _reported(self, token: Token) -> Token:
        asked_at = elapsed()
        try:
            reply = ask_apart(self._address, wire.report(token))
        except ClientError as error:
            with self._changed:
                self.watch.not_reported(token, error, now=elapsed())
            raise
        with self._changed:
            newer = self.watch.reported(token, reply, asked_at=asked_at, now=elapsed())
            self._changed.notify_all()
            return newer


def end(pollers: Iterable[Poller]) -> None:
    """Stop them, and wait for the threads: for all of them no longer than connecting may take."""
    stopped = list(pollers)
    for poller in stopped:
        poller.stop()
    until = elapsed() + CONNECT_SECONDS
    for poller in stopped:
        poller.join(timeout=max(until - elapsed(), 0.0))
