"""``tokend reload``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tokend.cli import options

if TYPE_CHECKING:
    from tokend.cli.options import Connect


@click.command
@options.where
def reload(connect: Connect) -> None:
    """Make tokend read its configuration again, as SIGHUP does, and say what came of it."""
    answer = json.loads(connect().ask("POST", "/v1/reload"))
    keys = answer["keys"]
    click.echo(f"reloaded, {keys} {'key' if keys == 1 else 'keys'}")
