"""A question to tokend at a URL, with TLS if that is https."""

from __future__ import annotations

import os
import ssl
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from tokend.cli.failure import Failure
from tokend.cli.unix import LONGEST_ANSWER, PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tokend.cli.connection import Exchange

_T = TypeVar("_T")

_PIECE = 64 * 1024


def exchange(url: str, *, ca_file: Path | None, cert_file: Path | None) -> Exchange:
    """With whoever listens there; one connection for each question."""
    scheme, host, port = _parts(url)
    tls = _tls(ca_file, cert_file) if scheme == "https" else None

    def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with _in_words(url), closing(_connection(host, port, tls)) as connection:
            connection.request(method, path, body=body or None, headers=headers)
            with connection.getresponse() as answer:
                return answer.status, _body(answer)

    return ask


@contextmanager
def stream(
    url: str, path: str, headers: dict[str, str], *, ca_file: Path | None, cert_file: Path | None
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """From whoever listens there."""
    scheme, host, port = _parts(url)
    tls = _tls(ca_file, cert_file) if scheme == "https" else None
    with _in_words(url), closing(_connection(host, port, tls)) as connection:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            yield answer.status, iter(partial(answer.read1, _PIECE), b"")


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """What goes wrong is told without what came."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"{url}: {error.verify_message}",
            hint="--ca-file says who signs the certificate of tokend",
            code=os.EX_UNAVAILABLE,
        ) from None
    except IncompleteRead:
        raise ValueError("the answer is not whole") from None
    except HTTPException:
        raise ValueError("what answers there does not speak HTTP") from None


def _parts(url: str) -> tuple[str, str, int | None]:
    with suppress(ValueError):
        parts = urlsplit(url)
        is_bare = parts.username is None and not parts.path.strip("/")
        if parts.scheme in {"http", "https"} and parts.hostname and is_bare:
            return parts.scheme, parts.hostname, parts.port
    raise Failure("--url: must be like https://host:port, and no more", code=os.EX_USAGE)


def _connection(host: str, port: int | None, tls: ssl.SSLContext | None) -> HTTPConnection:
    if tls:
        return HTTPSConnection(host, port, timeout=PATIENCE_SECONDS, context=tls)
    return HTTPConnection(host, port, timeout=PATIENCE_SECONDS)


def _body(answer: HTTPResponse) -> bytes:
    """In chunks it may come from a proxy. Without a length nobody knows if it is whole."""
    if answer.length is None and not answer.chunked:
        raise ValueError("the answer is not whole")
    if (answer.length or 0) <= LONGEST_ANSWER:
        body = answer.read(LONGEST_ANSWER + 1) if answer.chunked else answer.read()
        if len(body) <= LONGEST_ANSWER:
            return body
    raise ValueError(f"an answer of more than {LONGEST_ANSWER} bytes")


def _tls(ca_file: Path | None, cert_file: Path | None) -> ssl.SSLContext:
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
