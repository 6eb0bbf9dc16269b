"""TLS on the listeners, with certificates that may change while it is served."""

from __future__ import annotations

import ssl
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast
from weakref import WeakKeyDictionary

import structlog

if TYPE_CHECKING:
    from tokend.clock import Clock

log = structlog.get_logger()

# Until then whoever has not shaken hands is cut, and so is who does not answer a goodbye.
LONGEST = timedelta(seconds=5)

# Whoever reaches the port can make a handshake fail: each reason is told of once in this time.
_PAUSE = timedelta(minutes=1)


class Handshakes(ssl.SSLContext):
    """Leads each handshake with the context that is in force when it begins.

    Certificates change by another context, not within one: what was trusted before ends with it,
    and so do the sessions that might be resumed. Connections that are open stay open.

    A connection has an open file before it has shaken hands: no more than *most* are at that.
    """

    def __new__(cls, _context: ssl.SSLContext, _clock: Clock) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self.most = 1000
        self._clock = clock
        self._failures = _Failures(clock)
        # Those of connections that have ended are gone at once.
        self._begun: WeakKeyDictionary[ssl.SSLObject, timedelta] = WeakKeyDictionary()
        self.change(context)

    def change(self, context: ssl.SSLContext) -> None:
        context.sslobject_class = _Handshake
        self._in_force = context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """What asyncio begins a handshake with."""
        handshake = cast("_Handshake", self._in_force.wrap_bio(*arguments, **named))
        handshake.of = self
        return handshake

    def admit(self, handshake: ssl.SSLObject) -> bool:
        """Tell if there is room for it."""
        now = self._clock.elapsed()
        for other, begun_at in list(self._begun.items()):
            if now - begun_at < LONGEST:
                break
            del self._begun[other]
        if handshake not in self._begun and len(self._begun) >= self.most:
            self.fail("too many at one time")
            return False
        self._begun.setdefault(handshake, now)
        return True

    def end(self, handshake: ssl.SSLObject) -> None:
        self._begun.pop(handshake, None)

    def fail(self, reason: str) -> None:
        self._failures.tell(reason)


class _Handshake(ssl.SSLObject):
    """Tells why it fails. asyncio keeps that to itself, and from the other side as well."""

    of: Handshakes

    def do_handshake(self) -> None:
        if not self.of.admit(self):
            raise ssl.SSLError
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            self.of.fail(error.verify_message)
            self.of.end(self)
            raise
        except ssl.SSLError as error:
            self.of.fail((error.reason or "unknown").lower().replace("_", " "))
            self.of.end(self)
            raise
        self.of.end(self)


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
