"""Sessions of a mini-program over HTTP. No answer holds a session_key."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from tokend.api.audited import deed_of
from tokend.errors import SessionKeyEnded, UnknownSession
from tokend.login import requests
from tokend.login.answers import begun_json, session_json, user_json
from tokend.login.signed import check_watermark, decrypt, verify
from tokend.wechat import identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.login.calls import Calls
    from tokend.login.exchange import Exchange
    from tokend.login.guard import Guard
    from tokend.login.sessions import Held, Sessions
    from tokend.login.users import Users
    from tokend.model import App, Secret
    from tokend.wechat.recipes import Request

_T = TypeVar("_T")

_SESSION = "/v1/apps/{app}/sessions/{session}"


class SessionRoutes:
    """The handlers; *oldest* is how long ago a phone may have encrypted what is decrypted."""

    def __init__(
        self,
        guard: Guard,
        *,
        exchange: Exchange,
        sessions: Sessions,
        users: Users,
        calls: Calls,
        clock: Clock,
        oldest: timedelta,
    ) -> None:
        self._guard = guard
        self._exchange = exchange
        self._sessions = sessions
        self._users = users
        self._calls = calls
        self._clock = clock
        self._oldest = oldest

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/apps/{app}/sessions", self.login)
        router.add_get(_SESSION, self.show)
        router.add_delete(_SESSION, self.log_out)
        router.add_put(f"{_SESSION}/user", self.bind)
        router.add_post(f"{_SESSION}/verify", self.verify)
        router.add_post(f"{_SESSION}/decrypt", self.decrypt)
        router.add_post(f"{_SESSION}/check", self.check)
        router.add_post(f"{_SESSION}/reset", self.reset)

    async def login(self, request: web.Request) -> web.Response:
        """A session for the code of ``wx.login``."""
        self._guard.allowed(request)  # nobody waits for a stranger's body
        code = await requests.code(request)
        with self._guard.throughout(request) as app:
            begun = await self._exchange.login(app, code)
        return web.json_response(begun_json(begun, self._clock.wall()))

    async def show(self, request: web.Request) -> web.Response:
        """Whose it is."""
        with self._guard.throughout(request) as app:
            held = await self._held(request, app)
        return self._shown(held)

    async def log_out(self, request: web.Request) -> web.Response:
        """Also of what is over already."""
        with self._guard.throughout(request) as app:
            await self._sessions.end(app.appid, request.match_info["session"])
        return web.Response(status=204)

    async def bind(self, request: web.Request) -> web.Response:
        """Whom the business server takes its user for."""
        self._guard.allowed(request)
        name = await requests.user(request)
        with self._guard.throughout(request) as app:
            openid = (await self._held(request, app)).session.openid
            user = await self._users.bind(app.appid, openid, name)
        return web.json_response(user_json(openid, user))

    async def verify(self, request: web.Request) -> web.Response:
        """Whether the phone has signed this."""
        self._guard.allowed(request)
        signed = await requests.signed(request)
        with self._guard.throughout(request) as app:
            held = await self._held(request, app)
            verify(signed.raw_data, signed.signature, held.session.session_key)
        return self._shown(held)

    async def decrypt(self, request: web.Request) -> web.Response:
        """What the phone has encrypted. A unionid in it is kept."""
        self._guard.allowed(request)
        encrypted = await requests.encrypted(request)
        with self._guard.throughout(request) as app:
            session = (await self._held(request, app)).session
            content = decrypt(encrypted.data, encrypted.iv, session.session_key)
            check_watermark(
                content,
                appid=app.appid,
                openid=session.openid,
                now=self._clock.wall(),
                oldest=self._oldest,
            )
            unionid = content.get("unionId")
            if isinstance(unionid, str) and identity.is_id(unionid):
                await self._users.learn(app.appid, session.openid, unionid)
        return web.json_response(content)

    async def check(self, request: web.Request) -> web.Response:
        """Whether WeChat still takes the session_key for the user's. If not, it is over."""
        self._guard.allowed(request)
        await requests.nothing(request)
        with self._guard.throughout(request) as app:
            held = await self._held(request, app)
            await self._ask(request, app, held, identity.checksession, identity.read_checked)
        return self._shown(held)

    async def reset(self, request: web.Request) -> web.Response:
        """Another session_key, so that what was encrypted with this one is of no use any more."""
        self._guard.allowed(request)
        await requests.nothing(request)
        with self._guard.throughout(request) as app:
            held = await self._held(request, app)
            session_key = await self._ask(
                request, app, held, identity.resetusersessionkey, identity.read_session_key
            )
            await self._sessions.rekey(held, session_key)
        return self._shown(held)

    async def _held(self, request: web.Request, app: App) -> Held:
        """Raises ``UnknownSession``."""
        return await self._sessions.find(app.appid, request.match_info["session"])

    def _shown(self, held: Held) -> web.Response:
        return web.json_response(session_json(held.session, held.user, self._clock.wall()))

    async def _ask(
        self,
        request: web.Request,
        app: App,
        held: Held,
        ask: Callable[[Secret, str, Secret], Request],
        read: Callable[[bytes, App], _T],
    ) -> _T:
        """About the session_key of *held*. Where WeChat takes it for the user's no more, the
        session is over: raise ``UnknownSession``.
        """
        session = held.session

        def asked(access_token: Secret) -> Request:
            return ask(access_token, session.openid, session.session_key)

        try:
            return await self._calls.ask(app, asked, read, by=deed_of(request).who)
        except SessionKeyEnded as error:
            await self._sessions.drop(held)
            raise UnknownSession(f"the session is over, as its session_key is ({error})") from None
