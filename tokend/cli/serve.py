"""``tokend serve``."""

from __future__ import annotations

import faulthandler
import gc
import os
from typing import TYPE_CHECKING

import click
import structlog

from tokend import config, daemon, logs, process, uncaught
from tokend.cli import configuration
from tokend.cli.failure import Failure
from tokend.clock import SystemClock
from tokend.config.mistakes import first
from tokend.errors import ConfigError, InstallationError, ListenError, StoreError
from tokend.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

log = structlog.get_logger()

_STDERR = 2

# So many more objects than there were, and Python looks for garbage. It stops everything meanwhile,
# the longer the more there are: with 10,000 connections and its own 700 for half a second at times.
_GARBAGE = 10_000


@click.command
@configuration.argument
def serve(path: Path) -> None:
    """Run tokend with the configuration file CONFIG, until it is ended; SIGHUP reads it again."""
    process.fill_standard_streams()
    gc.disable()  # until _settle()
    faulthandler.enable(_STDERR)  # says where it hung, should the watchdog of systemd end it
    gc.set_threshold(_GARBAGE)
    still_open = process.close_to_others()
    systemd = _systemd()
    try:
        reader = config.Reader(path, environ=os.environ)
        settings = configuration.read(reader).without_files()
        logs.configure(settings.log.level)
        for warning in first(settings.warnings):
            log.warning("configuration_doubtful", found=warning)
        for trouble in still_open:
            log.warning("open_to_others", trouble=trouble)
        run(
            daemon.serve(
                settings,
                SystemClock(),
                read=lambda: reader.read().without_files(),
                systemd=systemd,
                on_serving=_settle,
            )
        )
    except Failure as failure:
        systemd.status(str(failure))
        raise


def _settle(_: list[str]) -> None:
    """What has been made by now stays: to look through it for garbage, again and again, would stop
    everything for a second where there are 100,000 keys. What garbage is among it is little, and no
    more where there are many keys.
    """
    process.give_back_memory()
    gc.freeze()
    gc.enable()


def _systemd() -> Systemd:
    try:
        return Systemd(os.environ)
    except ValueError as error:
        raise Failure(str(error), code=os.EX_UNAVAILABLE) from None


def run(work: Coroutine[None, None, None]) -> None:
    """Serve, and tell in one line why it could not begin."""
    try:
        uncaught.run(work)
    except ConfigError as error:
        raise Failure(str(error), code=os.EX_CONFIG) from None
    except ListenError as error:
        hint = "choose another one in [server], or make room for this one"
        raise Failure(str(error), hint=hint, code=os.EX_UNAVAILABLE) from None
    except InstallationError as error:
        raise Failure(str(error), code=os.EX_UNAVAILABLE) from None
    except StoreError as error:
        hint = "make its folder, or choose another place in store.url"
        raise Failure(str(error), hint=hint, code=os.EX_UNAVAILABLE) from None
