"""A code of ``wx.login`` becomes a session: one call to WeChat, however many come with it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend.errors import Crowded, LoginBusy, TokendError
from tokend.flight import Flight
from tokend.wechat.identity import code2session, read_identity

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.flight import Spawn
    from tokend.login.sessions import Begun, Sessions
    from tokend.login.way import Way
    from tokend.model import App, Secret
    from tokend.wechat.identity import Identity

log = structlog.get_logger()

_Coded: TypeAlias = "tuple[str, Secret]"

# When WeChat is busy.
_PAUSES = (timedelta(milliseconds=300), timedelta(milliseconds=900))

# At once: fewer than there are connections to WeChat.
_MOST = 100
_SECOND = timedelta(seconds=1)


class Exchange:
    """Of codes for *sessions*."""

    def __init__(self, sessions: Sessions, way: Way, spawn: Spawn, clock: Clock) -> None:
        self._sessions = sessions
        self._way = way
        self._spawn = spawn
        self._clock = clock
        self._flights: dict[_Coded, Flight[Begun]] = {}

    async def login(self, app: App, code: Secret) -> Begun:
        """The session that *code* stands for: the same one for all who come with it at once.

        Raises ``Crowded``, ``UpstreamError`` and ``StoreError``; after a ``StoreError`` the code is
        used up. A caller who leaves does not end it.
        """
        flight = self._flights.get((app.appid, code)) or self._launch(app, code)
        return await flight.landed()

    def _launch(self, app: App, code: Secret) -> Flight[Begun]:
        if len(self._flights) >= _MOST:
            raise Crowded(f"{len(self._flights)} logins are under way", retry_after=_SECOND)
        flight = Flight(task=self._spawn(self._fly(app, code)))
        self._flights[app.appid, code] = flight
        return flight

    async def _fly(self, app: App, code: Secret) -> Begun | TokendError:
        """Never raises: its task is awaited by nobody, or by many."""
        try:
            return await self._sessions.begin(app.appid, await self._identity(app, code))
        except TokendError as error:
            return error.anew()
        except Exception:
            log.exception("login_crashed", app=app.name)
            return TokendError(f"{app.name}: the login crashed; the log has the traceback")
        finally:
            del self._flights[app.appid, code]

    async def _identity(self, app: App, code: Secret) -> Identity:
        """A code that WeChat was too busy for is not used up."""
        for pause in _PAUSES:
            try:
                return await self._once(app, code)
            except LoginBusy:
                await self._clock.sleep(pause)
        return await self._once(app, code)

    async def _once(self, app: App, code: Secret) -> Identity:
        return await self._way.ask(app, code2session(app, code), read_identity)
