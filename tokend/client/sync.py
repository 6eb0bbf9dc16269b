"""The client for threads: Flask, Django, Celery, scripts. The standard library alone.

For each key that was asked for, one thread of this process polls tokend. It is a daemon thread: it
does not keep the interpreter from ending. A forked child has the tokens of its parent, and
threads, locks and connections of its own from its first read on.
"""

from __future__ import annotations

import functools
import threading
import weakref
from datetime import timedelta
from random import random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from tokend.client import address, forks, wire
from tokend.client.boottime import elapsed
from tokend.client.connection import CONNECT_SECONDS, Connection
from tokend.client.errors import ClientError, UsageError
from tokend.client.rejection import is_rejection
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch, log

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from tokend.client.address import Address

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(seconds=5)


class Client:
    """Tokens by key (``shop/access_token``). Make one for the program; threads and forks share it.

    Where tokend is: *socket*, or *url* and *key_file*; else ``TOKEND_URL`` and ``TOKEND_KEY_FILE``,
    ``TOKEND_SOCKET``, ``/run/tokend/tokend.sock``. *patience* is how long a read waits if there is
    no good token, and how long after tokend went away it stops waiting. Raises ``UsageError``.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        socket: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._address = address.find(url=url, socket=socket, key_file=key_file)
        self._patience = patience.total_seconds()
        self._is_closed = False
        self._pollers: dict[str, _Poller] = {}
        self._begin({})
        weakref.finalize(self, _stop, self._pollers).atexit = False
        forks.follow(self)

    def _begin(self, inherited: Mapping[str, Held]) -> None:
        self._inherited = inherited
        self._watches: dict[str, Watch] = {}
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop renewing; reads raise ``UsageError`` from now on. A program that ends need not."""
        with self._changed:
            self._is_closed = True
            self._watches.clear()
            self._changed.notify_all()
        _stop(self._pollers)
        for poller in self._pollers.values():
            poller.join(timeout=CONNECT_SECONDS)

    def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Without a good one it waits, and an event loop with it:
        there, ``AsyncClient`` is the one to use. Raises ``NoToken`` after *patience*, ``Refused``
        at once.
        """
        watch = self._watches.get(key)
        if watch is not None:
            held = watch.held
            if elapsed() < held.until:
                return held.token
        return self._awaited(key)

    def _awaited(self, key: str) -> Token:
        with self._changed:
            watch, since = self._watched(key), elapsed()
            while not watch.is_held(now := elapsed()):
                left = watch.patience_left(now, since=since, patience=self._patience)
                if left <= 0:
                    raise watch.why()
                self._changed.wait(left)
                if self._is_closed:
                    raise UsageError("the client is closed")
            return watch.held.token

    def _watched(self, key: str) -> Watch:
        """Call with the lock held."""
        if self._is_closed:
            raise UsageError("the client is closed")
        watch = self._watches.get(key)
        if watch is None:
            watch = Watch(key, self._inherited.get(key, NOTHING))
            self._watches[key] = watch
            self._pollers[key] = _Poller(watch, self._address, self._changed)
            self._pollers[key].start()
        return watch

    def rejected(self, token: Token) -> Token:
        """Report that WeChat rejected *token*; the one to use now, within 30 seconds.

        It is the same one if tokend will not replace it again so soon. Threads that report it
        together are one request. Raises ``NoToken`` or ``Refused`` if the report cannot be made.
        """
        if not isinstance(token, Token):
            raise UsageError("rejected() takes what token() gave, not a copy of its text")
        with self._changed:
            watch = self._watched(token.key)
            poller = self._pollers[token.key]
        with poller.reporting:
            with self._changed:
                if (known := watch.replaced(token, elapsed())) is not None:
                    return known
            asked_at = elapsed()
            connection = Connection(self._address)
            try:
                reply = connection.ask(wire.report(token))
            finally:
                connection.close()
            with self._changed:
                now = elapsed()
                newer = watch.reported(token, reply, asked_at=asked_at, now=now)
                self._changed.notify_all()
                return newer

    def call(self, key: str, fn: Callable[[Token], T], *, retries: int = 1) -> T:
        """``fn(token)``; once more with another token if WeChat rejects this one.

        It does so by 40001, 40014 or 42001 in ``errcode`` of what *fn* returns (a dict) or raises.
        If there is no other token, or after *retries*, that is what comes back.
        """
        token = self.token(key)
        for _ in range(retries):
            try:
                result = fn(token)
            except Exception as error:
                if not is_rejection(error) or (newer := self.replacement(token)) is None:
                    raise
            else:
                if not is_rejection(result) or (newer := self.replacement(token)) is None:
                    return result
            token = newer
        return fn(token)

    def calls(
        self, key: str, *, retries: int = 1
    ) -> Callable[[Callable[Concatenate[Token, P], T]], Callable[P, T]]:
        """A decorator: the function gets the token first, and is run by ``call``."""

        def decorate(fn: Callable[Concatenate[Token, P], T]) -> Callable[P, T]:
            @functools.wraps(fn)
            def called(*args: P.args, **kwargs: P.kwargs) -> T:
                return self.call(key, lambda token: fn(token, *args, **kwargs), retries=retries)

            return called

        return decorate

    def replacement(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = self.rejected(token)
        except ClientError as error:
            log.warning("token_not_replaced key=%s why=%s", token.key, error)
            return None
        return None if newer == token else newer

    def after_fork(self) -> None:
        """In the child: no thread came along, and the locks may be held by one that did not."""
        for poller in self._pollers.values():
            poller.connection.forget()
        self._pollers.clear()
        self._begin(
            {**self._inherited, **{key: watch.held for key, watch in self._watches.items()}}
        )


def _stop(pollers: Mapping[str, _Poller]) -> None:
    """Without waiting: a client may be collected in any thread, in a poller's own as well."""
    for poller in pollers.values():
        poller.stop()


class _Poller(threading.Thread):
    """Asks tokend what *watch* wants asked, and tells those who wait on *changed*."""

    def __init__(self, watch: Watch, address: Address, changed: threading.Condition) -> None:
        super().__init__(name=f"tokend {watch.key}", daemon=True)
        self.reporting = threading.Lock()
        self._watch = watch
        self._address = address
        self._changed = changed
        self._stopped = threading.Event()
        self.connection = Connection(address)

    def stop(self) -> None:
        self._stopped.set()
        self.connection.hang_up()

    def run(self) -> None:
        while not self._stopped.wait(self._watch.pause(elapsed())):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                log.exception("poll_crashed key=%s", self._watch.key)
                self._failed(self._address.away(error))
        self.connection.close()

    def _step(self) -> None:
        ask = self._watch.ask(elapsed())
        try:
            reply = self.connection.ask(ask.request)
        except ClientError as error:
            if not self._stopped.is_set():
                self._failed(error)
            return
        with self._changed:
            self._watch.answered(ask, reply, now=elapsed(), draw=random())
            self._changed.notify_all()

    def _failed(self, error: ClientError) -> None:
        with self._changed:
            self._watch.failed(error, now=elapsed(), draw=random())
            self._changed.notify_all()
