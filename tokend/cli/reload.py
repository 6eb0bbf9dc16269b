"""``tokend reload``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tokend.cli import options
from tokend.cli.connection import understood

if TYPE_CHECKING:
    from tokend.cli.options import Connect


@click.command
@options.where
def reload(connect: Connect) -> None:
    """Make tokend read its configuration again, as SIGHUP does, and say what came of it."""
    keys = understood(_keys, connect().ask("POST", "/v1/reload"))
    click.echo(f"reloaded, {keys} {'key' if keys == 1 else 'keys'}")


def _keys(answer: str) -> int:
    return int(json.loads(answer)["keys"])
