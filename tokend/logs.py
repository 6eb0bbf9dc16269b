"""Logs: facts with fields, to stderr. JSON on a pipe, readable on a terminal; in the journal of
systemd with the priority it files them under.

Secrets have a type that prints as a fingerprint. Whatever else may hold one is left out: tracebacks
come without local variables and messages (``traces``), what a library says without its arguments.
Nobody waits for whoever reads the log (``outlet``).
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

from tokend import systemd, traces, uncaught
from tokend.outlet import Outlet

if TYPE_CHECKING:
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

# What libraries tell of every step they take is nobody's business; and aiohttp's server prints what
# it was sent for every request it cannot read, and that may be a key. Bugs in handlers are logged
# where problems are answered.
_LIBRARIES = logging.WARNING
_LEVELS = {"aiohttp.server": logging.CRITICAL}


def configure(level: str, *, stream: TextIO | None = sys.stderr) -> None:
    """Send the logs of tokend from *level* on, warnings of its libraries, and what nobody catches
    to *stream*. None is a stderr that was closed before Python began.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_handler(stream, shared)], force=True)
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(least)
    set_level(level)
    uncaught.capture()


def set_level(level: str) -> None:
    """Say what is at least as grave as *level*."""
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("tokend").setLevel(own)
    logging.getLogger().setLevel(max(own, _LIBRARIES))


def _handler(stream: TextIO | None, shared: list[Processor]) -> logging.Handler:
    if stream is None:
        return logging.NullHandler()
    handler = Outlet(stream.fileno())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            use_get_message=False,  # a library's arguments may be anything
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                _without_nothings,
                _readable() if stream.isatty() else _json(stream),
            ],
        )
    )
    return handler


def _traceback(exc_info: ExcInfo) -> str:
    return traces.shown(exc_info[1])


def _readable() -> Processor:
    return structlog.dev.ConsoleRenderer()


def _json(stream: TextIO) -> Processor:
    prefixes = systemd.PREFIXES if systemd.is_journal(stream) else {}
    render = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)

    def line(logger: WrappedLogger, name: str, event: EventDict) -> str:
        return f"{prefixes.get(event['level'], '')}{render(logger, name, event)!s}"

    return line


def _without_nothings(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if value is not None}
