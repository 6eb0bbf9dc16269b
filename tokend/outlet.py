"""The way of log lines out of the process, which nobody has to wait for.

A pipe that is not read would stop the event loop at its next line, and a full disk raise in the
middle of a refresh. So a thread writes; what it cannot write is dropped, counted, and told of when
there is somebody to tell.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from logging import LogRecord

log = structlog.get_logger()

_MOST_BYTES = 1024 * 1024  # a few thousand lines
_LAST_SECONDS = 1.0


class Outlet(logging.Handler):
    """Writes to the file descriptor *fd*. *most_bytes* wait at most."""

    def __init__(self, fd: int, *, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__()
        self._fd = fd
        self._room = most_bytes
        self._lines: deque[bytes] = deque()
        self._changed = Condition()
        self._is_closed = False
        self._dropped = 0
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: LogRecord) -> None:
        """Never raises, and never waits."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001, a line that cannot be told of: telling why would be one
            line = b""
        with self._changed:
            if line and len(line) <= self._room:
                self._lines.append(line)
                self._room -= len(line)
                self._changed.notify_all()
            else:
                self._dropped += 1

    def flush(self) -> None:
        """Give what waits a last chance. Python does that before it ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, timeout=_LAST_SECONDS)

    def close(self) -> None:
        """What waits is still written, as far as it can be."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        super().close()

    def _run(self) -> None:
        while self._next():
            line = self._lines[0]
            is_written = self._write(line)
            with self._changed:
                self._lines.popleft()
                self._room += len(line)
                self._dropped += not is_written
                self._changed.notify_all()
            if is_written:
                self._tell_of_dropped()

    def _next(self) -> bool:
        """Wait for a line; tell if one came."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_closed)
            return bool(self._lines)

    def _write(self, line: bytes) -> bool:
        try:
            while line:
                line = line[self._write_some(line) :]
        except OSError:
            return False
        return True

    def _write_some(self, line: bytes) -> int:
        try:
            return os.write(self._fd, line)
        except BlockingIOError:  # whoever shares the pipe may have made it so
            select.select([], [self._fd], [])
            return 0

    def _tell_of_dropped(self) -> None:
        """Once all has been written that waited: then there is room for it."""
        with self._changed:
            if self._lines or not self._dropped:
                return
            dropped, self._dropped = self._dropped, 0
        log.warning("log_lines_dropped", lines=dropped)
