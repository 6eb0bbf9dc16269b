"""The table that is printed, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmark.rows import Result, Row, Show
    from benchmark.spread import Spread

HEAD = ("row", "what", "tokend", "reference", "figure", "spread", "rounds", "goal", "reached")


def table(outcomes: Mapping[str, Result | str], rows: Iterable[Row]) -> str:
    """Of *rows*, by their outcomes: results, or why there is none."""
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [_cells(row, outcomes[row.name]) for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row, outcome: Result | str) -> tuple[str, ...]:
    head = (f"`{row.name}`", row.what)
    if isinstance(outcome, str):
        return (*head, "", "", "", "", "", row.goal(), f"not measured: {_one_line(outcome)}")
    reference = row.show(outcome.reference.middle) if outcome.reference else ""
    return (
        *head,
        row.show(outcome.own.middle),
        reference,
        row.show_figure(outcome.figure.middle),
        _ends(outcome.figure, row.show_figure),
        str(outcome.rounds),
        row.goal(),
        "yes" if outcome.is_reached else "no",
    )


def _ends(spread: Spread, show: Show) -> str:
    return f"{show(spread.low)} to {show(spread.high)}"


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
