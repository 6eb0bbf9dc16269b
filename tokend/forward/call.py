"""A call that is to be passed on: read from the caller, as much as is kept of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.errors import TokendError
from tokend.facade.errcodes import MALFORMED, Refused
from tokend.forward import headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from multidict import CIMultiDict

    from tokend.forward.target import Target

_PIECE = 32 * 1024

# A body up to this size is kept until it is answered, so that it can be sent again. It has to come
# within this time.
_LONGEST_KEPT = 64 * 1024
_KEPT_SECONDS = 30

# How often to look whether the caller is still there.
_LOOK_SECONDS = 0.5


class CallerGone(TokendError):
    """Nobody is there to be answered."""


@asynccontextmanager
async def while_there(request: web.Request) -> AsyncIterator[None]:
    """End what goes on inside when the caller goes away: aiohttp tells only who reads or writes."""
    loop = asyncio.get_running_loop()
    watch: asyncio.TimerHandle

    def look() -> None:
        nonlocal watch
        if request.transport is None or request.transport.is_closing():
            limit.reschedule(loop.time())
        else:
            watch = loop.call_later(_LOOK_SECONDS, look)

    try:
        async with asyncio.timeout(None) as limit:
            watch = loop.call_later(_LOOK_SECONDS, look)
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        raise CallerGone("the caller went away") from None


@asynccontextmanager
async def heard(seconds: float) -> AsyncIterator[None]:
    """What is between the caller and tokend: it may fail, and is not to last longer than this."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CallerGone(f"the caller stood still for {seconds} s") from None
    except ConnectionError:
        raise CallerGone("the caller went away") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is sent on. *kept* is the body; None if it is too large, so that it goes once."""

    request: web.Request
    target: Target
    headers: CIMultiDict[str]
    kept: bytes | None

    def body(self) -> bytes | AsyncIterable[bytes]:
        return self.request.content.iter_chunked(_PIECE) if self.kept is None else self.kept


async def read_call(request: web.Request, target: Target) -> Call:
    """Raises ``Refused``."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(MALFORMED, "a compressed body is not passed on: send it plain")
    kept = await _kept(request)
    length = request.content_length if kept is None else len(kept)
    passed = headers.of_call(request.headers)
    if request.body_exists:
        passed["Content-Length"] = str(length)
    return Call(request=request, target=target, headers=passed, kept=kept)


async def _kept(request: web.Request) -> bytes | None:
    """The whole body; None if it says that it is too large for that."""
    if (request.content_length or 0) > _LONGEST_KEPT:
        return None
    kept = bytearray()
    try:
        async with heard(_KEPT_SECONDS):
            while len(kept) <= _LONGEST_KEPT and (piece := await request.content.read(_PIECE)):
                kept += piece
    except web.RequestPayloadError:
        raise Refused(MALFORMED, "the body is not what its headers say") from None
    if len(kept) > _LONGEST_KEPT:
        # https://developers.weixin.qq.com/community/develop/doc/000a08cb9705a05965919300b61800
        raise Refused(
            MALFORMED,
            f"a body of more than {_LONGEST_KEPT} bytes needs a Content-Length: WeChat takes no "
            "chunked one, and it is too long to be counted here",
        )
    return bytes(kept)
