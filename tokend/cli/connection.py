"""How the client commands reach tokend, and what they say if they do not.

``unix`` and ``web`` bring a question there. What takes long to import is imported where it is
needed: ``get`` in a shell loop needs none of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from tokend.cli import unix
from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

# From a method, a path, headers and a body to a status and the body of the answer. Raises
# ``OSError``, and ``ValueError`` where what answers is not tokend.
Exchange: TypeAlias = "Callable[[str, str, dict[str, str], bytes], tuple[int, bytes]]"

DEFAULT_SOCKET = "/run/tokend/tokend.sock"

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
    return Connection(where, unix.exchange(where))


class Connection:
    """To a running tokend at *where*; who has a client *key* shows it."""

    def __init__(self, where: str, exchange: Exchange, *, key: str = "") -> None:
        self._where = where
        self._exchange = exchange
        self._key = key

    def ask(
        self, method: str, path: str, *, body: object = None, accept: str = "application/json"
    ) -> str:
        """The body of a good answer; anything else is a ``Failure`` in tokend's own words."""
        headers = {"Accept": accept}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _json(body)
        try:
            status, answer = self._exchange(method, path, headers, content)
            text = answer.decode()
        except PermissionError as error:
            raise Failure(
                f"{self._where}: {error.strerror}",
                hint="be root, or in the group that the socket belongs to; or use --url and a key",
                code=os.EX_NOPERM,
            ) from None
        except (OSError, ValueError) as error:
            raise Failure(
                f"{self._where}: {getattr(error, 'strerror', None) or error}",
                hint="is tokend running there? --socket or --url say where it is",
                code=os.EX_UNAVAILABLE,
            ) from None
        if status >= 300:  # noqa: PLR2004, all good answers are below
            raise _failure(self._where, status, text)
        return text


def _json(body: object) -> bytes:
    import json  # noqa: PLC0415, see above

    return json.dumps(body).encode()


def _failure(where: str, status: int, content: str) -> Failure:
    import json  # noqa: PLC0415, see above

    try:
        problem = json.loads(content)
        detail, advice = str(problem["detail"]), str(problem["advice"])
        if "retry_after" in problem:
            detail += f"; try again in {int(problem['retry_after'])} s"
    except (ValueError, KeyError, TypeError, RecursionError):
        detail, advice = f"{where}: HTTP status {status} from something else than tokend", ""
    return Failure(detail, hint=advice, code=_EXIT_CODES.get(status, os.EX_SOFTWARE))
