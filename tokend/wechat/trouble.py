"""What goes wrong on the way to WeChat, told without the URL: it holds a secret or a token."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from tokend.errors import UpstreamUnclear, UpstreamUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_SECONDS = 3


class ConnectionBroken(UpstreamUnclear):
    """The connection ended before there was any answer."""


@contextmanager
def told(url: str) -> Iterator[None]:
    """Whether WeChat can have acted, and why there is no answer."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamUnreachable(f"{url}: {_reason(error)}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamUnclear(f"{url}: {_reason(error)}") from None


async def ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a GET whose connection broke: cgi-bin/token may have acted.

    aiohttp repeats on these two exceptions and lets any other through.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionBroken(f"{request.url.origin()}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Why, without the URL that aiohttp puts into most messages, even in place of strerror."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return _REASONS.get(type(error), type(error).__name__)


_REASONS: dict[type[Exception], str] = {
    aiohttp.ConnectionTimeoutError: f"no connection within {CONNECT_SECONDS} s",
    aiohttp.ServerDisconnectedError: "the connection was closed without an answer",
    aiohttp.ClientPayloadError: "the answer broke off",
    aiohttp.ClientHttpProxyError: "the proxy did not let it through",
    aiohttp.ClientResponseError: "an answer that is not HTTP",
}
