"""The clock by which tokens live."""

from __future__ import annotations

import functools
import time

# Seconds since boot. The host's clock jumps, and CLOCK_MONOTONIC stands still while it sleeps.
elapsed = functools.partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)
