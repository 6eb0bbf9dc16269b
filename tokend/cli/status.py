"""``tokend status``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from tokend.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokend.cli.connection import Connection
    from tokend.cli.options import Connect

_WATCH_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"
_HEADINGS = ("KEY", "STATE", "EXPIRES IN", "REFRESH IN", "FAILURES")


@click.command
@click.option("--state", help="Only keys in these states, such as expired,missing,suspect.")
@click.option("--watch", is_flag=True, help="Draw again every second, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="The answers of GET /v1/apps as they are.")
@options.where
def status(connect: Connect, *, state: str | None, watch: bool, as_json: bool) -> None:
    """Show the state of every key, and what to do about those that fail."""
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    path = f"/v1/apps?{urlencode({'state': state})}" if state else "/v1/apps"
    while True:
        pages = _pages(connect(), path)
        if as_json:
            for page in pages:
                click.echo(page)
            return
        _show(map(json.loads, pages), clear=watch)
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


def _pages(tokend: Connection, path: str) -> Iterator[str]:
    """One after the other, as each says where the next one is."""
    following: str | None = path
    while following:
        answer = tokend.ask("GET", following)
        yield answer
        following = json.loads(answer)["next"]


def _show(pages: Iterable[dict[str, Any]], *, clear: bool) -> None:
    """Each page as it comes; then what is wrong, where it is not scrolled away."""
    widths = [0] * len(_HEADINGS)
    headings, errors, notes = [_HEADINGS], list[str](), list[str]()
    for page in pages:
        rows = [*headings, *map(_row, page["keys"])]
        if not rows:
            continue
        widths = [max(width, *map(len, cells)) for width, *cells in zip(widths, *rows, strict=True)]
        click.echo((_CLEAR if clear and headings else "") + "\n".join(_lines(rows, widths)))
        headings = []
        errors += [line for key in page["keys"] for line in _error(key)]
        notes = _notes(page)
    for line in [*errors, *([""] if notes else []), *notes]:
        click.echo(line)


def _lines(rows: Iterable[tuple[str, ...]], widths: list[int]) -> Iterator[str]:
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _notes(page: dict[str, Any]) -> list[str]:
    notes = [f"not in force: {mistake}" for mistake in page["configuration_mistakes"]]
    trouble = page["store_trouble"]
    return [f"the store is away: {trouble}", *notes] if trouble else notes


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
