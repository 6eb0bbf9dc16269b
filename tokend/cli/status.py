"""``tokend status``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from tokend.cli import options

if TYPE_CHECKING:
    from tokend.cli.options import Connect

_WATCH_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"
_HEADINGS = ("KEY", "STATE", "EXPIRES IN", "REFRESH IN", "FAILURES")


@click.command
@click.option("--watch", is_flag=True, help="Draw again every second, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="The answer of GET /v1/apps as it is.")
@options.where
def status(connect: Connect, *, watch: bool, as_json: bool) -> None:
    """Show the state of every key, and what to do about those that fail."""
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    while True:
        answer = connect().ask("GET", "/v1/apps")
        if as_json:
            click.echo(answer)
            return
        click.echo((_CLEAR if watch else "") + _page(json.loads(answer)))
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


def _page(answer: dict[str, Any]) -> str:
    notes = [f"not in force: {mistake}" for mistake in answer["configuration_mistakes"]]
    if answer["store_trouble"]:
        notes.insert(0, f"the store is away: {answer['store_trouble']}")
    return "\n".join([_table(answer["keys"]), *([""] if notes else []), *notes])


def _table(keys: list[dict[str, Any]]) -> str:
    rows = [_HEADINGS, *map(_row, keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines + [line for key in keys for line in _error(key)])


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    served = key["state"] in {"fresh", "stale", "suspect"}
    return (
        _name(key),
        key["state"],
        _duration(key["expires_in"]) if served else "-",
        "now" if key["refreshing"] else _duration(key["next_refresh_in"]),
        str(key["failures"]),
    )


def _error(key: dict[str, Any]) -> list[str]:
    error, trouble = key["error"] or {}, key["record_trouble"]
    lines = [f"{_name(key)}: {said}" for said in (error.get("message"), trouble) if said]
    if advice := error.get("advice"):
        lines.insert(1, f"  {advice}")
    return ["", *lines] if lines else []


def _name(key: dict[str, Any]) -> str:
    return f"{key['app']}/{key['kind']}"


def _duration(seconds: int) -> str:
    """As an operator reads it: 1h 54m, 4m 59s, 12s."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s" if minutes else f"{seconds}s"
