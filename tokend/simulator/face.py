"""The world over HTTP, through its weather; under ``/simulator/`` are controls and users."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from aiohttp import BodyPartReader, web
from multidict import CIMultiDict

from tokend.simulator.controls import Controls
from tokend.simulator.media import File, Upload
from tokend.simulator.users import Users

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.simulator.media import Answer
    from tokend.simulator.weather import Fault, Weather
    from tokend.simulator.world import World

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON = "application/json; encoding=utf-8"
_PIECE = 2**16


def make_app(world: World, weather: Weather, clock: Clock) -> web.Application:
    """WeChat's routes, the controls, and the users. *clock* is asked for ``now`` only."""
    wechat, controls = WeChat(world, weather, clock), Controls(world, weather, clock)
    app = web.Application()
    app.on_shutdown.append(wechat.end_trips)
    app.add_routes(wechat.routes())
    app.add_routes(controls.routes())
    app.add_routes(Users(world, clock).routes())
    return app


class Asked(Protocol):
    """A call of the world whose question is all in the query."""

    def __call__(self, query: Mapping[str, str], *, caller: str, now: datetime) -> Answer: ...


class Posted(Protocol):
    """A call of the world that comes with a body."""

    def __call__(
        self, query: Mapping[str, str], body: bytes, /, *, caller: str, now: datetime
    ) -> Answer: ...


class WeChat:
    """What programs ask WeChat."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock
        self._trips: set[asyncio.Task[Answer]] = set()

    def routes(self) -> list[web.RouteDef]:
        world = self._world
        asked: dict[str, tuple[str, Asked]] = {
            "/cgi-bin/token": ("token", world.token),
            "/cgi-bin/ticket/getticket": ("getticket", world.getticket),
            "/cgi-bin/gettoken": ("gettoken", world.gettoken),
            "/cgi-bin/get_jsapi_ticket": ("get_jsapi_ticket", world.get_jsapi_ticket),
            "/cgi-bin/ticket/get": ("ticket_get", world.ticket_get),
            "/cgi-bin/get_api_domain_ip": ("get_api_domain_ip", world.get_api_domain_ip),
            "/cgi-bin/media/get": ("media_get", world.media_get),
            "/sns/jscode2session": ("jscode2session", world.jscode2session),
            "/wxa/checksession": ("checksession", world.checksession),
            "/wxa/resetusersessionkey": ("resetusersessionkey", world.resetusersessionkey),
            "/wxa/getpaidunionid": ("getpaidunionid", world.getpaidunionid),
        }
        posted: dict[str, tuple[str, Posted]] = {
            "/cgi-bin/stable_token": ("stable_token", self._stable_token),
            "/cgi-bin/message/custom/send": ("custom_send", world.custom_send),
            "/wxa/getwxacodeunlimit": ("getwxacodeunlimit", world.getwxacodeunlimit),
            "/wxa/business/getuserphonenumber": ("getuserphonenumber", world.getuserphonenumber),
        }
        return [
            # HEAD would get a token, too, and with it end the life of another.
            *(web.get(path, self._asking(*call), allow_head=False) for path, call in asked.items()),
            *(web.post(path, self._posting(*call)) for path, call in posted.items()),
            web.post("/cgi-bin/media/upload", self.media_upload),
            web.get("/cgi-bin/stable_token", self.stable_token_by_get),
        ]

    async def end_trips(self, _: web.Application) -> None:
        """Requests on their way end with the server."""
        for trip in self._trips:
            trip.cancel()

    def _asking(self, endpoint: str, ask: Asked) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            def act(now: datetime) -> Answer:
                return ask(request.query, caller=_caller(request), now=now)

            return await self._meet(request, endpoint, act)

        return handle

    def _posting(self, endpoint: str, post: Posted) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.content_length is None:
                return _length_required()
            body = await request.read()

            def act(now: datetime) -> Answer:
                return post(request.query, body, caller=_caller(request), now=now)

            return await self._meet(request, endpoint, act)

        return handle

    async def media_upload(self, request: web.Request) -> web.StreamResponse:
        if request.content_length is None:
            return _length_required()
        upload = await _uploaded(request)

        def act(now: datetime) -> Answer:
            caller = _caller(request)
            return self._world.media_upload(request.query, upload, caller=caller, now=now)

        return await self._meet(request, "media_upload", act)

    def _stable_token(
        self, _: Mapping[str, str], body: bytes, *, caller: str, now: datetime
    ) -> Answer:
        return self._world.stable_token(body, caller=caller, now=now)

    async def stable_token_by_get(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(
            request, "stable_token", lambda now: self._world.wrong_method(now=now)
        )

    async def _meet(
        self, request: web.Request, endpoint: str, act: Callable[[datetime], Answer]
    ) -> web.StreamResponse:
        """Let the request go through the weather to the world, and the answer back."""
        fault = self._weather.strike(endpoint)
        trip = asyncio.create_task(self._travel(fault, act))
        self._trips.add(trip)
        trip.add_done_callback(self._trips.discard)
        # WeChat acts even if the caller has given up; some servers cancel the handler then.
        reply = await asyncio.shield(trip)
        return _cut(request) if fault.cut else await _send(request, fault.answer(reply), fault)

    async def _travel(self, fault: Fault, act: Callable[[datetime], Answer]) -> Answer:
        await asyncio.sleep(fault.delay_seconds)
        reply = act(self._clock.now()) if fault.reaches_the_world else {}
        await asyncio.sleep(fault.late_seconds)
        return reply


def _caller(request: web.Request) -> str:
    """The peer; over a Unix socket there is none."""
    return request.remote or "127.0.0.1"


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()  # goes nowhere


def _length_required() -> web.Response:
    """For what comes chunked: WeChat's gateway wants a length. Many a new HTTP client met this.

    https://developers.weixin.qq.com/community/develop/doc/000a08cb9705a05965919300b61800
    """
    return web.Response(status=412)


async def _uploaded(request: web.Request) -> Upload | None:
    """The file in a form, weighed and not kept."""
    if request.content_type != "multipart/form-data":
        return None
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "media" and part.filename:
                return await _weighed(part)
    except ValueError:
        return None  # a form whose parts cannot be told apart
    return None


async def _weighed(part: BodyPartReader) -> Upload:
    digest, size = sha256(), 0
    while piece := await part.read_chunk(_PIECE):
        digest.update(piece)
        size += len(piece)
    return Upload(size=size, sha256=digest.hexdigest())


async def _send(request: web.Request, answer: bytes | File, fault: Fault) -> web.StreamResponse:
    if isinstance(answer, File):
        return await _stream(request, answer, fault)
    if fault.drip_seconds and answer:
        dripping = File(content_type=_JSON, size=len(answer), pattern=answer)
        return await _stream(request, dripping, fault)
    return web.Response(body=answer, status=fault.status, headers=_headers(_JSON, fault))


async def _stream(request: web.Request, file: File, fault: Fault) -> web.StreamResponse:
    headers = _headers(file.content_type, fault)
    response = web.StreamResponse(status=fault.status, headers=headers)
    response.content_length = file.size
    await response.prepare(request)
    for piece in file.pieces():
        await (_drip(response, piece, fault) if fault.drip_seconds else response.write(piece))
    return response


async def _drip(response: web.StreamResponse, piece: bytes, fault: Fault) -> None:
    for byte in piece:
        await response.write(bytes([byte]))
        await asyncio.sleep(fault.drip_seconds)


def _headers(content_type: str, fault: Fault) -> CIMultiDict[str]:
    headers = CIMultiDict({"Content-Type": content_type})
    headers.update(fault.headers)
    return headers
