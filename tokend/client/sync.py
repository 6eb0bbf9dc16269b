"""The client for threads: Flask, Django, Celery, scripts. The standard library alone.

For each key that is read, one thread of this process polls tokend. It is a daemon thread: it does
not keep the interpreter from ending. A forked child has the tokens of its parent, and threads,
locks and connections of its own from its first read on.
"""

from __future__ import annotations

import functools
import weakref
from datetime import timedelta
from os import getpid
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from tokend.client import address, decorated, poller
from tokend.client.boottime import elapsed
from tokend.client.errors import ClientError, UsageError
from tokend.client.forks import ByProcess
from tokend.client.logins import Logins
from tokend.client.poller import Pollers
from tokend.client.rejection import is_rejection
from tokend.client.token import Token

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tokend.client.poller import Poller
    from tokend.client.session import Login

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
        self._by_pid = ByProcess(Pollers(self._address, {}))
        weakref.finalize(self, _abandon, self._by_pid).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop renewing; reads raise ``UsageError`` from now on. A program that ends need not."""
        pollers = self._by_pid[getpid()]
        with pollers.changed:
            self._is_closed = True
            stopped = list(pollers.values())
            pollers.clear()
            pollers.changed.notify_all()
        poller.end(stopped)

    def logins(self, app: str) -> Logins:
        """Those of the users of the mini-program *app*: ``client.logins("shop").login(code)``."""
        return Logins(app, self._address)

    def login(self, app: str, code: str) -> Login:
        """``logins(app).login(code)``."""
        return self.logins(app).login(code)

    def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Without a good one it waits, and an event loop with it:
        there, ``AsyncClient`` is the one to use. Raises ``NoToken`` after *patience*, ``Refused``
        at once.
        """
        known = self._by_pid[getpid()].get(key)
        if known is not None:
            token, until = known.watch.at_hand
            if elapsed() < until:
                return token
        return self._awaited(key)

    def _awaited(self, key: str) -> Token:
        pollers, since = self._by_pid[getpid()], elapsed()
        with pollers.changed:
            alive = self._poller(key, pollers)
            watch = alive.watch
            while True:
                now = elapsed()
                left = watch.patience_left(now, since=since, patience=self._patience)
                if left <= 0:
                    return watch.serve(now)
                if watch.is_overdue(now):
                    alive.ask_anew()
                pollers.changed.wait(left)
                if self._is_closed:
                    raise UsageError("the client is closed")

    def _poller(self, key: str, pollers: Pollers) -> Poller:
        """Call with the lock held."""
        if self._is_closed:
            raise UsageError("the client is closed")
        return pollers.alive(key)

    def rejected(self, token: Token) -> Token:
        """Report that WeChat rejected *token*; the one to use now, within 30 seconds.

        It is the same one if tokend will not replace it again so soon. Threads that report it
        together are one request. Raises ``NoToken`` or ``Refused`` if the report cannot be made.
        """
        if not isinstance(token, Token):
            raise UsageError("rejected() takes what token() gave, not a copy of its text")
        pollers = self._by_pid[getpid()]
        with pollers.changed:
            alive = self._poller(token.key, pollers)
        return alive.report(token)

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
            decorated.refuse_coroutine_function(fn)
            decorated.refuse_method(fn)

            @functools.wraps(fn)
            def called(*args: P.args, **kwargs: P.kwargs) -> T:
                return self.call(key, lambda token: fn(token, *args, **kwargs), retries=retries)

            return decorated.without_token(called)

        return decorate

    def replacement(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = self.rejected(token)
        except ClientError:
            return None
        return None if newer == token else newer


def _abandon(by_pid: ByProcess[Pollers]) -> None:
    """Not what a forked child has of its parent, whose connections it would end."""
    for each in list(by_pid.get(getpid(), {}).values()):
        each.abandon()
