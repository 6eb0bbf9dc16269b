"""The world over HTTP, through its weather.

Under ``/simulator/`` stand the controls, for tests and curious people. They are open to whoever
reaches them: serve this on loopback only.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tokend.simulator.weather import FAIR, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.clock import Clock
    from tokend.simulator.weather import Weather
    from tokend.simulator.world import World

_JSON = "application/json; encoding=utf-8"


def make_app(world: World, weather: Weather, clock: Clock) -> web.Application:
    """WeChat's routes, and the controls."""
    face = Face(world, weather, clock)
    app = web.Application()
    app.router.add_get("/cgi-bin/token", face.token)
    app.router.add_route("*", "/cgi-bin/stable_token", face.stable_token)
    app.router.add_get("/cgi-bin/ticket/getticket", face.getticket)
    app.router.add_get("/cgi-bin/get_api_domain_ip", face.get_api_domain_ip)
    app.router.add_get("/simulator/ledger", face.ledger)
    app.router.add_get("/simulator/valid", face.valid)
    app.router.add_post("/simulator/weather", face.set_weather)
    app.router.add_post("/simulator/rotate", face.rotate)
    return app


class Face:
    """The handlers."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock

    async def token(self, request: web.Request) -> web.StreamResponse:
        def act() -> dict[str, Any]:
            return self._world.token(request.query, caller=_caller(request), now=self._clock.now())

        return await self._meet(request, "token", act)

    async def stable_token(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST" and request.content_length is None:
            return web.Response(status=412)
        body = await request.read()

        def act() -> dict[str, Any]:
            now = self._clock.now()
            if request.method != "POST":
                return self._world.wrong_method(now)
            return self._world.stable_token(body, caller=_caller(request), now=now)

        return await self._meet(request, "stable_token", act)

    async def getticket(self, request: web.Request) -> web.StreamResponse:
        def act() -> dict[str, Any]:
            return self._world.getticket(request.query, now=self._clock.now())

        return await self._meet(request, "getticket", act)

    async def get_api_domain_ip(self, request: web.Request) -> web.StreamResponse:
        def act() -> dict[str, Any]:
            return self._world.get_api_domain_ip(request.query, now=self._clock.now())

        return await self._meet(request, "get_api_domain_ip", act)

    # Controls

    async def ledger(self, _: web.Request) -> web.Response:
        """Calls by account and endpoint, tokens that were used in vain, faults that struck."""
        calls = {appid: account.calls for appid, account in self._world.accounts.items()}
        return web.json_response(
            {
                "calls": calls,
                "rejected_uses": self._world.rejected_uses,
                "struck": self._weather.struck,
            }
        )

    async def valid(self, request: web.Request) -> web.Response:
        """Whether ``?token=`` would be accepted now. Counts nothing."""
        token = request.query.get("token", "")
        return web.json_response({"valid": self._world.is_valid(token, self._clock.now())})

    async def set_weather(self, request: web.Request) -> web.Response:
        """``{"coming": [fault, …], "standing": fault or null}``; what is absent stays."""
        try:
            given = await request.json()
            coming = [Fault.parse(fault) for fault in given.get("coming", [])]
            standing = given.get("standing", self._weather.standing)
            self._weather.standing = standing if isinstance(standing, Fault) else _fault(standing)
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._weather.coming.extend(coming)
        return web.json_response({"coming": len(self._weather.coming)})

    async def rotate(self, request: web.Request) -> web.Response:
        """``?appid=``: somebody else fetches new tokens of this account."""
        appid = request.query.get("appid", "")
        if appid not in self._world.accounts:
            return web.json_response({"error": f"{appid}: no such account"}, status=404)
        self._world.rotate(appid, self._clock.now())
        return web.json_response({"rotated": appid})

    async def _meet(
        self, request: web.Request, endpoint: str, act: Callable[[], dict[str, Any]]
    ) -> web.StreamResponse:
        """Let the request go through the weather to the world, and its answer back."""
        fault = self._weather.strike(endpoint)
        await asyncio.sleep(fault.delay)
        if fault.cut == "before":
            return _cut(request)
        reply = fault.reply if fault.reply is not None else {**act(), **fault.merge}
        await asyncio.sleep(fault.late)
        if fault.cut == "after":
            return _cut(request)
        body = fault.body if fault.body is not None else json.dumps(reply)
        headers = {"Content-Type": _JSON, **fault.headers}
        if not fault.drip:
            return web.Response(body=body.encode(), status=fault.status, headers=headers)
        return await _drip(request, body.encode(), fault, headers)


def _fault(given: object) -> Fault:
    return FAIR if given is None else Fault.parse(given)


def _caller(request: web.Request) -> str:
    return request.remote or "127.0.0.1"


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


async def _drip(
    request: web.Request, body: bytes, fault: Fault, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(
        status=fault.status, headers={**headers, "Content-Length": str(len(body))}
    )
    await response.prepare(request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(fault.drip)
    return response
