"""``tokend serve`` and ``tokend check``."""

from __future__ import annotations

import faulthandler
import gc
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog

from tokend import config, daemon, logs, process, uncaught
from tokend.cli.failure import Failure
from tokend.clock import SystemClock
from tokend.errors import ConfigError, InstallationError, ListenError, StoreError
from tokend.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

log = structlog.get_logger()

_STDERR = 2
_path = click.argument("path", metavar="CONFIG", type=click.Path(path_type=Path))


@click.command
@_path
def serve(path: Path) -> None:
    """Run tokend with the configuration file CONFIG, until it is ended; SIGHUP reads it again."""
    process.fill_standard_streams()
    gc.disable()  # until _settle()
    faulthandler.enable(_STDERR)  # says where it hung, should the watchdog of systemd end it
    still_open = process.close_to_others()
    systemd = _systemd()
    try:
        read = partial(_lean, path)
        settings = _told(read)
        logs.configure(settings.log.level)
        for warning in settings.warnings:
            log.warning("configuration_doubtful", found=warning)
        for trouble in still_open:
            log.warning("open_to_others", trouble=trouble)
        run(daemon.serve(settings, SystemClock(), read=read, systemd=systemd, on_serving=_settle))
    except Failure as failure:
        systemd.status(str(failure))
        raise


def _settle(_: list[str]) -> None:
    """What has been made by now stays: to look through it for garbage, again and again, would stop
    everything for a second where there are 100,000 keys. Before, nothing was looked through at all.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def _systemd() -> Systemd:
    try:
        return Systemd(os.environ)
    except ValueError as error:
        raise Failure(str(error), code=os.EX_UNAVAILABLE) from None


@click.command
@_path
def check(path: Path) -> None:
    """Say everything that is wrong with the configuration file CONFIG."""
    settings = load(path)
    apps, clients = _number(settings.apps, "app"), _number(settings.clients, "client")
    click.echo(f"{path}: ok, {apps}, {clients}")


def _number(things: Mapping[str, object], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def load(path: Path) -> config.Config:
    """The configuration, its warnings told."""
    settings = _told(partial(config.load, path, environ=os.environ))
    for warning in settings.warnings:
        click.echo(f"tokend: warning: {warning}", err=True)
    return settings


def _lean(path: Path) -> config.Config:
    return config.load(path, environ=os.environ).without_files()


def _told(read: Callable[[], config.Config]) -> config.Config:
    try:
        return read()
    except ConfigError as error:
        raise Failure(str(error), code=os.EX_CONFIG) from None


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
