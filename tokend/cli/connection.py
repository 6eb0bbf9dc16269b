"""How the client commands reach tokend, and what they say if they do not.

``unix`` and ``web`` bring a question there. What takes long to import is imported where it is
needed: ``get`` in a shell loop needs none of it.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tokend.cli import unix
from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_T = TypeVar("_T")

# From a method, a path, headers and a body to a status and the body of the answer. Raises
# ``OSError``, and ``ValueError`` where what answers is not tokend.
Exchange: TypeAlias = "Callable[[str, str, dict[str, str], bytes], tuple[int, bytes]]"

# From a path and headers to a status and the pieces of the body, each as it comes. Raises the same.
Answering: TypeAlias = "AbstractContextManager[tuple[int, Iterator[bytes]]]"
Stream: TypeAlias = "Callable[[str, dict[str, str]], Answering]"

DEFAULT_SOCKET = "/run/tokend/tokend.sock"

_IS_IT_THERE = "is tokend running there? --socket or --url say where it is"

# What JSON of another shape leads to, and numbers that no time is counted in.
_NONSENSE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_LONGEST_PROBLEM = 64 * 1024
_NOT_GOOD = 300  # all good answers are below

# Which kind of failure a status is, for scripts.
_EXIT_CODES = {
    400: os.EX_USAGE,
    401: os.EX_NOPERM,
    403: os.EX_NOPERM,
    404: os.EX_USAGE,
    409: os.EX_CONFIG,
    429: os.EX_TEMPFAIL,
    502: os.EX_UNAVAILABLE,
    503: os.EX_TEMPFAIL,
}


def to_socket(path: str | None) -> Connection:
    """None is where the environment says, or where the service has it."""
    where = path or os.environ.get("TOKEND_SOCKET") or DEFAULT_SOCKET
    return Connection(where, unix.exchange(where), partial(unix.stream, where))


class Connection:
    """To a running tokend at *where*; who has a client *key* shows it."""

    def __init__(self, where: str, exchange: Exchange, stream: Stream, *, key: str = "") -> None:
        self._where = where
        self._exchange = exchange
        self._stream = stream
        self._key = key

    def ask(
        self, method: str, path: str, *, body: object = None, accept: str = "application/json"
    ) -> str:
        """The body of a good answer; anything else is a ``Failure`` in tokend's own words."""
        headers = self._headers(accept)
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _json(body)
        try:
            status, answer = self._exchange(method, path, headers, content)
            text = answer.decode()
        except (OSError, ValueError) as error:
            raise _lost(self._where, error) from None
        if status >= _NOT_GOOD:
            raise _failure(self._where, status, text)
        return text

    def stream(self, path: str, *, last: str = "") -> Iterator[bytes]:
        """The events after the *last* one, in pieces as they come, the first one at once. Ends with
        the connection; raises ``Failure`` as ``ask`` does.
        """
        headers = self._headers("text/event-stream")
        if last:
            headers["Last-Event-ID"] = last
        try:
            with self._stream(path, headers) as (status, pieces):
                if status >= _NOT_GOOD:
                    raise _failure(self._where, status, _beginning(pieces))
                yield from pieces
        except (OSError, ValueError) as error:
            raise _lost(self._where, error) from None

    def _headers(self, accept: str) -> dict[str, str]:
        authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return {"Accept": accept, **authorization}


def understood(read: Callable[..., _T], *told: object) -> _T:
    """What *read* makes of what was *told*. Raises ``Failure`` where tokend would not say that."""
    try:
        return read(*told)
    except _NONSENSE:
        raise Failure(
            "what answers there is not tokend", hint=_IS_IT_THERE, code=os.EX_UNAVAILABLE
        ) from None


def _json(body: object) -> bytes:
    import json  # noqa: PLC0415, see above

    return json.dumps(body).encode()


def _beginning(pieces: Iterator[bytes]) -> str:
    """As much as a problem document may be."""
    text = b""
    for piece in pieces:
        text += piece
        if len(text) > _LONGEST_PROBLEM:
            break
    return text.decode(errors="replace")


def _lost(where: str, error: OSError | ValueError) -> Failure:
    if isinstance(error, PermissionError):
        return Failure(
            f"{where}: {error.strerror}",
            hint="be root, or in the group that the socket belongs to; or use --url and a key",
            code=os.EX_NOPERM,
        )
    return Failure(
        f"{where}: {getattr(error, 'strerror', None) or error}",
        hint=_IS_IT_THERE,
        code=os.EX_UNAVAILABLE,
    )


def _failure(where: str, status: int, content: str) -> Failure:
    import json  # noqa: PLC0415, see above

    from tokend.cli.language import spoken  # noqa: PLC0415, see above

    try:
        problem = json.loads(content)
        detail = str(problem["detail"])
        advice = spoken(str(problem["advice"]), str(problem.get("advice_zh", "")))
        if "retry_after" in problem:
            detail += f"; try again in {int(problem['retry_after'])} s"
    except (ValueError, KeyError, TypeError, RecursionError):
        detail, advice = f"{where}: HTTP status {status} from something else than tokend", ""
    return Failure(detail, hint=advice, code=_EXIT_CODES.get(status, os.EX_SOFTWARE))
