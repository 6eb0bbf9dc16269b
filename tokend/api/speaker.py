"""aiohttp's side of a connection: its HTTP, with our limits, and our words where it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias, cast

import aiohttp.http_parser
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from tokend.api.door import DOOR, Phase
from tokend.api.problems import http_problem, problem
from tokend.errors import InstallationError, Malformed

if TYPE_CHECKING:
    from tokend.api.door import Door

Handle: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Of a body that is on its way to WeChat, aiohttp reads twice this ahead.
_READ_AHEAD = 32 * 1024

_LONGEST_LINE = 8190
_MOST_HEADERS = 64

# How long the rest of a body is read and thrown away, so that who sends it hears the answer.
_LINGER_SECONDS = 2.0


def require_c_parser() -> None:
    """Raise ``InstallationError`` without the parser that is made of llhttp.

    The one in pure Python is for platforms that have none, and takes more for a request:
    https://github.com/aio-libs/aiohttp/security/advisories
    """
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise InstallationError(
            "aiohttp has no C parser here, and the other one is too easily misled; install aiohttp "
            "from a wheel, and set no AIOHTTP_NO_EXTENSIONS"
        )


class Speaker(web.RequestHandler):
    """Requests of *door*, read by the parser and answered by *server*."""

    __slots__ = ("door",)

    def __init__(self, door: Door, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is for none
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
            lingering_time=_LINGER_SECONDS,
            read_bufsize=_READ_AHEAD,
            auto_decompress=False,
        )
        self.door = door

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002, 400 whatever it is
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002, holds what was sent
    ) -> web.StreamResponse:
        """Answer what could not be read."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if isinstance(exc, LineTooLong):
            return http_problem(web.HTTPRequestHeaderFieldsTooLarge())
        if isinstance(exc, HttpProcessingError):
            return problem(Malformed("this is not HTTP as it is spoken here"))
        return http_problem(web.HTTPInternalServerError())


def tracked(handle: Handle) -> Handle:
    """*handle*, while its connection knows that it is being answered."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        door = request[DOOR] = cast("Speaker", request.protocol).door
        door.turn(Phase.ANSWER)
        try:
            response = await _response(handle, request)
            await _write(request, response)
        finally:
            door.turn(Phase.IDLE)
        door.repeats.keep(request, response)
        return response

    return answer


async def _response(handle: Handle, request: web.BaseRequest) -> web.StreamResponse:
    try:
        return await handle(request)
    except web.HTTPException as error:  # before any handler: Expect
        return http_problem(error)


async def _write(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """All of it, before anything else is answered; else aiohttp would do so a little later."""
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
