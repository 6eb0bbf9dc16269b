"""TLS on the listeners, with certificates that may change while it is served."""

from __future__ import annotations

import ssl
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.clock import Clock

log = structlog.get_logger()

# Whoever reaches the port can make a handshake fail: each reason is told of once in this time.
_PAUSE = timedelta(minutes=1)


class Handshakes(ssl.SSLContext):
    """Leads each handshake with the context that is in force when it begins.

    Certificates change by another context, not within one: what was trusted before ends with it,
    and so do the sessions that might be resumed. Connections that are open stay open.
    """

    def __new__(cls, _context: ssl.SSLContext, _clock: Clock) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self._failures = _Failures(clock)
        self.change(context)

    def change(self, context: ssl.SSLContext) -> None:
        context.sslobject_class = _Handshake
        self._in_force = context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """What asyncio begins a handshake with."""
        handshake = cast("_Handshake", self._in_force.wrap_bio(*arguments, **named))
        handshake.tell = self._failures.tell
        return handshake


class _Handshake(ssl.SSLObject):
    """Tells why it fails. asyncio keeps that to itself, and from the other side as well."""

    tell: Callable[[str], None]

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            self.tell(error.verify_message)
            raise
        except ssl.SSLError as error:
            self.tell((error.reason or "unknown").lower().replace("_", " "))
            raise


class _Failures:
    """Handshakes that failed, by reason; *times* in the log is how many since the line before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, timedelta] = {}
        self._untold: Counter[str] = Counter()

    def tell(self, reason: str) -> None:
        self._untold[reason] += 1
        now = self._clock.elapsed()
        if reason in self._told and now < self._told[reason] + _PAUSE:
            return
        self._told[reason] = now
        log.warning("handshake_failed", reason=reason, times=self._untold.pop(reason))
