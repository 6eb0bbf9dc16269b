"""What ``tokend status --watch`` draws: as much of the board as the terminal has room for."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from tokend.cli import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokend.cli.board import Board, Key

# Of the lines below the head these are for what is wrong, if that much is.
_ERRORS_SHARE = 0.5

_HEAD = 2  # lines

_GAP = "  "
_BAR = 12

# https://en.wikipedia.org/wiki/ANSI_escape_code#Select_Graphic_Rendition_parameters
_RED, _GREEN, _YELLOW, _BOLD, _FAINT = "31", "32", "33", "1", "2"
_COLOURS = {"fresh": _GREEN, "stale": _YELLOW, "suspect": _YELLOW, "expired": _RED, "missing": _RED}


class Column(NamedTuple):
    """The less its *rank*, the narrower the terminal in which it still stands."""

    heading: str
    width: int
    rank: int
    cell: Callable[[Key, float], str]


class Size(NamedTuple):
    width: int
    height: int


class Picture(NamedTuple):
    """One moment: *now* is tokend's time, *word* about the connection, if there is one."""

    board: Board
    now: float
    size: Size
    word: str = ""
    colours: bool = False

    def lines(self) -> list[str]:
        """As many as there is room for at most, none too long."""
        width, height = self.size
        first = self.board.first(height)
        errors = self._errors(first, int((height - _HEAD) * _ERRORS_SHARE))
        room = max(height - _HEAD - len(errors), 0)
        is_all = len(self.board.keys) <= room
        keys = first[: room if is_all else max(room - 1, 0)]
        more = len(self.board.keys) - len(keys)
        columns = _columns(keys, width)
        return [
            self._head(),
            self._painted(_row([column.heading for column in columns], columns, width), _BOLD),
            *(self._key(key, columns) for key in keys),
            *([self._painted(words.cut(f"and {more} more", width), _FAINT)] if more else []),
            *errors,
        ][:height]

    def _head(self) -> str:
        """How many keys there are in each state, and how the connection is."""
        if self.word:
            return self._painted(words.cut(words.plain(self.word), self.size.width), _YELLOW)
        states = Counter(key.state for key in self.board.keys.values())
        told = ", ".join(f"{number} {state}" for state, number in states.most_common())
        number = len(self.board.keys)
        text = f"{number} {'key' if number == 1 else 'keys'}: {told}" if told else "no keys"
        return words.cut(text, self.size.width)

    def _key(self, key: Key, columns: Sequence[Column]) -> str:
        row = _row([each.cell(key, self.now) for each in columns], columns, self.size.width)
        if self.colours and key.state in _COLOURS:
            before, state, after = row.partition(_GAP + key.state)
            return before + self._painted(state, _COLOURS[key.state]) + after
        return row

    def _errors(self, keys: Sequence[Key], room: int) -> list[str]:
        """An empty line, and below it what is wrong, the worst first."""
        lines = [*self.board.notes, *(line for key in keys for line in key.errors)]
        width = self.size.width
        shown = [part for line in lines[:room] for part in words.wrapped(line, width)]
        return ["", *shown][:room] if shown else []

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and text else text


def _columns(keys: Sequence[Key], width: int) -> list[Column]:
    """Those for which there is room, in their order; the last takes what is left."""
    name = max([len("KEY"), *(len(key.name) for key in keys)])
    columns = [
        Column("KEY", min(name, max(width // 2, 8)), 0, lambda key, _: key.name),
        Column("STATE", 7, 1, lambda key, _: key.state),
        Column("", _BAR, 4, _bar),
        Column("REFRESH", 7, 3, _refresh_in),
        Column("EXPIRES", 7, 2, _expires_in),
        Column("FAILED", 6, 5, lambda key, _: str(key.failures)),
        Column("LAST", 10, 6, _last),
    ]
    ranked = sorted(columns, key=lambda column: column.rank)
    ends = accumulate(column.width + len(_GAP) for column in ranked)
    fitting = sum(end - len(_GAP) <= width for end in ends)
    return [column for column in columns if column.rank < max(fitting, 1)]


def _row(cells: Sequence[str], columns: Sequence[Column], width: int) -> str:
    padded = (
        words.cut(cell, column.width).ljust(column.width)
        for cell, column in zip(cells[:-1], columns[:-1], strict=True)
    )
    return words.cut(_GAP.join([*padded, cells[-1]]), width).rstrip()


def _bar(key: Key, now: float) -> str:
    """In ASCII: the blocks that others draw are two columns wide where Chinese is read."""
    room = _BAR - 2
    done = int(key.progress(now) * room)
    return f"[{'#' * done}{'-' * (room - done)}]"


def _refresh_in(key: Key, now: float) -> str:
    left = int(key.next_at - now)
    return "now" if key.refreshing or left <= 0 else words.duration(left)


def _expires_in(key: Key, now: float) -> str:
    if key.expires_at is None or key.state not in words.SERVED:
        return "-"
    return words.duration(max(int(key.expires_at - now), 0))


def _last(key: Key, now: float) -> str:
    if key.elsewhere:
        return f"refreshing on {key.elsewhere}"
    if not key.happened:
        return "-"
    ago = words.duration(max(int(now - key.happened_at), 0)).partition(" ")[0]
    return f"{key.happened} {ago} ago{key.took}"
