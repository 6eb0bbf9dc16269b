"""What keeps users from logging in and is the operator's to mend: told, and not for each user."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend import errors

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.errors import UpstreamError
    from tokend.model import App

log = structlog.get_logger()

_What: TypeAlias = tuple[str, str, type[Exception]]

_PAUSE = timedelta(minutes=1)

# These are a phone's or its user's doing; and a token that is rejected is replaced.
_NOBODYS = (
    errors.CodeInvalid,
    errors.CodeUsed,
    errors.UserBlocked,
    errors.LoginLimited,
    errors.SessionKeyEnded,
    errors.IdentityRefused,
    errors.TokenRejected,
)


class Complaints:
    """Of each app and call one of a kind in a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[_What, timedelta] = {}

    def hear(self, app: App, call: str, error: UpstreamError) -> None:
        what = (app.name, call, type(error))
        if isinstance(error, _NOBODYS) or self._is_told(what):
            return
        log.warning("login_call_failed", app=app.name, call=call, **error.logged())

    def _is_told(self, what: _What) -> bool:
        """From now on for a minute it is."""
        now = self._clock.elapsed()
        self._until = {told: until for told, until in self._until.items() if until > now}
        is_told = what in self._until
        self._until.setdefault(what, now + _PAUSE)
        return is_told
