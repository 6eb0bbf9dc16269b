"""``tokend status``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from tokend.cli import options, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokend.cli.connection import Connection
    from tokend.cli.options import Connect

_HEADINGS = ("KEY", "STATE", "EXPIRES IN", "REFRESH IN", "FAILURES")


@click.command
@click.option("--state", help="Only keys in these states, such as expired,missing,suspect.")
@click.option("--watch", is_flag=True, help="Show what happens as it does, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="The answers of GET /v1/apps as they are.")
@options.where
def status(connect: Connect, *, state: str | None, watch: bool, as_json: bool) -> None:
    """Show the state of every key, and what to do about those that fail."""
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    path = f"/v1/apps?{urlencode({'state': state})}" if state else "/v1/apps"

    def pages() -> Iterator[str]:
        return _pages(connect(), path)

    def show() -> None:
        _show(map(json.loads, pages()))

    if watch:
        from tokend.cli import watch as watching  # noqa: PLC0415, of use to few

        states = frozenset(state.split(",") if state else ())
        watching.watch(watching.Source(connect, pages, states), show)
    elif as_json:
        for page in pages():
            click.echo(page)
    else:
        show()


def _pages(tokend: Connection, path: str) -> Iterator[str]:
    """One after the other, as each says where the next one is."""
    following: str | None = path
    while following:
        answer = tokend.ask("GET", following)
        yield answer
        following = json.loads(answer)["next"]


def _show(pages: Iterable[dict[str, Any]]) -> None:
    """Each page as it comes; then what is wrong, where it is not scrolled away."""
    widths = [0] * len(_HEADINGS)
    headings, errors, notes = [_HEADINGS], list[str](), list[str]()
    for page in pages:
        rows = [*headings, *map(_row, page["keys"])]
        if not rows:
            continue
        widths = [max(width, *map(len, cells)) for width, *cells in zip(widths, *rows, strict=True)]
        click.echo("\n".join(_lines(rows, widths)))
        headings = []
        for key in page["keys"]:
            lines = words.error_lines(key)
            errors += ["", *lines] if lines else []
        notes = words.notes(page)
    for line in [*errors, *([""] if notes else []), *notes]:
        click.echo(line)


def _lines(rows: Iterable[tuple[str, ...]], widths: list[int]) -> Iterator[str]:
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    served = key["state"] in words.SERVED
    return (
        words.name(key),
        key["state"],
        words.duration(key["expires_in"]) if served else "-",
        _refresh_in(key),
        str(key["failures"]),
    )


def _refresh_in(key: dict[str, Any]) -> str:
    if node := words.elsewhere(key):
        return f"on {node}"
    return "now" if key["refreshing"] else words.duration(key["next_refresh_in"])
