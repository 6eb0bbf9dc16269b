"""The world over HTTP, through its weather.

Under ``/simulator/`` are the controls: a test tool. Whoever reaches them may do everything, and
tokens go in and out, so serve this on loopback only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from tokend.simulator.weather import FAIR, read_fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.simulator.weather import Fault, Weather
    from tokend.simulator.world import World

_JSON = "application/json; encoding=utf-8"


def make_app(world: World, weather: Weather, clock: Clock) -> web.Application:
    """WeChat's routes, and the controls. *clock* is asked for ``now`` only."""
    wechat, controls = WeChat(world, weather, clock), Controls(world, weather, clock)
    app = web.Application()
    app.on_shutdown.append(wechat.end_trips)
    app.add_routes(
        [
            # HEAD would get a token, too, and with it end the life of another.
            web.get("/cgi-bin/token", wechat.token, allow_head=False),
            web.post("/cgi-bin/stable_token", wechat.stable_token),
            web.get("/cgi-bin/stable_token", wechat.stable_token_by_get),
            web.get("/cgi-bin/ticket/getticket", wechat.getticket, allow_head=False),
            web.get("/cgi-bin/get_api_domain_ip", wechat.get_api_domain_ip),
            web.get("/simulator/ledger", controls.ledger),
            web.get("/simulator/valid", controls.valid),
            web.post("/simulator/weather", controls.set_weather),
            web.post("/simulator/rotate", controls.rotate),
        ]
    )
    return app


class WeChat:
    """What programs ask WeChat."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock
        self._trips: set[asyncio.Task[dict[str, Any]]] = set()

    async def end_trips(self, _: web.Application) -> None:
        """Requests on their way end with the server."""
        for trip in self._trips:
            trip.cancel()

    async def token(self, request: web.Request) -> web.StreamResponse:
        def act(now: datetime) -> dict[str, Any]:
            return self._world.token(request.query, caller=_caller(request), now=now)

        return await self._meet(request, "token", act)

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

    async def getticket(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(
            request, "getticket", lambda now: self._world.getticket(request.query, now=now)
        )

    async def get_api_domain_ip(self, request: web.Request) -> web.StreamResponse:
        def act(now: datetime) -> dict[str, Any]:
            return self._world.get_api_domain_ip(request.query, now=now)

        return await self._meet(request, "get_api_domain_ip", act)

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


class Controls:
    """What tests ask the simulator. Nothing here counts as a call, and no fault strikes."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock

    async def ledger(self, _: web.Request) -> web.Response:
        """Calls by appid and endpoint, business calls with a bad token, faults that struck."""
        return web.json_response(
            {
                "calls": self._world.all_calls(),
                "rejected_uses": self._world.rejected_uses,
                "struck": self._weather.struck,
            }
        )

    async def valid(self, request: web.Request) -> web.Response:
        """``?token=``: whether WeChat would accept it now."""
        token = request.query.get("token", "")
        return web.json_response({"valid": self._world.is_valid(token, self._clock.now())})

    async def set_weather(self, request: web.Request) -> web.Response:
        """``[fault, …]`` are to come; ``{"standing": fault or null}`` stays. All or nothing."""
        try:
            _change(self._weather, await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"coming": len(self._weather.coming)})

    async def rotate(self, request: web.Request) -> web.Response:
        """``{"appid": …}``: somebody else gets new tokens of this account."""
        try:
            appid = _appid(await request.json())
            self._world.rotate(appid, self._clock.now())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except KeyError:
            return web.json_response({"error": f"{appid}: no such account"}, status=404)
        return web.json_response({"rotated": appid})


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


def _change(weather: Weather, given: object) -> None:
    if isinstance(given, list):
        weather.coming.extend([read_fault(each) for each in given])
    elif isinstance(given, dict) and given.keys() == {"standing"}:
        standing = given["standing"]
        weather.standing = FAIR if standing is None else read_fault(standing)
    else:
        raise ValueError('the weather is a list of faults, or {"standing": a fault or null}')


def _appid(given: object) -> str:
    if not isinstance(given, dict) or not isinstance(given.get("appid"), str):
        raise ValueError('wanted {"appid": "wx…"}')  # noqa: TRY004, bad input and not a bug
    return str(given["appid"])
