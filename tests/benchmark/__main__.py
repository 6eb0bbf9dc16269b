"""The command. Data goes to stdout, words for people to stderr; 0 if all that was asked for was
measured and every goal reached, else 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from subprocess import CalledProcessError
from typing import Any

import click

from benchmark import stage, tools
from benchmark.cores import Cores
from benchmark.rounds import take_turns
from benchmark.rows import ROWS, Result, Row, judged, sides_of
from benchmark.scale import Scale
from benchmark.table import table

_DEFAULT = Scale()
_BY_NAME = {row.name: row for row in ROWS}


@click.command(context_settings={"max_content_width": 100})
@click.argument("names", metavar="[ROW]...", nargs=-1, type=click.Choice(list(_BY_NAME)))
@click.option("--rounds", default=_DEFAULT.rounds, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--seconds",
    default=_DEFAULT.seconds,
    show_default=True,
    type=click.FloatRange(0.1, 60),
    help="Of one measurement.",
)
@click.option(
    "--keys",
    default=_DEFAULT.keys,
    show_default=True,
    type=click.IntRange(2, 200_000),
    help="Where many are kept.",
)
@click.option(
    "--waiters",
    default=_DEFAULT.waiters,
    show_default=True,
    type=click.IntRange(1, 20_000),
    help="Where many wait.",
)
@click.option(
    "--sessions",
    default=_DEFAULT.sessions,
    show_default=True,
    type=click.IntRange(1, 2_000_000),
    help="Where there are many.",
)
@click.option(
    "--install", is_flag=True, help="Get what is missing for these rows, by apt-get and pip."
)
def main(names: tuple[str, ...], *, install: bool, **scale: Any) -> None:
    """Measure tokend beside references, in turns, and print the table. No ROW is all of them."""
    rows = [row for row in ROWS if row.name in names] or list(ROWS)
    if install:
        _install(rows)
    measured = Scale(**scale)
    conditions = _conditions(measured)
    try:
        outcomes = asyncio.run(_measured(rows, measured))
    except asyncio.CancelledError:
        raise click.Abort from None
    click.echo(f"{conditions}\n\n{table(outcomes, rows)}")
    good = all(isinstance(each, Result) and each.is_reached for each in outcomes.values())
    sys.exit(os.EX_OK if good else 1)


def _install(rows: list[Row]) -> None:
    try:
        tools.install(tools.missing({need for row in rows for need in row.needs()}))
    except (OSError, CalledProcessError) as error:
        raise click.ClickException(f"not installed: {error}") from None


def _conditions(scale: Scale) -> str:
    cores = Cores.given()
    where = f"Server on core {cores.server}, load on core {cores.load}"
    if not cores.are_two:
        where = "Server and load on one core: they slow each other, and figures say little"
    return (
        f"{where}; {os.getloadavg()[0]:.1f} processes of others at work; {scale.seconds:g} s each, "
        f"{scale.keys:,} keys, {scale.waiters:,} waiters, {scale.sessions:,} sessions."
    )


async def _measured(rows: list[Row], scale: Scale) -> dict[str, Result | str]:
    """What came of each row. SIGTERM ends it as Ctrl-C does: with all that was started."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    lacking = {row.name: tools.missing(sorted(row.needs())) for row in rows}
    able = [row for row in rows if not lacking[row.name]]
    async with stage.opened(scale) as place:
        measured = await take_turns(sides_of(able), place, lambda said: click.echo(said, err=True))
    return {
        row.name: tools.lacking(lacking[row.name])
        if lacking[row.name]
        else judged(row, measured, scale)
        for row in rows
    }


if __name__ == "__main__":
    main()
