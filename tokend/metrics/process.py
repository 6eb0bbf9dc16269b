"""CPU, memory and files of the process, as prometheus-client tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tokend.clock import Clock


class Process(ProcessCollector):
    """Also where /proc has processes alone, as in tokend's service (``ProcSubset=pid``): without
    the time at which the host was started, which stands elsewhere there, it would tell nothing.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock, *, proc: str = "/proc") -> None:
        self._clock = clock
        super().__init__(registry=registry, proc=proc)

    def _boot_time(self) -> float:
        return (self._clock.wall() - self._clock.elapsed()).timestamp()
