"""The log of tokend in the process of the test, and everything as it was before when it is over."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

from tokend import logs
from tokend.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logging_to(stream: TextIO, *, level: str = "debug") -> Iterator[Outlet]:
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    root.handlers.clear()  # else they would be closed
    try:
        logs.configure(level, stream=stream)
        # Else what is logged first here would never be captured by a test that comes later.
        structlog.configure(cache_logger_on_first_use=False)
        (outlet,) = root.handlers
        assert isinstance(outlet, Outlet)
        yield outlet
        outlet.flush()
        outlet.close()
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(before)
        for name in ("tokend", "aiohttp.server"):
            logging.getLogger(name).setLevel(logging.NOTSET)
