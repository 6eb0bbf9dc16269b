"""``tokend check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tokend.cli import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@click.command
@configuration.argument
def check(path: Path) -> None:
    """Say everything that is wrong with the configuration file CONFIG."""
    settings = configuration.load(path)
    apps, clients = _number(settings.apps, "app"), _number(settings.clients, "client")
    click.echo(f"{path}: ok, {apps}, {clients}")


def _number(things: Mapping[str, object], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"
