"""The composition root: how the parts become one process. Read it from top to bottom."""

from __future__ import annotations

from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend import logs, tasks
from tokend.api.access import Access
from tokend.api.handshakes import Handshakes
from tokend.api.listeners import UnixSocket, serving
from tokend.api.polls import Polls
from tokend.api.room import Room, make_room
from tokend.api.routes import make_app
from tokend.api.screen import Screen
from tokend.api.source import Proxies
from tokend.api.warden import Warden
from tokend.audit.deed import Deed
from tokend.audit.file import AuditFile
from tokend.audit.trail import Trail
from tokend.chronicle import Chronicle
from tokend.errors import StoreError
from tokend.facade.owners import Owners
from tokend.findings import Verdict
from tokend.fleet import Fleet
from tokend.flights import flying
from tokend.follower import Follower
from tokend.metrics import lag
from tokend.metrics.counts import Counts
from tokend.notify.notifiers import notifying
from tokend.reload import Reload
from tokend.schedule import Schedule
from tokend.signals import signalled
from tokend.store.opening import open_store
from tokend.summary import RollCall
from tokend.surfaces import LOGIN_CONNECTIONS, Parts, surfaces
from tokend.systemd import Systemd
from tokend.upstreams import open_transports

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from socket import socket

    from aiohttp import web

    from tokend.clock import Clock
    from tokend.config import Config
    from tokend.contracts import Store
    from tokend.keeper import Keeper
    from tokend.model import Platform, Token, TokenKey
    from tokend.notify.notifiers import Notifiers
    from tokend.wechat.transport import Transport

log = structlog.get_logger()

OnServing: TypeAlias = "Callable[[list[str]], None]"


def _store(config: Config, clock: Clock) -> AbstractAsyncContextManager[Store]:
    return open_store(
        config.store.url, clock, config.store_login, config.store_mirror, config.store_seals
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """How the store and WeChat are reached. Tests put their faults in between."""

    store: Callable[[Config, Clock], AbstractAsyncContextManager[Store]] = _store
    transports: Callable[[Config], AbstractAsyncContextManager[Mapping[Platform, Transport]]] = (
        open_transports
    )


async def serve(
    config: Config,
    clock: Clock,
    *,
    read: Callable[[], Config] | None = None,
    on_serving: OnServing = lambda _: None,
    systemd: Systemd | None = None,
    edges: Edges = Edges(),
) -> None:
    """Run until SIGTERM or SIGINT; *on_serving* gets the URLs once they answer.

    At SIGHUP the configuration is *read* again. Raises ``ListenError``, ``ConfigError`` and
    ``StoreError`` if it cannot begin. WeChat is asked nothing before the sockets are ours: a
    second tokend on this host ends here.
    """
    systemd = systemd or Systemd({})
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(signalled())
        store = await stack.enter_async_context(edges.store(config, clock))
        await _examine(store, config.keys)
        transports = await stack.enter_async_context(edges.transports(config))
        spawn = await stack.enter_async_context(flying())
        trail = stack.enter_context(_trail(config, clock))

        def tell() -> None:
            trail.sweep()
            summary = roll.go_on()
            if systemd.listens:
                systemd.alive()
                if summary:
                    systemd.status(
                        summary.line(
                            mistakes=reload.mistakes,
                            store_trouble=follower.trouble,
                            now=clock.wall(),
                        )
                    )

        def reloaded() -> None:
            trail.file.move(reload.active.log.audit_file)
            tell()

        schedule = Schedule(clock, most_at_once=config.terms.at_once, on_watch=tell)
        owners = Owners(clock)
        chronicle = Chronicle(clock)
        counts = await stack.enter_async_context(_counting(chronicle, clock))

        fleet = Fleet(
            store=store,
            transports=transports,
            terms=config.terms,
            on_plan=schedule.plan,
            on_token=partial(_replaced, owners, trail),
            on_event=chronicle.add,
            on_retire=partial(_retired, owners, chronicle),
            spawn=spawn,
            clock=clock,
            meter=counts,
        )
        roll = RollCall(fleet.keepers, chronicle.look)
        follower = Follower(store, fleet.records, clock)
        access = Access(config.clients.values(), clock)
        handshakes = Handshakes(config.tls.context, clock) if config.tls else None

        notifiers = await stack.enter_async_context(_notifying(config, fleet, chronicle, clock))
        reload = Reload(
            config,
            read=read or (lambda: config),
            apply=partial(_apply, fleet, access, notifiers, handshakes),
            reloading=partial(_reloading, systemd, reloaded),
            on_signal=partial(_hung_up, trail),
        )
        served = await stack.enter_async_context(
            surfaces(
                Parts(
                    config=config,
                    store=store,
                    fleet=fleet,
                    access=access,
                    follower=follower,
                    chronicle=chronicle,
                    owners=owners,
                    counts=counts,
                    reload=reload,
                    spawn=spawn,
                    clock=clock,
                )
            )
        )
        make = partial(
            make_app,
            fleet.keepers,
            access,
            clock,
            names=lambda: fleet.names,
            follower=follower,
            configuration=reload,
            trail=trail,
            chronicle=chronicle,
            shaped=served.shaped,
            rest=served.rest,
        )
        fleet.apply(config.apps)
        await follower.look_at_all()
        where = await stack.enter_async_context(
            _listening(config, make, counts, tls=handshakes, passed=systemd.sockets)
        )
        await stack.enter_async_context(schedule.running())
        await stack.enter_async_context(tasks.running(follower.run()))
        await stack.enter_async_context(tasks.running(reload.run(signals.hangup)))
        log.info("serving", urls=where, keys=len(fleet.keepers))
        on_serving(where)
        tell()
        systemd.ready()
        await signals.stop.wait()
        log.info("stopping")
        systemd.stopping()


def _apply(
    fleet: Fleet,
    access: Access,
    notifiers: Notifiers,
    handshakes: Handshakes | None,
    new: Config,
) -> None:
    if handshakes and new.tls:
        handshakes.change(new.tls.context)
    fleet.apply(new.apps)
    access.change(new.clients.values())
    notifiers.change(new.notify, fleet.has)
    logs.set_level(new.log.level)


def _replaced(owners: Owners, trail: Trail, keeper: Keeper, before: Token | None) -> None:
    owners.learn(keeper, before)
    if before:
        trail.learn(keeper.key, before=before.generation, generation=keeper.generation)


def _retired(owners: Owners, chronicle: Chronicle, keeper: Keeper) -> None:
    owners.forget(keeper)
    chronicle.forget(keeper)


@asynccontextmanager
async def _notifying(
    config: Config, fleet: Fleet, chronicle: Chronicle, clock: Clock
) -> AsyncIterator[Notifiers]:
    """Who is configured hears of everything from now on, and of what is said at the end."""
    async with notifying(fleet.budgets.percent, clock) as notifiers:
        notifiers.change(config.notify, fleet.has)
        chronicle.listeners.append(notifiers.hear)
        yield notifiers


@asynccontextmanager
async def _counting(chronicle: Chronicle, clock: Clock) -> AsyncIterator[Counts]:
    counts = Counts(clock)
    chronicle.listeners.append(counts.happened)
    async with tasks.running(lag.measure(clock, counts.late)):
        yield counts


@asynccontextmanager
async def _listening(
    config: Config,
    make: Callable[..., web.Application],
    counts: Counts,
    *,
    tls: Handshakes | None,
    passed: Sequence[socket],
) -> AsyncIterator[list[str]]:
    """What *make* makes of how requests are screened and polls limited, served as configured."""
    server = config.server
    proxies = Proxies(server.proxies)
    wanted = Room(tcp=server.connections, per_address=server.connections_per_address)
    room = make_room(
        wanted,
        files_each=2 if config.forward.enabled else 1,
        files_beside=LOGIN_CONNECTIONS if config.login.enabled else 0,
    )
    polls = Polls(
        most=room.polls,
        most_per_client=min(server.polls_per_client, room.polls_each),
        most_at_socket=min(server.polls_per_client, room.polls_at_socket),
    )
    app = make(screen=Screen(hosts=server.allowed_hosts, proxies=proxies), polls=polls)
    warden = Warden(room, proxies)
    app.on_response_prepare.append(counts.answered)
    counts.watch(polls, warden)
    async with serving(
        app,
        addresses=server.listen,
        unix=_unix(config),
        tls=tls,
        passed=passed,
        warden=warden,
    ) as where:
        yield where


@contextmanager
def _reloading(systemd: Systemd, reloaded: Callable[[], None]) -> Iterator[None]:
    with systemd.reloading():
        try:
            yield
        finally:
            reloaded()


@contextmanager
def _trail(config: Config, clock: Clock) -> Iterator[Trail]:
    """To the end of what it has counted."""
    file = AuditFile(config.log.audit_file)
    with file.running():
        trail = Trail(clock, file)
        try:
            yield trail
        finally:
            trail.end()


def _hung_up(trail: Trail, outcome: str) -> None:
    trail.add(Deed(what="reload", who="SIGHUP", outcome=outcome))


async def _examine(store: Store, keys: Iterable[TokenKey]) -> None:
    """Raise ``StoreError`` if it would fail in the middle of a refresh. One that is away may be
    there later.
    """
    try:
        findings = await store.examine(keys)
    except StoreError as error:
        log.warning("store_not_examined", error=str(error))
        return
    bad = [finding for finding in findings if finding.verdict is Verdict.BAD]
    for finding in findings:
        if finding.verdict is Verdict.WARNING:
            log.warning("store_doubtful", found=finding.text, advice=finding.advice)
    if bad:
        raise StoreError("\n".join(f"{finding.text}; {finding.advice}" for finding in bad))


def _unix(config: Config) -> UnixSocket | None:
    server = config.server
    if not server.socket:
        return None
    return UnixSocket(
        path=Path(server.socket), mode=int(server.socket_mode, 8), group=server.socket_group
    )
