"""The way to WeChat for what is asked about users; each call is counted, and trouble is told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tokend.asking import timed
from tokend.login.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.contracts import Meter
    from tokend.errors import UpstreamError
    from tokend.model import App
    from tokend.wechat.recipes import Request
    from tokend.wechat.transport import Transport

_T = TypeVar("_T")


class Way:
    """Apart from that for tokens: many users may be at it, and a refresh waits for none of them.

    *transport* may send twice what finds its connection closed. A code that the first sending has
    used up, or a session_key that it has ended, is then refused: no worse than no answer.
    """

    def __init__(self, transport: Transport, meter: Meter, clock: Clock) -> None:
        self._transport = transport
        self._meter = meter
        self._clock = clock
        self._complaints = Complaints(clock)

    async def ask(self, app: App, request: Request, read: Callable[[bytes, App], _T]) -> _T:
        """What *read* makes of the answer. Raises ``UpstreamError``."""
        with timed(self._clock, partial(self._asked, app, request.path)):
            return read(await self._transport.send(request), app)

    def _asked(self, app: App, call: str, took: timedelta, error: UpstreamError | None) -> None:
        self._meter.asked(call, took, error)
        if error:
            self._complaints.hear(app, call, error)
