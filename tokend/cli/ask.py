"""``tokend get`` and ``tokend refresh``."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from tokend.cli import connection
from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from tokend.cli.connection import Connect


@click.command
@click.argument("key")
@connection.options
def get(connect: Connect, key: str) -> None:
    """Print the current token of KEY, such as shop/access_token.

    The bare value; a newline follows only on a terminal.
    """
    value = connect().ask("GET", _path(key), accept="text/plain")
    click.echo(value, nl=sys.stdout.isatty())


@click.command
@click.argument("key")
@click.option(
    "--rejected",
    metavar="TOKEN",
    help="Report this token, or generation, as rejected by WeChat: nothing happens if it is no "
    "longer the current one. '-' reads it from stdin, which keeps it out of the process list.",
)
@connection.options
def refresh(connect: Connect, key: str, rejected: str | None) -> None:
    """Replace the current token of KEY, such as shop/access_token, now.

    Without --rejected this is a forced refresh. WeChat honours the old token for a few minutes
    more, or less; tokend lets one refresh in a minute pass.
    """
    answer = json.loads(connect().ask("POST", f"{_path(key)}/refresh", body=_report(rejected)))
    done = "refreshed" if answer["refreshed"] else "not refreshed, another token is current"
    click.echo(
        f"{key}: {done}; generation {answer['generation']}, expires in {answer['expires_in']} s"
    )


def _report(rejected: str | None) -> dict[str, object]:
    if rejected is None:
        return {}
    value = sys.stdin.read().strip() if rejected == "-" else rejected
    if not value:
        raise Failure("--rejected: no token there", code=os.EX_DATAERR)
    return {"rejected": int(value) if value.isascii() and value.isdigit() else value}


def _path(key: str) -> str:
    app, slash, kind = key.partition("/")
    if not (app and slash and kind):
        raise Failure(
            f"{key}: not a key", hint=f"{app or 'shop'}/access_token is one", code=os.EX_USAGE
        )
    return f"/v1/apps/{quote(app, safe='')}/{quote(kind, safe='')}"
