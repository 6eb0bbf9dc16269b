"""``python -m kit.faulty CONFIG --at POINT --do SIGNAL --trap FILE``: tokend with a fault in it.

Runs the daemon as it is, with something between it and its store and WeChat that sends its own
process SIGKILL or SIGSTOP when a refresh or a login gets to POINT and FILE exists. FILE is then
renamed to FILE.struck: of several processes only the first to get there is struck.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tokend import config, daemon, logs, uncaught
from tokend.clock import SystemClock

POINTS = (
    "before_acquire",
    "after_acquire",
    "before_request",
    "after_answer",
    "before_save",
    "after_save",
    "before_release",
    "after_release",
    "before_session",
    "after_session",
    "before_user",
    "after_user",
)


@dataclass
class Failpoint:
    at: str
    do: signal.Signals
    trap: Path

    def reach(self, point: str) -> None:
        if point != self.at:
            return
        try:
            self.trap.rename(f"{self.trap}.struck")
        except FileNotFoundError:
            return
        sys.stderr.write(f"struck at {point}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), self.do)


class Around:
    """Everything of *inner*, and the failpoint before and after some of it."""

    def __init__(self, inner, failpoint: Failpoint, points: dict[str, tuple[str, str]]) -> None:
        self._inner = inner
        self._failpoint = failpoint
        self._points = points

    def __getattr__(self, name: str):
        method = getattr(self._inner, name)
        if name not in self._points:
            return method
        before, after = self._points[name]

        async def struck(*args, **kwargs):
            self._failpoint.reach(before)
            result = await method(*args, **kwargs)
            self._failpoint.reach(after)
            return result

        return struck


class Shelf:
    """That of *inner*, and the failpoint around the writing of each kind of note."""

    def __init__(self, inner, failpoint: Failpoint) -> None:
        self._inner = inner
        self._failpoint = failpoint
        self.find, self.erase, self.sealed = inner.find, inner.erase, inner.sealed

    async def swap(self, name: str, *notes, **more) -> bool:
        kind = name.partition(":")[0]
        self._failpoint.reach(f"before_{kind}")
        swapped = await self._inner.swap(name, *notes, **more)
        self._failpoint.reach(f"after_{kind}")
        return swapped


_STORE = {
    "acquire": ("before_acquire", "after_acquire"),
    "save": ("before_save", "after_save"),
    "release": ("before_release", "after_release"),
}
_TRANSPORT = {"send": ("before_request", "after_answer")}


def edges(failpoint: Failpoint) -> daemon.Edges:
    sound = daemon.Edges()

    @asynccontextmanager
    async def store(settings, clock):
        async with sound.store(settings, clock) as inner:
            around = Around(inner, failpoint, _STORE)
            around.shelf = Shelf(inner.shelf, failpoint)
            yield around

    @asynccontextmanager
    async def transports(settings):
        async with sound.transports(settings) as inner:
            yield {
                platform: Around(transport, failpoint, _TRANSPORT)
                for platform, transport in inner.items()
            }

    return daemon.Edges(store=store, transports=transports)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--at", choices=POINTS, required=True)
    parser.add_argument("--do", choices=("SIGKILL", "SIGSTOP"), required=True)
    parser.add_argument("--trap", type=Path, required=True)
    given = parser.parse_args()
    settings = config.load(given.config, environ=os.environ)
    logs.configure(settings.log.level)
    failpoint = Failpoint(given.at, signal.Signals[given.do], given.trap)
    uncaught.run(daemon.serve(settings, SystemClock(), edges=edges(failpoint)))


if __name__ == "__main__":
    main()
