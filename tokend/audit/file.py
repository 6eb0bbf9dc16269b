"""A file that the audit trail is appended to, by a thread: a disk that is full or hangs keeps
nobody waiting.

It is made with mode 0600. What could not be written is counted, and told of when it can be again.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger()

# Lines that wait for the disk: a few megabytes.
_MOST_WAITING = 10_000

_LAST_LINES_SECONDS = 2.0

# Opening does not wait either, should it be a pipe that nobody reads.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class AuditFile:
    """At *path*; none, if that is empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._is_moved = False
        self._is_torn = False
        self._is_failing = False
        # All that ever were. The first is counted by those who write, the others by the thread.
        self._overflown = self._unwritten = self._told = 0
        self._fd: int | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write, until left; then what still waits, if that takes no more than two seconds."""
        thread = threading.Thread(target=self._run, name="audit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=_LAST_LINES_SECONDS)
            thread.join(_LAST_LINES_SECONDS)

    def write(self, line: str) -> None:
        """Never waits, never raises."""
        if not self._path:
            return
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._overflown += 1

    def move(self, path: str) -> None:
        """From the next line on to *path*, also where that is the same name of another file."""
        self._path, self._is_moved = path, True

    # In the thread

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._append(line)
            self._waiting.task_done()
        self._close()

    def _append(self, line: str) -> None:
        if self._is_moved:
            self._is_moved = False
            self._close()
        try:
            self._put(f"{line}\n")
        except OSError as error:
            self._unwritten += 1
            self._fail(error)
        else:
            self._recover()

    def _put(self, text: str) -> None:
        """All of it, or raise. What a full disk has torn is ended first."""
        if self._fd is None:
            self._fd = os.open(self._path, _APPEND, 0o600)
        content = f"\n{text}".encode() if self._is_torn else text.encode()
        written = os.write(self._fd, content)
        self._is_torn = written < len(content)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fail(self, error: OSError) -> None:
        self._close()
        if not self._is_failing:
            log.error(
                "audit_not_written",
                file=self._path,
                error=error.strerror,
                advice="mend log.audit_file, or what it is on; the log has these lines, too",
            )
        self._is_failing = True

    def _recover(self) -> None:
        """Say in the file, too, that something is missing there."""
        lost = self._unwritten + self._overflown
        if lost == self._told:
            return
        with suppress(OSError):
            self._put(json.dumps({"what": "lost", "times": lost - self._told}) + "\n")
            log.warning("audit_written_again", file=self._path, lost=lost - self._told)
            self._is_failing, self._told = False, lost

    def _close(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)
        self._fd = None
