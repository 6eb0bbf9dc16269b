"""The parts of a login, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.login.calls import Calls
from tokend.login.exchange import Exchange
from tokend.login.guard import Guard
from tokend.login.session_routes import SessionRoutes
from tokend.login.sessions import Sessions
from tokend.login.user_routes import UserRoutes
from tokend.login.users import Users
from tokend.login.way import Way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tokend.api.access import Access
    from tokend.clock import Clock
    from tokend.config.settings import LoginSettings
    from tokend.contracts import Meter, Shelf
    from tokend.flight import Spawn
    from tokend.keeper import Keeper
    from tokend.model import App
    from tokend.wechat.transport import Transport


def routes(
    settings: LoginSettings,
    *,
    shelf: Shelf,
    transport: Transport,
    keepers: Mapping[str, Keeper],
    app: Callable[[str], App | None],
    access: Access,
    awake: Callable[[], Awaitable[None]],
    spawn: Spawn,
    meter: Meter,
    clock: Clock,
) -> tuple[SessionRoutes, UserRoutes]:
    """Where logins are dealt with. *app* is the one of a name, as it is configured now."""
    guard, way = Guard(access, app), Way(transport, meter, clock)
    calls, users = Calls(keepers, way, awake=awake), Users(shelf, clock)
    sessions = Sessions(
        shelf, users, clock, lifetime=settings.session_lifetime, sliding=settings.sliding
    )
    session_routes = SessionRoutes(
        guard,
        exchange=Exchange(sessions, way, spawn, clock),
        sessions=sessions,
        users=users,
        calls=calls,
        clock=clock,
        oldest=settings.data_age,
    )
    return session_routes, UserRoutes(guard, users, calls)
