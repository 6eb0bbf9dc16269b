"""``tokend get`` and ``tokend refresh``."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from tokend.cli import options
from tokend.cli.connection import understood
from tokend.cli.current import path, show
from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from tokend.cli.options import Connect

# More digits no generation has.
_GENERATION_DIGITS = 18


@click.command
@click.argument("key")
@options.where
def get(connect: Connect, key: str) -> None:
    """Print the current token of KEY, such as shop/access_token.

    The bare value; a newline follows only on a terminal.
    """
    show(connect(), key)


@click.command
@click.argument("key")
@click.option(
    "--rejected",
    metavar="TOKEN",
    help="Report this token, or generation, as rejected by WeChat: nothing happens if it is no "
    "longer the current one. '-' reads it from stdin, which keeps it out of the process list.",
)
@options.where
def refresh(connect: Connect, key: str, rejected: str | None) -> None:
    """Replace the current token of KEY, such as shop/access_token, now.

    Without --rejected this is a forced refresh. WeChat honours the old token for a few minutes
    more, or less; tokend lets one refresh in a minute pass.
    """
    answer = connect().ask("POST", f"{path(key)}/refresh", body=_report(rejected))
    click.echo(f"{key}: {understood(_done, answer)}")


def _done(answer: str) -> str:
    token = json.loads(answer)
    done = "refreshed" if token["refreshed"] else "not refreshed, another token is current"
    generation, seconds = int(token["generation"]), int(token["expires_in"])
    return f"{done}; generation {generation}, expires in {seconds} s"


def _report(rejected: str | None) -> dict[str, object]:
    if rejected is None:
        return {}
    try:
        value = sys.stdin.read().strip() if rejected == "-" else rejected
    except ValueError:  # not a text
        value = ""
    if not value:
        raise Failure("--rejected: no token there", code=os.EX_DATAERR)
    is_generation = value.isascii() and value.isdigit() and len(value) <= _GENERATION_DIGITS
    return {"rejected": int(value) if is_generation else value}
