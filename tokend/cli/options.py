"""Options that say where tokend is and who we are: a Unix socket, or a URL with a client key, a
certificate or both.
"""

from __future__ import annotations

import os
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from tokend.cli.connection import DEFAULT_SOCKET, Connection, to_socket
from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

Connect: TypeAlias = "Callable[[], Connection]"


_OPTIONS = (
    click.option(
        "--socket",
        "socket_path",
        help=f"Unix socket of tokend.  [env: TOKEND_SOCKET; default: {DEFAULT_SOCKET}]",
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


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """*command* gets first what connects to there."""

    @wraps(command)
    def connected(
        *, socket_path: str | None, url: str | None, key_file: Path | None, **others: Any
    ) -> Any:
        files = {name: others.pop(name) for name in ("ca_file", "cert_file")}
        return command(partial(_connect, socket_path, url, key_file, **files), **others)

    for option in reversed(_OPTIONS):
        connected = option(connected)
    return connected


def _connect(
    socket_path: str | None,
    url: str | None,
    key_file: Path | None,
    *,
    ca_file: Path | None,
    cert_file: Path | None,
) -> Connection:
    """What is typed counts before what the environment says, a URL before a socket."""
    if url is None and socket_path is None:
        url = os.environ.get("TOKEND_URL")
    if not url:
        return to_socket(socket_path)
    from tokend.cli import web  # noqa: PLC0415, takes long

    exchange = web.exchange(url, ca_file=ca_file, cert_file=cert_file)
    stream = partial(web.stream, url, ca_file=ca_file, cert_file=cert_file)
    return Connection(url, exchange, stream, key=_key(key_file))


def _key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        key = path.read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise Failure(f"{path}: {reason}", code=os.EX_NOINPUT) from None
    if not (key.isascii() and key.isprintable()):
        raise Failure(f"{path}: holds something else than a client key", code=os.EX_NOINPUT)
    return key
