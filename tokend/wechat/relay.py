"""How other people's calls go to WeChat and its answers come back, a piece at a time.

A call carries a token in its URL, so this is as narrow as the transport: no redirects, no
decompression, no proxy from the environment, nothing sent twice, and exceptions that cannot carry
the URL. What differs is size: an upload may take minutes, so time is limited between two pieces
and not over the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from tokend.errors import UpstreamUnclear
from tokend.wechat.session import narrow_session
from tokend.wechat.trouble import told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from multidict import CIMultiDict, CIMultiDictProxy

    from tokend.model import Secret

# aiohttp stops reading at twice this, so what it holds of an answer is no more than 64 KiB.
_PIECE = 32 * 1024

# Less than servers keep a connection for: a call that meets one being closed cannot be repeated.
_KEEPALIVE_SECONDS = 10

_HTTP_OK = 200

# What aiohttp would add where the caller has said nothing.
_NOTHING_OF_ITS_OWN = ("Accept", "Content-Type", "User-Agent")


@asynccontextmanager
async def open_relay(*, idle: timedelta, proxy: str = "") -> AsyncIterator[Relay]:
    """A call ends when for *idle* nothing of it has moved, in either direction."""
    async with narrow_session(
        # Without a limit: a call beyond it would fail for want of a connection, not of WeChat.
        aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
        # An answer is looked into for an errcode.
        {"Accept-Encoding": "identity"},
        skip_auto_headers=_NOTHING_OF_ITS_OWN,
        read_bufsize=_PIECE,
    ) as session:
        yield Relay(session, idle=idle, proxy=proxy)


class Relay:
    """Sends calls on; ``open_relay`` makes it."""

    def __init__(self, session: aiohttp.ClientSession, *, idle: timedelta, proxy: str) -> None:
        self._session = session
        self._idle = idle
        self._proxy = proxy or None

    @asynccontextmanager
    async def call(
        self,
        method: str,
        url: Secret,
        *,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterable[bytes],
    ) -> AsyncIterator[Reply]:
        """Send this once. Left early, the connection is closed.

        *url* goes out as it is written. A *body* in pieces needs its Content-Length in *headers*.
        Raises ``UpstreamUnreachable`` or ``UpstreamUnclear``.
        """
        target = URL(url.reveal(), encoded=True)
        origin = str(target.origin())
        patience = _Patience(self._idle, origin)
        async with patience.wait():
            with told(origin):
                response = await self._session.request(
                    method,
                    target,
                    headers=headers,
                    data=_payload(body, patience),
                    proxy=self._proxy,
                    allow_redirects=False,
                )
        async with response:
            if response.status < _HTTP_OK:
                raise UpstreamUnclear(f"{origin}: HTTP status {response.status}")
            yield Reply(response, origin, patience)


class Reply:
    """What WeChat answers: its head has come, its body comes by pieces."""

    def __init__(self, response: aiohttp.ClientResponse, origin: str, patience: _Patience) -> None:
        self._response = response
        self._origin = origin
        self._patience = patience

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._response.headers

    async def piece(self) -> bytes:
        """Some more of the body; empty at its end. Raises ``UpstreamUnclear``."""
        async with self._patience.wait():
            with told(self._origin):
                return await self._response.content.read(_PIECE)


def _payload(body: bytes | AsyncIterable[bytes], patience: _Patience) -> _Upload | bytes | None:
    """None sends no Content-Length with a GET."""
    return _Upload(body, patience) if isinstance(body, AsyncIterable) else body or None


class _Upload:
    """A body on its way. aiohttp asks for a piece when WeChat has taken the one before."""

    def __init__(self, body: AsyncIterable[bytes], patience: _Patience) -> None:
        self._pieces = aiter(body)
        self._patience = patience

    def __aiter__(self) -> _Upload:
        return self

    async def __anext__(self) -> bytes:
        self._patience.renew()
        piece = await anext(self._pieces)
        self._patience.renew()
        return piece


class _Patience:
    """How long one call may stand still."""

    def __init__(self, idle: timedelta, origin: str) -> None:
        self._idle = idle.total_seconds()
        self._origin = origin
        self._limit: asyncio.Timeout | None = None  # while somebody waits

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Raises ``UpstreamUnclear`` when nothing has moved for too long."""
        try:
            async with asyncio.timeout(self._idle) as self._limit:
                yield
        except TimeoutError:
            raise UpstreamUnclear(f"{self._origin}: nothing moved for {self._idle:g} s") from None
        finally:
            self._limit = None

    def renew(self) -> None:
        """Something moved. An upload may go on while nobody waits for the answer."""
        if self._limit and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._idle)
