"""What is served over HTTP beside tokend's own routes for tokens, made of the parts there are."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend import tasks
from tokend.facade.callers import Callers
from tokend.facade.handles import Handles
from tokend.facade.routes import Facade
from tokend.forward.forward import Forward
from tokend.forward.passages import Passages
from tokend.metrics.keys import Keys
from tokend.metrics.scrape import Scrape
from tokend.model import Platform
from tokend.page.routes import StatusPage
from tokend.upstreams import urls
from tokend.wechat.relay import open_relay
from tokend.wechat.transport import open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tokend.api.access import Access
    from tokend.api.routes import Shaped
    from tokend.chronicle import Chronicle
    from tokend.clock import Clock
    from tokend.config import Config
    from tokend.contracts import Store
    from tokend.facade.owners import Owners
    from tokend.fleet import Fleet
    from tokend.flight import Spawn
    from tokend.follower import Follower
    from tokend.metrics.counts import Counts
    from tokend.reload import Reload

# Between two pieces of a call that is passed on.
_IDLE = timedelta(seconds=30)

# To WeChat, for logins, and for what else is asked about users.
LOGIN_CONNECTIONS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there is to be served."""

    config: Config
    store: Store
    fleet: Fleet
    access: Access
    follower: Follower
    chronicle: Chronicle
    owners: Owners
    counts: Counts
    reload: Reload
    spawn: Spawn
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """*rest* takes whatever has no route."""

    shaped: list[Shaped]
    rest: Shaped | None


@asynccontextmanager
async def surfaces(parts: Parts) -> AsyncIterator[Surfaces]:
    """Those that are configured."""
    handles = Handles(parts.fleet.app, parts.clock)
    fleet = parts.fleet
    callers = Callers(
        fleet.keepers, fleet.records, parts.access, owners=parts.owners, handles=handles
    )
    facade = Facade(fleet.keepers, callers, handles, follower=parts.follower, clock=parts.clock)
    async with _login(parts) as login, _forward(parts, callers) as forward:
        yield Surfaces(
            shaped=[_scrape(parts), _page(parts), facade, *login],
            rest=forward,
        )


def _scrape(parts: Parts) -> Scrape:
    """What Prometheus asks for."""
    config, counts, fleet = parts.config, parts.counts, parts.fleet
    counts.read(parts.follower, parts.reload, config.terms)
    keys = Keys(fleet.keepers, fleet.budgets, parts.clock)
    return Scrape(counts, keys, parts.access, is_open=config.server.metrics == "open")


def _page(parts: Parts) -> StatusPage:
    """What operators look at."""
    fleet = parts.fleet
    return StatusPage(
        fleet.keepers,
        parts.access,
        parts.clock,
        names=lambda: fleet.names,
        chronicle=parts.chronicle,
        follower=parts.follower,
        configuration=parts.reload,
        terms=parts.config.terms,
    )


@asynccontextmanager
async def _forward(parts: Parts, callers: Callers) -> AsyncIterator[Forward | None]:
    """Other calls to WeChat, passed on."""
    config = parts.config
    if not config.forward.enabled:
        yield None
        return
    upstreams = {platform: each[0] for platform, each in urls(config).items()}
    async with open_relay(idle=_IDLE, proxy=config.wechat.proxy) as relay:
        yield Forward(relay, Passages(callers, upstreams), awake=parts.follower.awake)


@asynccontextmanager
async def _login(parts: Parts) -> AsyncIterator[list[Shaped]]:
    """Sessions and users of mini-programs."""
    login, wechat = parts.config.login, parts.config.wechat
    if not login.enabled:
        yield []
        return
    # Not imported by those who do without it.
    from tokend.login import desk  # noqa: PLC0415

    async with open_transport(
        urls(parts.config)[Platform.OFFICIAL],
        deadline=wechat.timeout,
        proxy=wechat.proxy,
        connections=LOGIN_CONNECTIONS,
    ) as transport:
        routes = desk.routes(
            login,
            shelf=parts.store.shelf,
            transport=transport,
            keepers=parts.fleet.keepers,
            app=parts.fleet.named,
            access=parts.access,
            awake=parts.follower.awake,
            spawn=parts.spawn,
            meter=parts.counts,
            clock=parts.clock,
        )
        async with _resealing(parts):
            yield list(routes)


def _resealing(parts: Parts) -> AbstractAsyncContextManager[None]:
    """With one key alone there is none that is to go."""
    first, *others = parts.config.store_seals.ids
    if not others:
        return nullcontext()
    from tokend.login.resealing import reseal  # noqa: PLC0415

    return tasks.running(reseal(parts.store.shelf, parts.clock, seal=first))
