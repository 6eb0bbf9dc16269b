"""The world over HTTP, through its weather; under ``/simulator/`` are the controls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from multidict import CIMultiDict

from tokend.simulator.controls import Controls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.simulator.weather import Fault, Weather
    from tokend.simulator.world import World

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON = "application/json; encoding=utf-8"


def make_app(world: World, weather: Weather, clock: Clock) -> web.Application:
    """WeChat's routes, and the controls. *clock* is asked for ``now`` only."""
    wechat, controls = WeChat(world, weather, clock), Controls(world, weather, clock)
    app = web.Application()
    app.on_shutdown.append(wechat.end_trips)
    app.add_routes(wechat.routes())
    app.add_routes(controls.routes())
    return app


class Asked(Protocol):
    """A call of the world whose question is all in the query."""

    def __call__(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]: ...


class WeChat:
    """What programs ask WeChat."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock
        self._trips: set[asyncio.Task[dict[str, Any]]] = set()

    def routes(self) -> list[web.RouteDef]:
        world = self._world
        asked: dict[str, tuple[str, Asked]] = {
            "/cgi-bin/token": ("token", world.token),
            "/cgi-bin/ticket/getticket": ("getticket", world.getticket),
            "/cgi-bin/gettoken": ("gettoken", world.gettoken),
            "/cgi-bin/get_jsapi_ticket": ("get_jsapi_ticket", world.get_jsapi_ticket),
            "/cgi-bin/ticket/get": ("ticket_get", world.ticket_get),
            "/cgi-bin/get_api_domain_ip": ("get_api_domain_ip", world.get_api_domain_ip),
        }
        return [
            # HEAD would get a token, too, and with it end the life of another.
            *(web.get(path, self._asking(*call), allow_head=False) for path, call in asked.items()),
            web.post("/cgi-bin/stable_token", self.stable_token),
            web.get("/cgi-bin/stable_token", self.stable_token_by_get),
        ]

    async def end_trips(self, _: web.Application) -> None:
        """Requests on their way end with the server."""
        for trip in self._trips:
            trip.cancel()

    def _asking(self, endpoint: str, ask: Asked) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            def act(now: datetime) -> dict[str, Any]:
                return ask(request.query, caller=_caller(request), now=now)

            return await self._meet(request, endpoint, act)

        return handle

    async def stable_token(self, request: web.Request) -> web.StreamResponse:
        if request.content_length is None:
            # Chunked: WeChat's gateway wants a length. Many a new HTTP client met this.
            # https://developers.weixin.qq.com/community/develop/doc/000a08cb9705a05965919300b61800
            return web.Response(status=412)
        body = await request.read()

        def act(now: datetime) -> dict[str, Any]:
            return self._world.stable_token(body, caller=_caller(request), now=now)

        return await self._meet(request, "stable_token", act)

    async def stable_token_by_get(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(
            request, "stable_token", lambda now: self._world.wrong_method(now=now)
        )

    async def _meet(
        self, request: web.Request, endpoint: str, act: Callable[[datetime], dict[str, Any]]
    ) -> web.StreamResponse:
        """Let the request go through the weather to the world, and the answer back."""
        fault = self._weather.strike(endpoint)
        trip = asyncio.create_task(self._travel(fault, act))
        self._trips.add(trip)
        trip.add_done_callback(self._trips.discard)
        # WeChat acts even if the caller has given up; some servers cancel the handler then.
        reply = await asyncio.shield(trip)
        return _cut(request) if fault.cut else await _send(request, fault.answer(reply), fault)

    async def _travel(
        self, fault: Fault, act: Callable[[datetime], dict[str, Any]]
    ) -> dict[str, Any]:
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


async def _send(request: web.Request, body: bytes, fault: Fault) -> web.StreamResponse:
    headers = CIMultiDict({"Content-Type": _JSON})
    headers.update(fault.headers)
    if not fault.drip_seconds:
        return web.Response(body=body, status=fault.status, headers=headers)
    response = web.StreamResponse(status=fault.status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(fault.drip_seconds)
    return response
