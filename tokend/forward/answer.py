"""WeChat's answer to a call that was passed on: whether it rejects the token, and its delivery."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.api.door import reset
from tokend.forward import headers
from tokend.forward.call import heard

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from tokend.wechat.relay import Reply

# WeChat reports a token in a few hundred bytes; what is longer is not looked at.
_LONGEST_REPORT = 4 * 1024

# What a business call is told of its token, and a new one mends.
# https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
_REJECTED = {40001, 40014, 42001}

# A caller may be slow in taking an answer, but not away: for each step.
_CALLER_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How an answer begins; all of it, if it *is_whole*."""

    status: int
    headers: CIMultiDict[str]
    held: bytes
    is_whole: bool

    def rejection(self) -> int | None:
        """The errcode, if it says that the token was rejected."""
        if not self.is_whole or "Content-Disposition" in self.headers:
            return None  # a file says what its author wanted it to say
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


async def open_answer(reply: Reply) -> Opening:
    """Read on for as long as it may be a report of a rejected token."""
    held, is_whole = bytearray(), False
    while not is_whole and _may_report(reply, held):
        piece = await reply.piece()
        held += piece
        is_whole = not piece
    return Opening(
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


async def deliver(request: web.Request, reply: Reply, opening: Opening) -> web.StreamResponse:
    if opening.is_whole:
        return opening.response()
    response = web.StreamResponse(status=opening.status, headers=opening.headers)
    response.headers["Cache-Control"] = "no-store"
    try:
        async with heard(_CALLER_SECONDS):
            await response.prepare(request)
            await response.write(opening.held)
        while piece := await reply.piece():
            async with heard(_CALLER_SECONDS):
                await response.write(piece)
        async with heard(_CALLER_SECONDS):
            await response.write_eof()
    except BaseException:
        _abort(request)
        raise
    return response


def _abort(request: web.Request) -> None:
    """Part of a file must not look like the whole."""
    if request.transport is not None:
        reset(request.transport)
