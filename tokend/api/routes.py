"""Every route of tokend, on one screen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tokend.api import wire
from tokend.api.access import require
from tokend.api.audited import audited, deed_of
from tokend.api.problems import problems
from tokend.api.signature import signed
from tokend.audit.deed import UNNEEDED
from tokend.errors import Forbidden, NotReady, UnknownKey
from tokend.model import Permission, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokend.api.access import Access
    from tokend.api.polls import Polls
    from tokend.api.screen import Screen
    from tokend.audit.trail import Trail
    from tokend.clock import Clock
    from tokend.follower import Follower
    from tokend.keeper import Keeper
    from tokend.model import Answer, Client

# How long a reader waits for the first token of a key, and a reporter for the next one.
_COLD_PATIENCE = timedelta(seconds=5)
_REFRESH_PATIENCE = timedelta(seconds=20)

_SERVED = {State.FRESH, State.STALE, State.SUSPECT}


class Configuration(Protocol):
    """The file, and what of it is in force."""

    @property
    def mistakes(self) -> Sequence[str]:
        """Why what the file says is not in force; none, if it is."""

    async def reload(self) -> None:
        """Put in force what the file says. Raises ``ConfigError``."""


class Shaped(Protocol):
    """Routes in WeChat's shape."""

    def add_to(self, router: web.UrlDispatcher) -> None: ...


def make_app(
    keepers: Mapping[str, Keeper],
    access: Access,
    clock: Clock,
    *,
    follower: Follower,
    configuration: Configuration,
    trail: Trail,
    shaped: Sequence[Shaped],
    screen: Screen,
    polls: Polls,
) -> web.Application:
    """The API over *keepers*, by their keys (``shop/access_token``); *shaped* are WeChat's own."""
    routes = Routes(
        keepers, access, clock, follower=follower, configuration=configuration, polls=polls
    )
    app = web.Application(
        middlewares=[audited(trail, clock), problems, screen.look],
        client_max_size=wire.LONGEST_BODY,
    )
    app.router.add_get("/v1/apps", routes.status)
    app.router.add_get("/v1/apps/{app}/{kind}", routes.token)
    app.router.add_post("/v1/apps/{app}/{kind}/refresh", routes.refresh)
    app.router.add_post("/v1/apps/{app}/jsapi_signature", routes.jsapi_signature)
    app.router.add_post("/v1/reload", routes.reload)
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.on_shutdown.append(polls.end)
    for each in shaped:
        each.add_to(app.router)
    return app


class Routes:
    """The handlers."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        access: Access,
        clock: Clock,
        *,
        follower: Follower,
        configuration: Configuration,
        polls: Polls,
    ) -> None:
        self._keepers = keepers
        self._access = access
        self._clock = clock
        self._follower = follower
        self._configuration = configuration
        self._polls = polls

    async def token(self, request: web.Request) -> web.Response:
        """The current token; with ``after`` and ``wait``, the next one as soon as it is there."""
        client, keeper = self._readable(request)
        await self._follower.awake()
        poll = wire.after_and_wait(request)
        if poll is None:
            answer = await keeper.ready(_COLD_PATIENCE)
        else:
            newer = await self._polls.newer(keeper, *poll, client)
            self._readable(request)  # a reload may have taken that away
            if newer is None:
                return web.Response(status=304, headers={"ETag": f'"{poll[0]}"'})
            answer = newer
        response = web.Response(status=304)
        if not wire.is_known(request, answer):
            response = self._render(request, keeper, answer)
            deed_of(request).generation = answer.token.generation
        response.etag = wire.etag(answer)
        return response

    def _readable(self, request: web.Request) -> tuple[Client, Keeper]:
        """Who asks, and what for. Raises ``Unauthorized``, ``Forbidden`` or ``UnknownKey``."""
        client = self._access.client(request)
        keeper = self._allowed(client, request, Permission.READ, request.match_info["kind"])
        if not client.sees_tokens:
            raise Forbidden(f"{client.name} never sees tokens; it may have calls forwarded")
        return client, keeper

    async def jsapi_signature(self, request: web.Request) -> web.Response:
        """What a page needs for the JS-SDK; *kind* names another ticket than the usual one."""
        client = self._access.client(request)
        url, kind = await wire.page(request)
        keeper = self._allowed(client, request, Permission.SIGN, kind)
        await self._follower.awake()
        answer = await keeper.ready(_COLD_PATIENCE)
        deed_of(request).generation = answer.token.generation
        return web.json_response(
            signed(
                url,
                ticket=answer.token.value,
                appid=keeper.key.appid,
                now=self._clock.wall(),
            )
        )

    async def refresh(self, request: web.Request) -> web.Response:
        """Report a rejected token, or force a new one."""
        client = self._access.client(request)
        rejected = await wire.rejected(request)
        permission = Permission.FORCE if rejected is None else Permission.REFRESH
        keeper = self._allowed(client, request, permission, request.match_info["kind"])
        if not client.sees_tokens:
            raise Forbidden(f"{client.name} never sees tokens; it may have calls forwarded")
        await self._follower.awake()
        deed = deed_of(request)
        deed.before = keeper.generation
        try:
            async with asyncio.timeout(_REFRESH_PATIENCE.total_seconds()):
                replaced = await keeper.refresh(rejected=rejected, by=deed.who)
        except TimeoutError:
            raise NotReady(
                f"{keeper.key}: the refresh is still under way", retry_after=timedelta(seconds=1)
            ) from None
        deed.generation = replaced.answer.token.generation
        deed.outcome = "" if replaced.refreshed else UNNEEDED
        body = wire.token_json(keeper.key, replaced.answer, self._clock.wall())
        return web.json_response({**body, "refreshed": replaced.refreshed})

    async def status(self, request: web.Request) -> web.Response:
        """Every key that this client may see, without values."""
        client = self._access.client(request)
        deed_of(request).what = Permission.STATUS
        if Permission.STATUS not in client.can:
            raise Forbidden(f"{client.name} may not see the status")
        now = self._clock.wall()
        keys = [
            wire.status_json(keeper.status(), now)
            for keeper in self._keepers.values()
            if client.may(Permission.STATUS, keeper.key.app)
        ]
        return web.json_response(
            {
                "keys": keys,
                "configuration_mistakes": list(self._configuration.mistakes),
                "store_trouble": self._follower.trouble,
            }
        )

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again, as at SIGHUP."""
        client = self._access.client(request)
        deed_of(request).what = Permission.RELOAD
        if Permission.RELOAD not in client.can:
            raise Forbidden(f"{client.name} may not reload the configuration")
        await self._configuration.reload()
        return web.json_response({"keys": len(self._keepers)})

    async def healthz(self, _: web.Request) -> web.Response:
        """The process is alive and its event loop turns."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Every key has a token that can be used now, wherever it comes from."""
        now = self._clock.now()
        states = {name: keeper.state(now) for name, keeper in self._keepers.items()}
        missing = {name: state for name, state in states.items() if state not in _SERVED}
        return web.json_response(
            {"ready": not missing, "not_ready": missing}, status=503 if missing else 200
        )

    def _allowed(
        self, client: Client, request: web.Request, permission: Permission, kind: str
    ) -> Keeper:
        app, deed = request.match_info["app"], deed_of(request)
        keeper = self._keepers.get(f"{app}/{kind}")
        deed.what = permission
        deed.key = str(keeper.key) if keeper else ""
        require(client, permission, app)
        if keeper is None:
            raise UnknownKey(f"{app}/{kind}: no such key")
        return keeper

    def _render(self, request: web.Request, keeper: Keeper, answer: Answer) -> web.Response:
        if wire.wants_text(request):
            return web.Response(text=answer.token.value.reveal())
        return web.json_response(wire.token_json(keeper.key, answer, self._clock.wall()))
