"""Every route of tokend, on one screen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tokend.api import listing, wire
from tokend.api.access import require, throughout
from tokend.api.audited import audited, deed_of
from tokend.api.description import document
from tokend.api.happenings import Happenings
from tokend.api.problems import SERVER, problems
from tokend.api.rendered import Rendered
from tokend.api.repeats import REPEAT, Repeat
from tokend.api.signature import signed
from tokend.api.streams import Streams
from tokend.audit.deed import UNNEEDED
from tokend.errors import Forbidden, NotReady, UnknownKey
from tokend.model import Permission, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tokend.api.access import Access
    from tokend.api.polls import Polls
    from tokend.api.screen import Screen
    from tokend.audit.trail import Trail
    from tokend.chronicle import Chronicle
    from tokend.clock import Clock
    from tokend.follower import Follower
    from tokend.keeper import Keeper
    from tokend.model import Answer, Client, Replaced, Secret

# How long a reader waits for the first token of a key, and a reporter for the next one.
_COLD_PATIENCE = timedelta(seconds=5)
_REFRESH_PATIENCE = timedelta(seconds=20)

# What is answered with a token.
_SHOWING = {Permission.READ, Permission.REFRESH, Permission.FORCE}

# How many keys are looked at before others get their turn, and how many are named to anybody.
_KEYS_AT_ONCE = 500
_MOST_NAMED = 20

_SERVED = {State.FRESH, State.STALE, State.SUSPECT}


class Configuration(Protocol):
    """The file, and what of it is in force."""

    @property
    def mistakes(self) -> Sequence[str]:
        """Why what the file says is not in force; none, if it is."""

    async def reload(self) -> None:
        """Put in force what the file says. Raises ``ConfigError``."""


class Shaped(Protocol):
    """Routes in WeChat's shape, of the status page, or of logins."""

    def add_to(self, router: web.UrlDispatcher) -> None: ...


def make_app(
    keepers: Mapping[str, Keeper],
    access: Access,
    clock: Clock,
    *,
    names: Callable[[], Sequence[str]],
    follower: Follower,
    configuration: Configuration,
    trail: Trail,
    chronicle: Chronicle,
    shaped: Sequence[Shaped],
    screen: Screen,
    polls: Polls,
    rest: Shaped | None = None,
) -> web.Application:
    """The API over *keepers*, by their keys (``shop/access_token``), whose *names* are in order;
    *shaped* are other routes, and the *rest* is whatever has none.
    """
    rendered = Rendered()
    streams = Streams(polls, rendered, trail, clock, awake=follower.awake)
    routes = Routes(
        keepers,
        access,
        clock,
        names=names,
        follower=follower,
        configuration=configuration,
        polls=polls,
        rendered=rendered,
        streams=streams,
    )
    happenings = Happenings(chronicle, access, polls, streams)
    app = web.Application(
        middlewares=[audited(trail, clock), problems, screen.look],
        client_max_size=wire.LONGEST_BODY,
    )
    for each in shaped:
        each.add_to(app.router)
    app.router.add_get("/v1/apps", routes.status)
    app.router.add_get("/v1/events", happenings.serve, allow_head=False)
    app.router.add_get("/v1/apps/{app}/{kind}", routes.token)
    app.router.add_post("/v1/apps/{app}/{kind}/refresh", routes.refresh)
    app.router.add_post("/v1/apps/{app}/jsapi_signature", routes.jsapi_signature)
    app.router.add_post("/v1/reload", routes.reload)
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.router.add_get("/openapi.json", routes.openapi)
    app.on_response_prepare.append(_named)
    app.on_shutdown.append(polls.end)
    if rest:
        rest.add_to(app.router)
    return app


async def _named(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


class Routes:
    """The handlers."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        access: Access,
        clock: Clock,
        *,
        names: Callable[[], Sequence[str]],
        follower: Follower,
        configuration: Configuration,
        polls: Polls,
        rendered: Rendered,
        streams: Streams,
    ) -> None:
        self._keepers = keepers
        self._names = names
        self._access = access
        self._clock = clock
        self._follower = follower
        self._configuration = configuration
        self._polls = polls
        self._rendered = rendered
        self._streams = streams

    async def token(self, request: web.Request) -> web.StreamResponse:
        """The current token; with ``after`` and ``wait``, the next one as soon as it is there; as
        events, this and each next one.
        """
        allowed = partial(self._allowed, request, Permission.READ)
        if wire.wants_events(request):
            return await self._events(request, allowed)
        with throughout(request, allowed) as (client, keeper):
            await self._follower.awake()
            poll = wire.after_and_wait(request)
            if poll is None:
                answer = await keeper.ready(_COLD_PATIENCE)
            elif newer := await self._polls.newer(keeper, *poll, client):
                answer = newer
            else:
                return web.Response(status=304, headers={"ETag": f'"{poll[0]}"'})
        response = web.Response(status=304)
        if request.transport is not None and not wire.is_known(request, answer):
            response = self._render(request, keeper, answer)
            deed_of(request).generation = answer.token.generation
            if poll is None:
                request[REPEAT] = Repeat(
                    self._clock,
                    stands=answer.stands,
                    what=keeper.standing,
                    who=self._access.standing,
                )
        response.etag = wire.etag(answer)
        return response

    async def _events(
        self, request: web.Request, allowed: Callable[[], tuple[Client, Keeper]]
    ) -> web.StreamResponse:
        client, keeper = allowed()
        await self._follower.awake()
        known = wire.last_event_id(request)
        with self._polls.counted(client):
            await keeper.ready(_COLD_PATIENCE)
            return await self._streams.tokens(request, known, lambda: allowed()[1])

    async def jsapi_signature(self, request: web.Request) -> web.Response:
        """What a page needs for the JS-SDK; *kind* names another ticket than the usual one."""
        self._access.client(request)  # nobody waits for a stranger's body
        url, kind = await wire.page(request)
        allowed = partial(self._allowed, request, Permission.SIGN, kind)
        with throughout(request, allowed) as (_, keeper):
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
        self._access.client(request)  # nobody waits for a stranger's body
        rejected = await wire.rejected(request)
        permission = Permission.FORCE if rejected is None else Permission.REFRESH
        deed = deed_of(request)
        with throughout(request, partial(self._allowed, request, permission)) as (_, keeper):
            await self._follower.awake()
            deed.before = keeper.generation
            replaced = await _refreshed(keeper, rejected, by=deed.who)
            deed.generation = replaced.answer.token.generation
        deed.outcome = "" if replaced.refreshed else UNNEEDED
        body = wire.token_json(keeper.key, replaced.answer, self._clock.wall())
        return web.json_response({**body, "refreshed": replaced.refreshed})

    async def status(self, request: web.Request) -> web.Response:
        """The keys that this client may see, without values, a page at a time."""
        client = self._access.watcher(request)
        names = listing.of_client(self._names(), client)
        statuses, following = listing.page(names, self._keepers, listing.Wanted.of(request))
        now = self._clock.wall()
        return web.json_response(
            {
                "keys": [wire.status_json(status, now) for status in statuses],
                "next": following,
                "configuration_mistakes": list(self._configuration.mistakes),
                "store_trouble": self._follower.trouble,
            }
        )

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again, as at SIGHUP."""
        client = self._access.client(request)
        if Permission.RELOAD not in client.can:
            raise Forbidden(f"{client.name} may not reload the configuration")
        await self._configuration.reload()
        return web.json_response({"keys": len(self._keepers)})

    async def healthz(self, _: web.Request) -> web.Response:
        """The process is alive and its event loop turns."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Every key has a token that can be used now, wherever it comes from. The first of those
        that have none are named.
        """
        missing: dict[str, State] = {}
        for number, (name, keeper) in enumerate(tuple(self._keepers.items()), start=1):
            state = keeper.state(self._clock.now())
            if state not in _SERVED:
                missing[name] = state
            if number % _KEYS_AT_ONCE == 0:
                await asyncio.sleep(0)
        document = {
            "ready": not missing,
            "not_ready": dict(islice(missing.items(), _MOST_NAMED)),
            "not_ready_keys": len(missing),
        }
        return web.json_response(document, status=503 if missing else 200)

    async def openapi(self, _: web.Request) -> web.Response:
        """What this API is."""
        return web.Response(body=document(), content_type="application/json", charset="utf-8")

    def _allowed(
        self, request: web.Request, permission: Permission, kind: str = ""
    ) -> tuple[Client, Keeper]:
        """Who asks, and what for; by the path, where no *kind* is given. Raises ``Unauthorized``,
        ``Forbidden`` or ``UnknownKey``.
        """
        client, deed = self._access.client(request), deed_of(request)
        app, kind = request.match_info["app"], kind or request.match_info["kind"]
        keeper = self._keepers.get(f"{app}/{kind}")
        deed.what = permission
        deed.key = str(keeper.key) if keeper else ""
        require(client, permission, app)
        if keeper is None:
            raise UnknownKey(f"{app}/{kind}: no such key")
        if permission in _SHOWING and not client.sees_tokens:
            raise Forbidden(f"{client.name} never sees tokens; it may have calls forwarded")
        return client, keeper

    def _render(self, request: web.Request, keeper: Keeper, answer: Answer) -> web.Response:
        if wire.wants_text(request):
            return web.Response(text=answer.token.value.reveal())
        body = self._rendered.json(keeper, answer, self._clock.wall())
        return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _refreshed(keeper: Keeper, rejected: Secret | int | None, *, by: str) -> Replaced:
    try:
        async with asyncio.timeout(_REFRESH_PATIENCE.total_seconds()):
            return await keeper.refresh(rejected=rejected, by=by)
    except TimeoutError:
        raise NotReady(
            f"{keeper.key}: the refresh is still under way", retry_after=timedelta(seconds=1)
        ) from None
