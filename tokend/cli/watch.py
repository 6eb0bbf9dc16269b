"""``tokend status --watch``: events as they come, and between them what is known, drawn again each
second.
"""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from itertools import chain, repeat
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from tokend.cli import words
from tokend.cli.board import Board
from tokend.cli.connection import understood
from tokend.cli.events import Event, Word, follow
from tokend.cli.failure import Failure
from tokend.cli.picture import Picture
from tokend.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokend.cli.events import News
    from tokend.cli.options import Connect

_SECOND = 1.0

# No event tells of keys that a reload has brought or taken away, nor of what is wrong with all of
# tokend: that is asked for. Soon after the beginning, too, to see how fast time passes there.
_ASK_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 2.0

_AGAIN = {
    Word.BEGIN: "connected again",
    Word.RESET: "connected, but some events are missing here",
}


class Source(NamedTuple):
    """Where everything is heard from: *pages* are the answers of ``/v1/apps``, with the keys that
    are in one of *states*; none are all.
    """

    connect: Connect
    pages: Callable[[], Iterator[str]]
    states: frozenset[str]

    def wants(self, event: dict[str, Any]) -> bool:
        return not self.states or event["status"]["state"] in self.states


def watch(source: Source, show: Callable[[], None]) -> None:
    """Until interrupted; *show* prints what is at the moment, for who reads no pictures. Raises
    ``Failure`` for what will not get better.
    """
    terminal = Terminal()
    if not terminal.can:
        _tell(source, show)
        return
    watcher = Watcher(source, terminal)
    with terminal.taken(watcher.wake):
        watcher.run()


class Watcher:
    """One thread follows the events, another asks for pages now and then; what they bring is done
    in turn by who draws.
    """

    def __init__(self, source: Source, terminal: Terminal) -> None:
        self._source = source
        self._terminal = terminal
        self._board = Board(source.states)
        self._to_do: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._to_ask = threading.Event()
        self._word = "asking tokend"
        self._has_been_there = False

    def run(self) -> None:
        """For ever. Raises what a thread has met."""
        for work in (self._follow, self._ask):
            threading.Thread(target=self._work, args=[work], daemon=True).start()
        while True:
            try:
                self._to_do.get(timeout=_SECOND)()
                while True:
                    self._to_do.get_nowait()()
            except Empty:
                self._draw()

    def wake(self) -> None:
        """Draw soon."""
        self._to_do.put(lambda: None)

    def _draw(self) -> None:
        now, look = self._board.time.now(time.monotonic()), self._terminal
        picture = Picture(self._board, now, look.size, self._word, colours=look.colours)
        look.draw(picture.lines())

    # In threads

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001, it is raised where it is seen
            self._to_do.put(partial(_raise, error))

    def _follow(self) -> None:
        for news in follow(self._source.connect):
            self._to_do.put(partial(self._hear, news))

    def _ask(self) -> None:
        """For all keys, at first and whenever some may have been missed, and now and then."""
        for patience in chain([None, _ASK_AGAIN_SECONDS], repeat(_ASK_SECONDS)):
            self._to_ask.wait(patience)
            self._to_ask.clear()
            try:
                understood(self._learn)
            except Failure as failure:
                self._to_do.put(partial(self._hear, failure))

    def _learn(self) -> None:
        names: list[str] = []
        for text in self._source.pages():
            page, at = json.loads(text), time.monotonic()
            self._to_do.put(partial(self._heard_page, page, at, names))
        self._to_do.put(partial(self._heard_all, names))

    # In turn

    def _hear(self, news: News) -> None:
        if isinstance(news, Event):
            understood(self._board.happened, news.data)
        elif isinstance(news, Word):
            self._to_ask.set()
        elif self._has_been_there:
            self._word = f"{news}; trying again"
        else:
            raise news

    def _heard_page(self, page: dict[str, Any], at: float, names: list[str]) -> None:
        names += understood(self._board.page, page, at)

    def _heard_all(self, names: list[str]) -> None:
        self._board.keep(names)
        self._has_been_there, self._word = True, ""


def _tell(source: Source, show: Callable[[], None]) -> None:
    """Line by line: what is, and then what happens."""
    has_begun = False
    for news in follow(source.connect):
        if isinstance(news, Event):
            if understood(source.wants, news.data):
                click.echo(understood(_line, news.data))
        elif isinstance(news, Failure):
            if not has_begun:
                raise news
            click.echo(f"tokend: {news}; trying again", err=True)
        elif has_begun:
            click.echo(f"tokend: {_AGAIN[news]}", err=True)
        else:
            has_begun = True
            show()


def _line(event: dict[str, Any]) -> str:
    """An event, and what is wrong."""
    status, took = event["status"], event["took"]
    happened = f"{event['what']} in {took} s" if took else event["what"]
    line = f"{event['at']}  {words.name(status)}  {happened}, {status['state']}"
    return "\n".join([words.plain(line), *words.error_lines(status)])


def _raise(error: BaseException) -> NoReturn:
    raise error
