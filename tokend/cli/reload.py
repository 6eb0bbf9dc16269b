"""``tokend reload``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tokend.cli import connection

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@connection.options
def reload(socket_path: str | None, url: str | None, key_file: Path | None) -> None:
    """Make tokend read its configuration again, as SIGHUP does, and say what came of it."""
    tokend = connection.connect(socket_path=socket_path, url=url, key_file=key_file)
    answer = json.loads(tokend.ask("POST", "/v1/reload"))
    keys = answer["keys"]
    click.echo(f"reloaded, {keys} {'key' if keys == 1 else 'keys'}")
