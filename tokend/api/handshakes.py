"""TLS on the listeners, with certificates that may change while it is served."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import structlog

from tokend.api.door import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.api.door import Door
    from tokend.clock import Clock

log = structlog.get_logger()

# Who does not answer a goodbye is cut after so long. How long a handshake may take its door knows.
GOODBYE_SECONDS = 5

# What may lie above the connection unsent. asyncio's own limit there is eight times that over TCP.
_UNSENT_BYTES = 64 * 1024

# Whoever reaches the port can make a handshake fail: each reason is told of once in this time.
_PAUSE = timedelta(minutes=1)


class Handshakes:
    """Each is led by the context that is in force when it begins.

    Certificates change by another context, not within one: what was trusted before ends with it,
    and so do the sessions that might be resumed. Connections that are open stay open.
    """

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self._failures = _Failures(clock)
        self.change(context)

    def change(self, context: ssl.SSLContext) -> None:
        self._in_force = context

    async def shake(
        self, wire: asyncio.Transport, protocol: asyncio.Protocol, begun: bytes
    ) -> asyncio.Transport | None:
        """What *protocol* talks through from now on; None if it came to nothing.

        *begun* are the bytes of the handshake that were read already.
        """
        if wire.is_closing():
            return None
        loop = asyncio.get_running_loop()
        loop.call_soon(_feed, wire, begun)
        try:
            tls = await loop.start_tls(
                wire,
                protocol,
                self._in_force,
                server_side=True,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except ssl.SSLCertVerificationError as error:
            self._failures.tell(error.verify_message)
        except ssl.SSLError as error:
            self._failures.tell((error.reason or "unknown").lower().replace("_", " "))
        except OSError:
            pass  # it went away, which anybody may
        else:
            if tls and not wire.is_closing():
                tls.set_write_buffer_limits(high=_UNSENT_BYTES)
                return tls
        return None


def _feed(wire: asyncio.Transport, data: bytes) -> None:
    """Give *data* to what reads from *wire* now."""
    protocol = cast("asyncio.BufferedProtocol", wire.get_protocol())
    memoryview(protocol.get_buffer(len(data)))[: len(data)] = data
    protocol.buffer_updated(len(data))


class Handshake(asyncio.Protocol):
    """Stands behind *door* until hands are shaken; what answers then is of *make*.

    It begins with the first byte: before that a connection costs no more than any other.
    """

    _wire: asyncio.Transport

    def __init__(
        self, door: Door, handshakes: Handshakes, make: Callable[[Door], asyncio.Protocol]
    ) -> None:
        self._door = door
        self._handshakes = handshakes
        self._make = make
        self._held = b""
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """How it begins; or a request that comes with its end, before ``start_tls`` returns."""
        self._held += data
        if self._shaking is None:
            self._wire.pause_reading()  # or it might be more than asyncio takes at one time
            self._door.turn(Phase.HANDSHAKE)
            self._shaking = asyncio.create_task(self._shake())

    async def _shake(self) -> None:
        tls = await self._handshakes.shake(self._wire, self._door, self._taken())
        if tls is None:
            self._door.connection_lost(None)  # asyncio does not always tell it
            return
        self._door.turn(Phase.NEW)
        self._door.open(self._make(self._door), tls)
        if held := self._taken():
            self._door.data_received(held)

    def _taken(self) -> bytes:
        held, self._held = self._held, b""
        return held


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
