"""The same question again on the same connection: answered as before, as long as that is true.

A business server that reads on an open connection repeats its request byte for byte. What aiohttp
made of it the last time, whoever asked and whatever was checked, holds for as long as nothing of it
has changed: a second at most, in which ``expires_in`` stays the same.

Which bytes are one request is not for a parser of ours to say. A connection is in here as long as
all that ever came on it were whole plain GETs, each alone and after the answer to the one before;
anything that two parsers could read differently is aiohttp's, and so is the rest of that
connection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.standing import Standing

# https://www.rfc-editor.org/rfc/rfc9112#section-5, without anything that is obsolete or optional.
_PLAIN = re.compile(
    rb"GET /[!-~]* HTTP/1\.1\r\n(?:[!#-'*+.0-9A-Z^-z|~-]+:[\t -~\x80-\xff]*\r\n)+\r\n"
)
_LONGEST = 2048

# Of more that differ within a second, on one connection, there is no memory.
_MOST = 8

# What may mean a body, another protocol, or an answer before the answer.
_MORE_THAN_PLAIN = ("Content-Length", "Transfer-Encoding", "Expect", "Upgrade")


class Repeat:
    """An answer that may be given again for as long as it *stands* (of ``Clock.now``), unless the
    standing of *what* it says or of *who* may have it is over before.

    *tell* hears how often it was, some time later.
    """

    __slots__ = ("_seconds", "_until", "_what", "_who", "answer", "tell", "times")

    def __init__(self, clock: Clock, *, stands: timedelta, what: Standing, who: Standing) -> None:
        self._seconds = clock.seconds
        self._until = clock.deadline(stands)
        self._what = what
        self._who = who
        self.answer = b""
        self.tell: Callable[[int], None] = _nobody
        self.times = 0

    def again(self) -> bytes | None:
        """None where it has to be asked for anew."""
        if self._what.is_over or self._who.is_over or self._seconds() >= self._until:
            return None
        self.times += 1
        return self.answer

    def end(self) -> None:
        if self.times:
            self.tell(self.times)
            self.times = 0


REPEAT = web.RequestKey("repeat", Repeat)

# For a connection on which nothing may be repeated now.
NOTHING: Mapping[bytes, Repeat] = {}


class Repeats:
    """Of one connection; *kept* by the whole of each request."""

    __slots__ = ("_asked", "_is_plain", "kept")

    def __init__(self) -> None:
        self.kept: dict[bytes, Repeat] = {}
        self._asked = b""
        self._is_plain = True

    def hear(self, data: bytes, *, alone: bool) -> None:
        """*data* goes to aiohttp; *alone*: everything before it is answered."""
        if not self._is_plain:
            return
        if alone and len(data) <= _LONGEST and _PLAIN.fullmatch(data):
            self._asked = data
        else:
            self._is_plain = False
            self._asked = b""
            self.end()

    def keep(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """*response* was written, to what was heard last."""
        repeat = request.get(REPEAT)
        if repeat is None or not self._asked or not _is_plain(request):
            return
        answer = _written(response)
        if answer is None:
            return
        repeat.answer = answer
        if len(self.kept) >= _MOST:
            self.end()
        if before := self.kept.get(self._asked):
            before.end()
        self.kept[self._asked] = repeat

    def look(self) -> None:
        """Tell of what was answered since the last look, and forget what is not asked any more."""
        for data, repeat in tuple(self.kept.items()):
            if not repeat.times:
                del self.kept[data]
            repeat.end()

    def end(self) -> None:
        for repeat in self.kept.values():
            repeat.end()
        self.kept.clear()


def _nobody(_: int) -> None:
    pass


def _is_plain(request: web.BaseRequest) -> bool:
    more = any(name in request.headers for name in _MORE_THAN_PLAIN)
    return request.version == HttpVersion11 and request.keep_alive and not more


def _written(response: web.StreamResponse) -> bytes | None:
    """As aiohttp wrote it; None where that cannot be told from here."""
    if not (isinstance(response, web.Response) and isinstance(response.body, bytes)):
        return None
    fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = f"HTTP/1.1 {response.status} {response.reason}\r\n{fields}\r\n"
    return head.encode() + response.body
