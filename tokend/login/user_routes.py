"""Users of a mini-program over HTTP: who they are, and the further ways to find that out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.api.audited import deed_of
from tokend.errors import UnknownUser
from tokend.login import requests
from tokend.login.answers import user_json
from tokend.wechat import identity

if TYPE_CHECKING:
    from tokend.login.calls import Calls
    from tokend.login.guard import Guard
    from tokend.login.users import Users
    from tokend.model import Secret
    from tokend.wechat.recipes import Request

_USER = "/v1/apps/{app}/users/{openid}"


class UserRoutes:
    """The handlers."""

    def __init__(self, guard: Guard, users: Users, calls: Calls) -> None:
        self._guard = guard
        self._users = users
        self._calls = calls

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(_USER, self.show)
        router.add_delete(_USER, self.forget)
        router.add_delete(f"{_USER}/sessions", self.log_out)
        router.add_post("/v1/apps/{app}/phone-number", self.phone_number)
        router.add_get("/v1/apps/{app}/paid-unionid", self.paid_unionid, allow_head=False)

    async def show(self, request: web.Request) -> web.Response:
        """Whom they are taken for."""
        with self._guard.throughout(request) as app:
            openid = requests.openid(request)
            user = await self._users.find(app.appid, openid)
        return web.json_response(user_json(openid, user))

    async def forget(self, request: web.Request) -> web.Response:
        """Everything about them, their sessions too."""
        deed_of(request).of_power = True
        with self._guard.throughout(request) as app:
            await self._users.forget(app.appid, requests.openid(request))
        return web.Response(status=204)

    async def log_out(self, request: web.Request) -> web.Response:
        """Everywhere."""
        deed_of(request).of_power = True
        with self._guard.throughout(request) as app:
            await self._users.end_sessions(app.appid, requests.openid(request))
        return web.Response(status=204)

    async def phone_number(self, request: web.Request) -> web.Response:
        """That which a button's code stands for."""
        self._guard.allowed(request)
        code = await requests.code(request)

        def ask(access_token: Secret) -> Request:
            return identity.getuserphonenumber(access_token, code)

        with self._guard.throughout(request) as app:
            number = await self._calls.ask(
                app, ask, identity.read_phone_number, by=deed_of(request).who
            )
        return web.json_response(number)

    async def paid_unionid(self, request: web.Request) -> web.Response:
        """The unionid of who has just paid. It is kept, if they have logged in."""
        self._guard.allowed(request)
        openid, order = requests.order(request)

        def ask(access_token: Secret) -> Request:
            return identity.getpaidunionid(access_token, openid, order)

        with self._guard.throughout(request) as app:
            unionid = await self._calls.ask(
                app, ask, identity.read_unionid, by=deed_of(request).who
            )
            with suppress(UnknownUser):
                await self._users.learn(app.appid, openid, unionid)
        return web.json_response({"openid": openid, "unionid": unionid})
