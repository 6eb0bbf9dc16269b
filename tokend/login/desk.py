"""The parts of a login, put together."""

from __future__ import annotations

from dataclasses import dataclass
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
    from datetime import timedelta

    from tokend.api.access import Access
    from tokend.clock import Clock
    from tokend.contracts import Meter, Shelf
    from tokend.flight import Spawn
    from tokend.keeper import Keeper
    from tokend.model import App
    from tokend.wechat.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long a session lasts, from the last use if it is *sliding*, and how long ago a phone may
    have encrypted what is decrypted; zero is no matter when.
    """

    lifetime: timedelta
    sliding: bool
    data_age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where logins are dealt with. *app* is the one of a name, as it is configured now."""

    sessions: SessionRoutes
    users: UserRoutes

    @classmethod
    def of(
        cls,
        rules: Rules,
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
    ) -> Desk:
        guard, way = Guard(access, app), Way(transport, meter, clock)
        calls, users = Calls(keepers, way, awake=awake), Users(shelf, clock)
        sessions = Sessions(shelf, users, clock, lifetime=rules.lifetime, sliding=rules.sliding)
        return cls(
            sessions=SessionRoutes(
                guard,
                exchange=Exchange(sessions, way, spawn, clock),
                sessions=sessions,
                users=users,
                calls=calls,
                clock=clock,
                oldest=rules.data_age,
            ),
            users=UserRoutes(guard, users, calls),
        )
