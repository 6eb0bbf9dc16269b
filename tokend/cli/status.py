"""``tokend status``."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import click

from tokend.cli import options, words
from tokend.cli.connection import understood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokend.cli.connection import Connection
    from tokend.cli.options import Connect

_PATH = "/v1/apps"

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
    path = f"{_PATH}?{urlencode({'state': state})}" if state else _PATH

    def pages() -> Iterator[str]:
        return _pages(connect(), path)

    def show() -> None:
        _show(understood(_read, answer) for answer in pages())

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
        following = understood(_following, answer)
        yield answer


def _following(answer: str) -> str | None:
    path: str | None = json.loads(answer)["next"]
    if path is not None and not path.startswith(f"{_PATH}?"):
        raise ValueError("the next page of something else")
    return path


class _Page(NamedTuple):
    """What there is to print of an answer."""

    rows: list[tuple[str, ...]]
    errors: list[str]
    notes: list[str]


def _read(answer: str) -> _Page:
    page = json.loads(answer)
    keys = page["keys"]
    found = [["", *lines] for lines in map(words.error_lines, keys) if lines]
    return _Page([*map(_row, keys)], [*chain.from_iterable(found)], words.notes(page))


def _show(pages: Iterable[_Page]) -> None:
    """Each page as it comes; then what is wrong, where it is not scrolled away."""
    widths = [0] * len(_HEADINGS)
    headings, errors, notes = [_HEADINGS], list[str](), list[str]()
    for page in pages:
        rows = [*headings, *page.rows]
        if not rows:
            continue
        widths = [max(width, *map(len, cells)) for width, *cells in zip(widths, *rows, strict=True)]
        click.echo("\n".join(_lines(rows, widths)))
        headings = []
        errors += page.errors
        notes = page.notes
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
        words.plain(key["state"]),
        words.duration(key["expires_in"]) if served else "-",
        _refresh_in(key),
        words.plain(key["failures"]),
    )


def _refresh_in(key: dict[str, Any]) -> str:
    if node := words.elsewhere(key):
        return f"on {node}"
    return "now" if key["refreshing"] else words.duration(key["next_refresh_in"])
