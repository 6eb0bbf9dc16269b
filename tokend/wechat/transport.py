"""How tokend asks WeChat for credentials.

It carries AppSecrets, so it is narrow: a deadline over the whole call, 16 KiB of answer, no
redirects (the secret would be sent on), no decompression (a small answer can inflate to any size),
no proxy from the environment, and exceptions that cannot carry the URL.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from tokend.errors import UpstreamError, UpstreamUnclear, UpstreamUnreachable
from tokend.wechat.session import narrow_session
from tokend.wechat.trouble import ConnectionBroken, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime, timedelta
    from types import SimpleNamespace

    from tokend.wechat.recipes import Request

_LONGEST_ANSWER = 16 * 1024

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "tokend",
}


@asynccontextmanager
async def open_transport(
    urls: Sequence[str], *, deadline: timedelta, proxy: str = "", connections: int = 0
) -> AsyncIterator[Transport]:
    """To the first of *urls* that can be reached; every call ends within *deadline*. Each has a
    connection of its own; with *connections*, it takes turns with others on so many, and may come
    twice: let nothing through that this could harm.
    """
    connector = (
        aiohttp.TCPConnector(limit=connections, limit_per_host=0)
        if connections
        else aiohttp.TCPConnector(force_close=True)
    )
    async with narrow_session(connector, _HEADERS, trace_configs=[_tracing_reuse()]) as session:
        yield Transport(session, urls, deadline=deadline, proxy=proxy)


@dataclass(slots=True)
class _Passage:
    """One sending, on a connection that *is_reused* or new."""

    is_reused: bool = False


class Transport:
    """Sends requests to WeChat; ``open_transport`` makes it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        *,
        deadline: timedelta,
        proxy: str,
    ) -> None:
        self._session = session
        self._urls = list(urls)
        self._deadline = deadline
        self._proxy = proxy or None

    async def send(self, request: Request) -> bytes:
        """The body of the answer. Raises ``UpstreamUnreachable`` or ``UpstreamUnclear``."""
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                return await self._send_to_any(request)
        except TimeoutError:
            raise UpstreamUnclear(
                f"no answer within {self._deadline.total_seconds():g} s"
            ) from None

    async def _send_to_any(self, request: Request) -> bytes:
        """Go to the next host only where the request cannot have been acted on, or harmlessly."""
        *others, last = self._urls
        for url in others:
            try:
                return await self._send_to(url, request)
            except UpstreamError as error:
                if not (request.idempotent or isinstance(error, UpstreamUnreachable)):
                    raise
        return await self._send_to(last, request)

    async def _send_to(self, url: str, request: Request) -> bytes:
        """Where it fails there, or the deadline comes first, let later calls begin with another
        host.
        """
        try:
            return await self._send_on_any(url, request)
        except (UpstreamError, asyncio.CancelledError):
            self._urls.remove(url)
            self._urls.append(url)
            raise

    async def _send_on_any(self, url: str, request: Request) -> bytes:
        """A connection that is kept open may be closed by WeChat at the moment at which it is used
        again. What was sent there and found no answer goes on another one, in the end a new one.
        """
        while True:
            passage = _Passage()
            try:
                return await self._send_by(passage, url, request)
            except ConnectionBroken:
                if not passage.is_reused:
                    raise

    async def _send_by(self, passage: _Passage, url: str, request: Request) -> bytes:
        with told(url):
            async with self._session.request(
                request.method,
                url + request.path,
                params=request.query,
                data=request.body or None,
                proxy=self._proxy,
                allow_redirects=False,
                trace_request_ctx=passage,
            ) as response:
                return await _body(response)

    async def ask_date(self, url: str) -> datetime | None:
        """The time by the clock of *url*, in whole seconds; None if any answer came without one.

        Nothing but a HEAD of its front page goes there. Raises what ``send`` raises.
        """
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                return await self._ask_date(url)
        except TimeoutError:
            raise UpstreamUnclear(
                f"{url}: no answer within {self._deadline.total_seconds():g} s"
            ) from None

    async def _ask_date(self, url: str) -> datetime | None:
        with told(url):
            async with self._session.head(
                f"{url}/", proxy=self._proxy, allow_redirects=False
            ) as response:
                return _date(response.headers.get("Date", ""))


def _tracing_reuse() -> aiohttp.TraceConfig:
    """Nothing else of aiohttp tells which connection it took."""

    async def reused(_: object, context: SimpleNamespace, __: object) -> None:
        if passage := context.trace_request_ctx:
            passage.is_reused = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(reused)
    return tracing


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """WeChat answers everything with 200, its errors too; anything else is not WeChat's word."""
    if response.status != HTTPStatus.OK:
        raise UpstreamUnclear(f"{response.url.origin()}: HTTP status {response.status}")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LONGEST_ANSWER:
            raise UpstreamUnclear(f"an answer of more than {_LONGEST_ANSWER} bytes")
    return bytes(body)


def _date(header: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else None
