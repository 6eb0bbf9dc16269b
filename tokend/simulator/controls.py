"""The controls of the simulator over HTTP: a test tool.

Whoever reaches them may do everything, and tokens go in and out, so serve this on loopback only.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.simulator.weather import FAIR, read_fault

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.simulator.weather import Weather
    from tokend.simulator.world import World


class Controls:
    """What tests ask the simulator. Nothing here counts as a call, and no fault strikes."""

    def __init__(self, world: World, weather: Weather, clock: Clock) -> None:
        self._world = world
        self._weather = weather
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/simulator/ledger", self.ledger),
            web.get("/simulator/valid", self.valid),
            web.get("/simulator/issued", self.issued),
            web.post("/simulator/weather", self.set_weather),
            web.post("/simulator/rotate", self.rotate),
        ]

    async def ledger(self, _: web.Request) -> web.Response:
        """Calls by appid or corpid and endpoint, calls with a bad token, faults that struck.

        ``last_upload`` is there once a file has been taken: its size and sha256.
        """
        upload = self._world.ledger.last_upload
        return web.json_response(
            {
                "calls": self._world.all_calls(),
                "rejected_uses": self._world.rejected_uses,
                "struck": self._weather.struck,
                **({"last_upload": asdict(upload)} if upload else {}),
            }
        )

    async def valid(self, request: web.Request) -> web.Response:
        """``?token=``: whether WeChat would accept it now."""
        token = request.query.get("token", "")
        return web.json_response({"valid": self._world.is_valid(token, self._clock.now())})

    async def issued(self, _: web.Request) -> web.Response:
        """Every token, ticket and session_key there ever was."""
        return web.json_response(list(self._world.all_issued()))

    async def set_weather(self, request: web.Request) -> web.Response:
        """``[fault, …]`` are to come; ``{"standing": fault or null}`` stays. All or nothing."""
        try:
            _change(self._weather, await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"coming": len(self._weather.coming)})

    async def rotate(self, request: web.Request) -> web.Response:
        """``{"appid": …}``: somebody else gets new tokens of this account.

        ``{"corpid": …, "agentid": …}``: WeCom ends this agent's token early.
        """
        try:
            rotated = self._rotate(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except KeyError as error:
            return web.json_response({"error": f"{error.args[0]}: no such account"}, status=404)
        return web.json_response({"rotated": rotated})

    def _rotate(self, named: object) -> str:
        match named:
            case {"appid": str(appid)}:
                self._world.rotate(appid, self._clock.now())
                return appid
            case {"corpid": str(corpid), "agentid": int(agentid)}:
                self._world.void(self._world.agent(corpid, agentid), self._clock.now())
                return f"{corpid}/{agentid}"
        raise ValueError('wanted {"appid": "wx…"}, or {"corpid": "ww…", "agentid": 1…}')


def _change(weather: Weather, given: object) -> None:
    if isinstance(given, list):
        weather.coming.extend([read_fault(each) for each in given])
    elif isinstance(given, dict) and given.keys() == {"standing"}:
        standing = given["standing"]
        weather.standing = FAIR if standing is None else read_fault(standing)
    else:
        raise ValueError('the weather is a list of faults, or {"standing": a fault or null}')
