"""The composition root: how the parts become one process. Read it from top to bottom."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend import policy
from tokend.api.access import Access
from tokend.api.listeners import UnixSocket, serving
from tokend.api.routes import make_app
from tokend.follower import Follower
from tokend.keeper import Keeper
from tokend.model import Issued, TokenKey
from tokend.refresher import Refresher, Source
from tokend.schedule import Schedule
from tokend.store.opening import open_store
from tokend.wechat import recipes
from tokend.wechat.replies import read_issued
from tokend.wechat.transport import open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

    from tokend.clock import Clock
    from tokend.config import AppConfig, Config
    from tokend.keeper import Outcome, Spawn
    from tokend.model import App
    from tokend.refresher import Store
    from tokend.wechat.transport import Transport

log = structlog.get_logger()

OnServing: TypeAlias = "Callable[[list[str]], None]"

# A refresh under way when tokend stops is given this long: a call to WeChat, and the saving.
# With the time that open requests get, this stays under 15 s.
_LAST_FLIGHTS_SECONDS = 9.0

PACES = {"stable_token": policy.stable_pace, "token": policy.classic_pace}


async def serve(config: Config, clock: Clock, *, on_serving: OnServing = lambda _: None) -> None:
    """Run until SIGTERM or SIGINT; *on_serving* gets the URLs once they answer.

    Raises ``ListenError`` and ``StoreError`` if it cannot begin. WeChat is asked nothing before
    the sockets are ours: a second tokend on this host ends here.
    """
    keepers: dict[str, Keeper] = {}
    access = Access(config.clients.values(), hosts=config.server.allowed_hosts)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(_signalled())
        store = await stack.enter_async_context(_store(config, clock))
        transport = await stack.enter_async_context(_transport(config))
        spawn = await stack.enter_async_context(_flights())
        urls = await stack.enter_async_context(
            serving(
                make_app(keepers, access, clock),
                addresses=config.server.listen,
                unix=_unix(config),
            )
        )
        schedule = Schedule(clock)
        for app in config.apps.values():
            keeper = _keeper(
                app,
                store=store,
                transport=transport,
                clock=clock,
                spawn=spawn,
                schedule=schedule,
            )
            keepers[str(keeper.key)] = keeper
            schedule.plan(keeper)
        await stack.enter_async_context(schedule.running())
        await stack.enter_async_context(_running(Follower(store, keepers.values(), clock)))
        log.info("serving", urls=urls, keys=len(keepers))
        on_serving(urls)
        await stop.wait()
        log.info("stopping")


def _unix(config: Config) -> UnixSocket | None:
    server = config.server
    if not server.socket:
        return None
    return UnixSocket(
        path=Path(server.socket), mode=int(server.socket_mode, 8), group=server.socket_group
    )


def _keeper(
    config: AppConfig,
    *,
    store: Store,
    transport: Transport,
    clock: Clock,
    spawn: Spawn,
    schedule: Schedule,
) -> Keeper:
    """The keeper of an app's access_token."""
    key = TokenKey(app=config.app.name, appid=config.app.appid, kind="access_token")
    upstream = source(recipes.ACCESS_TOKEN[config.method], config.app, transport)
    return Keeper(
        key,
        Refresher(key, upstream, store, clock),
        pace=PACES[config.method](config.ahead),
        clock=clock,
        spawn=spawn,
        on_plan=schedule.plan,
    )


def source(recipe: recipes.Recipe, app: App, transport: Transport) -> Source:
    current = partial(_issue, recipe.current, recipe.field, app, transport)
    if recipe.new is recipe.current:
        return Source(current=current, new=current)
    return Source(current=current, new=partial(_issue, recipe.new, recipe.field, app, transport))


async def _issue(ask: recipes.Ask, field: str, app: App, transport: Transport) -> Issued:
    return read_issued(await transport.send(ask(app)), field=field, app=app)


def _store(config: Config, clock: Clock) -> AbstractAsyncContextManager[Store]:
    return open_store(config.store.url, clock, config.store_login)


def _transport(config: Config) -> AbstractAsyncContextManager[Transport]:
    settings = config.wechat
    return open_transport(
        (settings.url, *settings.fallback_urls), deadline=settings.timeout, proxy=settings.proxy
    )


@asynccontextmanager
async def _flights() -> AsyncIterator[Spawn]:
    """Owns the tasks of refreshes. On leaving they get time to land: what WeChat gave is saved.

    Not a TaskGroup, which would end all refreshes because of one.
    """
    tasks: set[asyncio.Task[Outcome]] = set()

    def spawn(flight: Coroutine[None, None, Outcome]) -> asyncio.Task[Outcome]:
        task = asyncio.get_running_loop().create_task(flight)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    try:
        yield spawn
    finally:
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_FLIGHTS_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _running(follower: Follower) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follower.run())
        yield
        task.cancel()


@contextmanager
def _signalled() -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def request_stop() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, request_stop)
    try:
        yield stop
    finally:
        restore()
