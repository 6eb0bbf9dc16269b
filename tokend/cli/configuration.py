"""The configuration file that a command is given."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tokend import config
from tokend.cli.failure import Failure
from tokend.cli.words import plain
from tokend.errors import ConfigError

argument = click.argument("path", metavar="CONFIG", type=click.Path(path_type=Path))


def load(path: Path) -> config.Config:
    """What it says, its warnings told."""
    settings = read(config.Reader(path, environ=os.environ))
    for warning in settings.warnings:
        click.echo(f"tokend: warning: {plain(warning)}", err=True)
    return settings


def read(reader: config.Reader) -> config.Config:
    try:
        return reader.read()
    except ConfigError as error:
        raise Failure(str(error), code=os.EX_CONFIG) from None
