"""Calls of WeChat's API passed on, with the current token in place of what the caller wrote.

A business server then needs neither the AppSecret nor the token. Bodies are streamed; no more
than 64 KiB of a call is kept, so that a small one can be sent again with a new token.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog
from aiohttp import web

from tokend.api import headers
from tokend.api.errcodes import MALFORMED, UNAUTHORIZED, Refused, shaped
from tokend.api.target import read_target
from tokend.errors import TokendError
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from aiohttp.typedefs import Handler
    from multidict import CIMultiDict

    from tokend.api.target import Target

log = structlog.get_logger()

_METHODS = ("GET", "POST")
_PIECE = 32 * 1024

# A body up to this size is kept until it is answered, so that it can be sent again.
_LONGEST_KEPT = 64 * 1024

# WeChat reports a token in a few hundred bytes; what is longer is not looked at.
_LONGEST_REPORT = 4 * 1024

# What a business call is told of its token, and a new one mends.
# https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
_REJECTED = {40001, 40014, 42001}

# The kept part of a body has to come within this; so has each step of a caller taking an answer,
# which may be slow, but not away.
_KEPT_SECONDS = 30
_CALLER_SECONDS = 300

# How often to look whether the caller is still there.
_LOOK_SECONDS = 0.5


class Passage(Protocol):
    """What one caller may have passed on, and with which token."""

    @property
    def upstream(self) -> str:
        """``https://api.weixin.qq.com``, without a slash at its end."""

    def allows(self, path: str) -> bool:
        """Tell if the client's allow-list has this path."""

    def token(self) -> Secret:
        """The current one. Raises ``NotReady``."""

    async def replace(self, rejected: Secret) -> Secret:
        """Report *rejected*, and give what replaces it, which may be the same.

        Raises ``TokendError``.
        """


# By the caller's access_token parameter. Raises ``Refused``.
Passages: TypeAlias = "Callable[[str, web.Request], Passage]"


class Reply(Protocol):
    """An answer whose head has come."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def piece(self) -> bytes:
        """Some more of the body; empty at its end. Raises ``UpstreamError``."""


class Relay(Protocol):
    """The way to WeChat."""

    def call(
        self,
        method: str,
        url: Secret,
        *,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterable[bytes],
    ) -> AbstractAsyncContextManager[Reply]:
        """Send this once. Left early, the connection is closed. Raises ``UpstreamError``."""


class Forward:
    """For every path that no other route has, but tokend's own."""

    def __init__(self, relay: Relay, passages: Passages) -> None:
        self._relay = relay
        self._passages = passages
        self.handle: Handler = shaped(self._pass_on)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_route("*", "/{path:(?!v1/).*}", self.handle)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        target = read_target(request.raw_path)
        passage = self._passages(target.caller, request)
        if not passage.allows(target.path):
            raise Refused(UNAUTHORIZED, f"this client may not call {target.path}")
        try:
            async with _while_there(request):
                call = await _read(request, target)
                response = await self._answer(call, passage)
        except (Refused, TokendError) as error:
            log.debug("call_failed", method=request.method, path=target.path, why=str(error))
            raise
        log.debug("call_forwarded", method=request.method, path=target.path, status=response.status)
        return response

    async def _answer(self, call: _Call, passage: Passage) -> web.StreamResponse:
        """Send *call* on, and if the token is rejected and replaced, once more."""
        token = passage.token()
        async with self._sent(call, passage, token) as reply:
            opening = await _open(reply)
            errcode = opening.rejection()
            if errcode is None:
                return await _deliver(call.request, reply, opening)
            rejection = opening.response()
        log.warning(
            "token_rejected", path=call.target.path, errcode=errcode, token=token.fingerprint
        )
        replacement = await _replacement(passage, token)
        if replacement is None or call.kept is None:
            return rejection
        async with self._sent(call, passage, replacement) as reply:
            return await _deliver(call.request, reply, await _open(reply))

    def _sent(
        self, call: _Call, passage: Passage, token: Secret
    ) -> AbstractAsyncContextManager[Reply]:
        return self._relay.call(
            call.request.method,
            Secret(f"{passage.upstream}{call.target.with_token(token)}"),
            headers=call.headers,
            body=call.request.content.iter_chunked(_PIECE) if call.kept is None else call.kept,
        )


async def _replacement(passage: Passage, rejected: Secret) -> Secret | None:
    """None if there is no other token: then WeChat's own answer says it best."""
    try:
        token = await passage.replace(rejected)
    except TokendError as error:
        log.debug("no_replacement", why=str(error))
        return None
    return None if token == rejected else token


class _CallerGone(TokendError):
    """Nobody is there to be answered."""


@asynccontextmanager
async def _while_there(request: web.Request) -> AsyncIterator[None]:
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
        raise _CallerGone("the caller went away") from None


@asynccontextmanager
async def _heard(seconds: float) -> AsyncIterator[None]:
    """What is between the caller and tokend: it may fail, and is not to last longer than this."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _CallerGone(f"the caller stood still for {seconds} s") from None
    except ConnectionError:
        raise _CallerGone("the caller went away") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What is sent on. *kept* is the body; None if it is too large, so that it goes once."""

    request: web.Request
    target: Target
    headers: CIMultiDict[str]
    kept: bytes | None


async def _read(request: web.Request, target: Target) -> _Call:
    """Raises ``Refused``."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(MALFORMED, "a compressed body is not passed on: send it plain")
    kept = await _kept(request)
    length = request.content_length if kept is None else len(kept)
    passed = headers.of_call(request.headers)
    if request.body_exists:
        passed["Content-Length"] = str(length)
    return _Call(request=request, target=target, headers=passed, kept=kept)


async def _kept(request: web.Request) -> bytes | None:
    """The whole body; None if it says that it is too large for that."""
    if (request.content_length or 0) > _LONGEST_KEPT:
        return None
    kept = bytearray()
    try:
        async with _heard(_KEPT_SECONDS):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """How an answer begins; all of it, if it *is_whole*."""

    status: int
    headers: CIMultiDict[str]
    held: bytes
    is_whole: bool

    def rejection(self) -> int | None:
        """The errcode, if it says that the token was rejected."""
        if not self.is_whole:
            return None
        try:
            answer = json.loads(self.held)
        except (ValueError, RecursionError):
            return None
        errcode = answer.get("errcode") if isinstance(answer, dict) else None
        return errcode if isinstance(errcode, int) and errcode in _REJECTED else None

    def response(self) -> web.Response:
        """With a length of its own: what is whole has been counted."""
        self.headers.popall("Content-Length", None)
        return web.Response(status=self.status, headers=self.headers, body=self.held)


async def _open(reply: Reply) -> _Opening:
    """Read on for as long as it may be a report of a rejected token."""
    held, is_whole = bytearray(), False
    while not is_whole and _may_report(reply, held):
        piece = await reply.piece()
        held += piece
        is_whole = not piece
    return _Opening(
        status=reply.status,
        headers=headers.of_answer(reply.headers),
        held=bytes(held),
        is_whole=is_whole,
    )


def _may_report(reply: Reply, held: bytearray) -> bool:
    """A download is not kept from its caller: at the latest its first bytes tell."""
    if reply.status != HTTPStatus.OK:
        return False
    length = max(len(held), int(reply.headers.get("Content-Length", 0)))
    return length <= _LONGEST_REPORT and bytes(held).lstrip()[:1] in {b"", b"{"}


async def _deliver(request: web.Request, reply: Reply, opening: _Opening) -> web.StreamResponse:
    if opening.is_whole:
        return opening.response()
    response = web.StreamResponse(status=opening.status, headers=opening.headers)
    try:
        async with _heard(_CALLER_SECONDS):
            await response.prepare(request)
            await response.write(opening.held)
        while piece := await reply.piece():
            async with _heard(_CALLER_SECONDS):
                await response.write(piece)
        async with _heard(_CALLER_SECONDS):
            await response.write_eof()
    except BaseException:
        _abort(request)
        raise
    return response


def _abort(request: web.Request) -> None:
    """Reset the connection: part of a file must not look like the whole, in HTTP/1.0 neither."""
    if request.transport is None:
        return
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
