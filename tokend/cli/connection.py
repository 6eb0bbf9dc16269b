"""How the client commands reach tokend: its Unix socket, or a URL with a client key, a certificate
or both.

Standard library only, because importing an HTTP client costs more than asking.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from dataclasses import dataclass
from functools import partial, wraps
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import click

from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

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


Connect: TypeAlias = "Callable[[], Connection]"


_OPTIONS = (
    click.option(
        "--socket",
        "socket_path",
        help=f"Unix socket of tokend.  [env: TOKEND_SOCKET; default: {_DEFAULT_SOCKET}]",
    ),
    click.option("--url", help="Address of tokend.  [env: TOKEND_URL]"),
    click.option(
        "--key-file",
        envvar="TOKEND_KEY_FILE",
        type=click.Path(path_type=Path),
        help="File with the client key, for --url.  [env: TOKEND_KEY_FILE]",
    ),
    click.option(
        "--cert-file",
        envvar="TOKEND_CERT_FILE",
        type=click.Path(path_type=Path),
        help="File with our certificate and its key, for --url.  [env: TOKEND_CERT_FILE]",
    ),
    click.option(
        "--ca-file",
        envvar="TOKEND_CA_FILE",
        type=click.Path(path_type=Path),
        help="File with who signs tokend's certificate, for --url; else it is whom the system "
        "trusts.  [env: TOKEND_CA_FILE]",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where tokend is and who we are. *command* gets first what connects so."""

    @wraps(command)
    def connected(
        *,
        socket_path: str | None,
        url: str | None,
        key_file: Path | None,
        cert_file: Path | None,
        ca_file: Path | None,
        **others: Any,
    ) -> Any:
        tls = partial(_tls, ca_file=ca_file, cert_file=cert_file)
        return command(partial(_connect, socket_path, url, key_file, tls), **others)

    for option in reversed(_OPTIONS):
        connected = option(connected)
    return connected


def _connect(
    socket_path: str | None,
    url: str | None,
    key_file: Path | None,
    tls: Callable[[], ssl.SSLContext],
) -> Connection:
    """What is typed counts before what the environment says, a URL before a socket."""
    if url is None and socket_path is None:
        url = os.environ.get("TOKEND_URL")
    if url:
        return Connection(where=url, http=_http(url, tls), key=_key(key_file))
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
        except ssl.SSLCertVerificationError as error:
            raise Failure(
                f"{self.where}: {error.verify_message}",
                hint="--ca-file says who signs the certificate of tokend",
                code=os.EX_UNAVAILABLE,
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


def _http(url: str, tls: Callable[[], ssl.SSLContext]) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise Failure(f"{url}: must be like https://host:port", code=os.EX_USAGE)
    where, patience = (parts.hostname, parts.port), _TIMEOUT_SECONDS
    if parts.scheme == "http":
        return HTTPConnection(*where, timeout=patience)
    return HTTPSConnection(*where, timeout=patience, context=tls())


def _tls(*, ca_file: Path | None, cert_file: Path | None) -> ssl.SSLContext:
    context = _tried(ca_file, lambda: ssl.create_default_context(cafile=ca_file))
    if cert_file:
        # An empty passphrase, lest OpenSSL ask for one on the terminal.
        _tried(cert_file, lambda: context.load_cert_chain(cert_file, password=""))
    return context


def _tried(path: Path | None, use: Callable[[], _T]) -> _T:
    try:
        return use()
    except ssl.SSLError:
        reason = "no certificate in PEM, or not its key, unencrypted, beside it"
    except OSError as error:
        reason = error.strerror or "cannot be read"
    raise Failure(f"{path}: {reason}", code=os.EX_NOINPUT)


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
