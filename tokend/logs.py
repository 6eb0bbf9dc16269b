"""Logs: facts with fields, to stderr. JSON on a pipe, readable on a terminal; in the journal of
systemd with the priority it files them under.

Secrets have a type that prints as a fingerprint, and tracebacks come without local variables.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

from tokend import systemd

# Libraries that tell of every step they take; and aiohttp's server, which prints a traceback with
# what it was sent for every request it cannot read, and that may be a key. Bugs in handlers are
# logged where problems are answered.
_LEVELS = {
    "aiohttp": logging.WARNING,
    "aiohttp.server": logging.CRITICAL,
    "apscheduler": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure(level: str, *, stream: TextIO = sys.stderr) -> None:
    """Send the logs of tokend and of its libraries to *stream*, from *level* on."""
    readable = stream.isatty()
    shared: list[structlog.typing.Processor] = [
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
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_nothings,
                *(_readable() if readable else _json(stream)),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    set_level(level)


def set_level(level: str) -> None:
    """Say what is at least as grave as *level*."""
    logging.getLogger().setLevel(level.upper())
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))


def _readable() -> list[structlog.typing.Processor]:
    return [
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _json(stream: TextIO) -> list[structlog.typing.Processor]:
    prefixes = systemd.PREFIXES if systemd.is_journal(stream) else {}
    render = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)

    def line(
        logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
    ) -> str:
        return f"{prefixes.get(event['level'], '')}{render(logger, name, event)!s}"

    return [structlog.processors.format_exc_info, line]


def _without_nothings(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {name: value for name, value in event.items() if value is not None}
