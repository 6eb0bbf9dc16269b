"""The way to a webhook. Its URL is a secret, so this is as narrow as the transport to WeChat:
deadlines, 16 KiB of answer, no redirects, no decompression, no proxy from the
environment, and words that hold no URL.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from tokend.errors import UpstreamError
from tokend.notify.formats import Answer, Outcome
from tokend.wechat.session import narrow_session
from tokend.wechat.trouble import told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multidict import CIMultiDictProxy

    from tokend.notify.formats import Call, Format

_DEADLINE_SECONDS = 10
_LONGEST_ANSWER = 16 * 1024
_LONGEST_WAIT_SECONDS = 600

_HEADERS = {
    "Accept-Encoding": "identity",
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "tokend",
}


@asynccontextmanager
async def open_webhooks() -> AsyncIterator[Webhooks]:
    """Connections are made anew for each message: there are few."""
    async with narrow_session(aiohttp.TCPConnector(force_close=True), _HEADERS) as session:
        yield Webhooks(session)


class Webhooks:
    """Brings calls to them; ``open_webhooks`` makes it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, call: Call, as_in: Format) -> Answer:
        """What came of it. Never raises but for being cancelled."""
        try:
            url = URL(call.url.reveal(), encoded=True)
            return await self._send(url, str(url.origin()), call.body, as_in)
        except ValueError:  # of names that cannot be looked up, UnicodeError
            return Answer(Outcome.REFUSED, "a URL that nothing can be sent to")

    async def _send(self, url: URL, origin: str, sent: bytes, as_in: Format) -> Answer:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                with told(origin):
                    response = await self._session.post(url, data=sent, allow_redirects=False)
        except TimeoutError:
            return Answer(Outcome.LATER, f"{origin}: no answer within {_DEADLINE_SECONDS} s")
        except UpstreamError as error:
            return Answer(Outcome.LATER, str(error))
        async with response:
            body = await _body(response) if as_in.codes else b""
            return as_in.read(response.status, body, _wait(response.headers))


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """What there is of it. What was taken must not be sent again, whatever becomes of this."""
    body = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_DEADLINE_SECONDS):
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _LONGEST_ANSWER:
                    break
    return bytes(body)


def _wait(headers: CIMultiDictProxy[str]) -> timedelta:
    """Retry-After, where it is a number of seconds that anybody would wait."""
    given = headers.get("Retry-After", "")
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 0  # noqa: PLR2004
    return timedelta(seconds=min(seconds, _LONGEST_WAIT_SECONDS))
