"""The users of mini-programs over HTTP, as tests play them: a test tool, like the controls.

Under ``/simulator/phones/{appid}/{user}``, where any name is a user's:

``GET``                  who that is: ``{"openid", "unionid", "risky", "bound"}``
``POST …/marks``         ``{"risky": true}`` keeps the user from logging in, ``{"bound": false}``
                         the unionid from everybody; the answer is that of ``GET``
``POST …/login``         ``wx.login``: ``{"code"}``
``POST …/check-session`` ``wx.checkSession``: ``{"valid"}``
``POST …/expire``        the session_key ends early: ``{"valid": false}``
``POST …/profile``       ``wx.getUserInfo``: ``{"rawData", "signature", "encryptedData", "iv"}``;
                         409 with ``{"error"}`` if no session_key lives
``POST …/phone-number``  the button ``getPhoneNumber``: ``{"code"}``
``POST …/pay``           ``wx.requestPayment``: ``{"transaction_id", "mch_id", "out_trade_no"}``

An appid that is nobody's is a 404 with ``{"error"}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from tokend.simulator.phone import NotLoggedIn, Phone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.simulator.world import World

    Act = Callable[[Phone, datetime], dict[str, Any]]

_PHONE = "/simulator/phones/{appid}/{user}"
_MARKS = ("risky", "bound")


class Users:
    """Nothing that they do counts as a call, and no fault strikes."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(_PHONE, self.tell),
            web.post(f"{_PHONE}/marks", self.mark),
            *(web.post(f"{_PHONE}/{name}", self._doing(act)) for name, act in _ACTS.items()),
        ]

    async def tell(self, request: web.Request) -> web.Response:
        return self._answer(request, _told)

    async def mark(self, request: web.Request) -> web.Response:
        try:
            marks = _marks(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return self._answer(request, lambda phone: _marked(phone, marks))

    def _doing(self, act: Act) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return self._answer(request, lambda phone: act(phone, self._clock.now()))

        return handle

    def _answer(self, request: web.Request, ask: Callable[[Phone], dict[str, Any]]) -> web.Response:
        appid, user = request.match_info["appid"], request.match_info["user"]
        try:
            phone = self._world.phone(appid, user)
        except KeyError:
            return web.json_response({"error": f"{appid}: no such account"}, status=404)
        try:
            return web.json_response(ask(phone))
        except NotLoggedIn as error:
            return web.json_response({"error": str(error)}, status=409)


def _told(phone: Phone) -> dict[str, Any]:
    return {
        "openid": phone.openid,
        "unionid": phone.unionid,
        "risky": phone.risky,
        "bound": phone.bound,
    }


def _marks(given: object) -> dict[str, bool]:
    marks: dict[str, Any] = given if isinstance(given, dict) else {"": given}
    if not all(name in _MARKS and isinstance(value, bool) for name, value in marks.items()):
        raise ValueError('wanted {"risky": true or false, "bound": true or false}, or one of them')
    return marks


def _marked(phone: Phone, marks: dict[str, bool]) -> dict[str, Any]:
    for name, value in marks.items():
        setattr(phone, name, value)
    return _told(phone)


def _expire(phone: Phone, now: datetime) -> dict[str, Any]:
    phone.expire(now)
    return {"valid": phone.check_session(now)}


def _paid(phone: Phone, now: datetime) -> dict[str, Any]:
    payment = phone.pay(now)
    return {
        "transaction_id": payment.transaction_id,
        "mch_id": payment.mch_id,
        "out_trade_no": payment.out_trade_no,
    }


# What a user does, by the end of the URL, and what the mini-program gets from it.
_ACTS: dict[str, Act] = {
    "login": lambda phone, now: {"code": phone.login(now)},
    "check-session": lambda phone, now: {"valid": phone.check_session(now)},
    "profile": Phone.profile,
    "phone-number": lambda phone, now: {"code": phone.show_number(now)},
    "pay": _paid,
    "expire": _expire,
}
