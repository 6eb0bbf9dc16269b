"""A terminal that is drawn on, and left as it was found however that ends.

https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from tokend.cli.picture import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Another screen than the shell's, without a cursor.
_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"
_USUAL = Size(80, 24)


class Terminal:
    """What stdout is, if it *can* be drawn on; in *colours* unless somebody has said no."""

    def __init__(self) -> None:
        kind = os.environ.get("TERM", "dumb")
        self.can = sys.stdout.isatty() and kind not in {"dumb", ""}
        # https://no-color.org
        self.colours = self.can and not os.environ.get("NO_COLOR")

    @property
    def size(self) -> Size:
        """As it is now."""
        try:
            width, height = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return _USUAL
        return Size(width, height) if width and height else _USUAL

    @contextmanager
    def taken(self, changed: Callable[[], None]) -> Iterator[None]:
        """Ours until left. *changed* is called when it has another size, or is ours again after it
        was a shell's; it is called at any moment.
        """

        def stop(_: int, __: object) -> None:
            self._write(_LEAVE)
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, stop)
            self._write(_ENTER)
            changed()

        handlers: dict[int, Callable[..., object]] = {
            signal.SIGTERM: _end,
            signal.SIGHUP: _end,
            signal.SIGTSTP: stop,
            signal.SIGWINCH: lambda *_: changed(),
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
        try:
            self._write(_ENTER)
            yield
        finally:
            for number in (signal.SIGINT, *handlers):
                signal.signal(number, signal.SIG_IGN)
            self._write(_LEAVE)

    def draw(self, lines: Sequence[str]) -> None:
        """These from the top, and nothing below them."""
        drawn = "\r\n".join(f"{_CLEAR_LINE}{line}" for line in lines)
        self._write(f"{_HOME}{drawn}{_CLEAR_BELOW}")

    def _write(self, text: str) -> None:
        """At once, and not through ``sys.stdout``, which does not let a signal write in between."""
        data = text.encode(sys.stdout.encoding, "replace")
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
