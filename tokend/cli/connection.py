"""How the client commands reach tokend: its Unix socket, or a URL and a client key.

Standard library only, because importing an HTTP client costs more than asking.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

_DEFAULT_SOCKET = "/run/tokend/tokend.sock"
_TIMEOUT_SECONDS = 30.0

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


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--socket``, ``--url`` and ``--key-file``, with their environment variables."""
    for option in (
        click.option(
            "--key-file",
            envvar="TOKEND_KEY_FILE",
            type=click.Path(path_type=Path),
            help="File with the client key, for --url.  [env: TOKEND_KEY_FILE]",
        ),
        click.option("--url", help="Address of tokend.  [env: TOKEND_URL]"),
        click.option(
            "--socket",
            "socket_path",
            help=f"Unix socket of tokend.  [env: TOKEND_SOCKET; default: {_DEFAULT_SOCKET}]",
        ),
    ):
        command = option(command)
    return command


def connect(*, socket_path: str | None, url: str | None, key_file: Path | None) -> Connection:
    """What is typed counts before what the environment says, a URL before a socket."""
    if url is None and socket_path is None:
        url = os.environ.get("TOKEND_URL")
    if url:
        return Connection(where=url, http=_http(url), key=_key(key_file))
    path = socket_path or os.environ.get("TOKEND_SOCKET") or _DEFAULT_SOCKET
    return Connection(where=path, http=_UnixConnection(path), key="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """To a running tokend at *where*."""

    where: str
    http: HTTPConnection
    key: str

    def ask(
        self, method: str, path: str, *, body: object = None, accept: str = "application/json"
    ) -> str:
        """The body of a good answer; anything else is a ``Failure`` in tokend's own words."""
        headers = {"Accept": accept}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self.http.request(
                method, path, body=None if body is None else json.dumps(body), headers=headers
            )
            response = self.http.getresponse()
            content = response.read().decode()
        except PermissionError as error:
            raise Failure(
                f"{self.where}: {error.strerror}",
                hint="be root, or in the group that the socket belongs to; or use --url and a key",
                code=os.EX_NOPERM,
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise Failure(
                f"{self.where}: {getattr(error, 'strerror', None) or error}",
                hint="is tokend running there? --socket or --url say where it is",
                code=os.EX_UNAVAILABLE,
            ) from None
        if response.status >= 300:  # noqa: PLR2004, all good answers are below
            raise _failure(self.where, response.status, content)
        return content


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _http(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    kinds: dict[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname or parts.path.strip("/"):
        raise Failure(f"{url}: must be like http://host:port", code=os.EX_USAGE)
    return kinds[parts.scheme](parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)


def _key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise Failure(f"{path}: {reason}", code=os.EX_NOINPUT) from None


def _failure(where: str, status: int, content: str) -> Failure:
    try:
        problem = json.loads(content)
        detail, advice = str(problem["detail"]), str(problem["advice"])
        if "retry_after" in problem:
            detail += f"; try again in {int(problem['retry_after'])} s"
    except (ValueError, KeyError, TypeError):
        detail, advice = f"{where}: HTTP status {status} from something else than tokend", ""
    return Failure(detail, hint=advice, code=_EXIT_CODES.get(status, os.EX_SOFTWARE))
