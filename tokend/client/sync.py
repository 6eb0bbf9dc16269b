"""The client for threads: Flask, Django, Celery, scripts. The standard library alone.

For each key that was asked for, one thread of this process polls tokend. It is a daemon thread: it
does not keep the interpreter from ending. A forked child has the tokens of its parent, and
threads, locks and connections of its own from its first read on.
"""

from __future__ import annotations

import functools
import os
import socket as sockets
import threading
import time
import weakref
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from random import random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

from tokend.client import address, wire
from tokend.client.errors import Away, ClientError, UsageError
from tokend.client.rejection import is_rejection
from tokend.client.token import NOTHING, Held, Token
from tokend.client.watch import Watch, log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokend.client.address import Address
    from tokend.client.wire import Reply, Request

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(seconds=5)

_CONNECT_SECONDS = 3.0

# The host's clock jumps, and CLOCK_MONOTONIC stands still while the machine sleeps.
elapsed = functools.partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)


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
        self._begin({})
        os.register_at_fork(after_in_child=functools.partial(_forked, weakref.ref(self)))

    def _begin(self, inherited: Mapping[str, Held]) -> None:
        self._inherited = inherited
        self._watches: dict[str, Watch] = {}
        self._pollers: dict[str, _Poller] = {}
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
            pollers = list(self._pollers.values())
            self._changed.notify_all()
        for poller in pollers:
            poller.stop()

    def token(self, key: str) -> Token:
        """The token to use now: from memory, unless there is no good one.

        Use it for one call and ask again. Raises ``NoToken`` after *patience*, ``Refused`` at once.
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
            poller = _Poller(watch, self._address, self._changed)
            poller.start()
            self._watches[key], self._pollers[key] = watch, poller
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
            reply = _ask_once(self._address, wire.report(token))
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
                if not is_rejection(error) or (newer := self._replaced(token)) is None:
                    raise
            else:
                if not is_rejection(result) or (newer := self._replaced(token)) is None:
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

    def _replaced(self, token: Token) -> Token | None:
        """Another token; None if there is none, for then WeChat's own answer says the most."""
        try:
            newer = self.rejected(token)
        except ClientError as error:
            log.warning("token_not_replaced key=%s why=%s", token.key, error)
            return None
        return None if newer == token else newer

    def _after_fork(self) -> None:
        for poller in self._pollers.values():
            poller.forget_connection()
        self._begin(
            {**self._inherited, **{key: watch.held for key, watch in self._watches.items()}}
        )


def _forked(client: weakref.ref[Client]) -> None:
    alive = client()
    if alive is not None:
        alive._after_fork()  # noqa: SLF001, the client's own


class _Poller(threading.Thread):
    """Asks tokend what *watch* wants asked, and tells those who wait on *changed*."""

    def __init__(self, watch: Watch, address: Address, changed: threading.Condition) -> None:
        super().__init__(name=f"tokend {watch.key}", daemon=True)
        self.reporting = threading.Lock()
        self._watch = watch
        self._address = address
        self._changed = changed
        self._stopped = threading.Event()
        self._connection = _connection(address)

    def stop(self) -> None:
        self._stopped.set()
        self._connection.hang_up()
        self.join(timeout=_CONNECT_SECONDS)

    def forget_connection(self) -> None:
        self._connection.forget()

    def run(self) -> None:
        while not self._stopped.wait(self._watch.pause(elapsed())):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001, a bug of ours must not end the renewal
                log.exception("poll_crashed key=%s", self._watch.key)
                self._failed(_away(self._address, error))
        self._connection.close()

    def _step(self) -> None:
        ask = self._watch.ask(elapsed())
        try:
            reply = _exchange(self._connection, self._address, ask.request)
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


class _Ends:
    """Two more ways to end a connection than ``close``."""

    sock: sockets.socket | None
    is_ended = False

    def hang_up(self) -> None:
        """End what another thread waits for, or will once it is connected."""
        self.is_ended = True
        sock = self.sock
        if sock is not None:
            try:
                sock.shutdown(sockets.SHUT_RDWR)
            except OSError:
                return

    def forget(self) -> None:
        """Close this process's copy of the socket, and leave that of its parent alone."""
        sock, self.sock = self.sock, None
        if sock is not None and sock.fileno() >= 0:
            os.close(sock.detach())


class _Http(_Ends, HTTPConnection):
    pass


class _Https(_Ends, HTTPSConnection):
    pass


class _Unix(_Ends, HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _connection(address: Address) -> _Http | _Https | _Unix:
    if address.socket is not None:
        return _Unix(address.socket)
    parts = urlsplit(address.url)
    kind = _Https if parts.scheme == "https" else _Http
    return kind(str(parts.hostname), parts.port, timeout=_CONNECT_SECONDS)


def _ask_once(address: Address, request: Request) -> Reply:
    connection = _connection(address)
    try:
        return _exchange(connection, address, request)
    finally:
        connection.close()


def _exchange(connection: _Http | _Https | _Unix, address: Address, request: Request) -> Reply:
    """The answer to *request*. A connection that fails is closed, and opens again by itself."""
    try:
        if connection.sock is None:
            connection.connect()
        if connection.is_ended:
            raise ConnectionAbortedError
        if connection.sock is not None:
            connection.sock.settimeout(request.patience)
        headers = {**request.headers, **address.headers}
        connection.request(request.method, request.path, request.body or None, headers)
        response = connection.getresponse()
        return wire.Reply(response.status, response.read())
    except (OSError, HTTPException, ValueError) as error:
        connection.close()
        raise _away(address, error) from None


def _away(address: Address, error: Exception) -> Away:
    """Only the system's own words: an exception's may hold what was sent."""
    words = getattr(error, "strerror", None) or type(error).__name__
    return Away(f"{address.shown}: {words}", retry_after=timedelta(seconds=1))
