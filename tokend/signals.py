"""What the operating system asks of the process."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """*stop* is set by the first SIGTERM or SIGINT, *hangup* by every SIGHUP."""

    stop: asyncio.Event
    hangup: asyncio.Event


@contextmanager
def signalled() -> Iterator[Signals]:
    """Another SIGTERM or SIGINT after the first ends the process at once."""
    loop = asyncio.get_running_loop()
    signals = Signals(stop=asyncio.Event(), hangup=asyncio.Event())
    stops = (signal.SIGTERM, signal.SIGINT)

    def request_stop() -> None:
        signals.stop.set()
        for number in stops:
            loop.remove_signal_handler(number)

    for number in stops:
        loop.add_signal_handler(number, request_stop)
    loop.add_signal_handler(signal.SIGHUP, signals.hangup.set)
    try:
        yield signals
    finally:
        for number in (*stops, signal.SIGHUP):
            loop.remove_signal_handler(number)
