"""systemd: what it hands over, and what it is told. Without it nothing is, and all else works.

The protocols: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html and, for
sockets, sd_listen_fds.html beside it.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

log = structlog.get_logger()

_FIRST_FD = 3
# systemd drops what does not fit into 4096 bytes, fields of a message together.
_LONGEST_STATUS = 2000

# How a line says its priority: https://www.freedesktop.org/software/systemd/man/sd-daemon.html
PREFIXES = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}


class Systemd:
    """The service manager that started this process, if one did.

    Nothing here raises but the constructor: one that does not listen harms nobody who is served.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take what *environ* says out of it: it is said to this process, not to its children.

        Raises ``ValueError`` where sockets were passed and are none.
        """
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        self._status = ""
        self._is_deaf = False
        self.sockets = tuple(_passed(environ))

    @property
    def listens(self) -> bool:
        """Tell if there is anybody to tell."""
        return bool(self._address)

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog. systemd kills a process with ``WatchdogSec=`` that does not."""
        self._tell("WATCHDOG=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.ready()

    def status(self, text: str) -> None:
        """Show *text* in ``systemctl status``."""
        if text != self._status:
            self._status = text
            line = " ".join(text.split())[:_LONGEST_STATUS]
            self._tell(f"STATUS={line}")

    def _tell(self, *fields: str) -> None:
        if not self.listens:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # noqa: FBT003, its only parameter
                sock.sendto("\n".join(fields).encode(), self._address)
        except OSError as error:
            if not self._is_deaf:
                log.warning("systemd_does_not_listen", error=str(error))
            self._is_deaf = True
        else:
            self._is_deaf = False


def is_journal(stream: TextIO) -> bool:
    """Tell if what is written to *stream* goes to the journal, which reads ``PREFIXES``."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _address(path: str) -> str:
    """A leading @ stands for the abstract namespace, as in ss(8)."""
    return f"\0{path[1:]}" if path.startswith("@") else path


def _passed(environ: MutableMapping[str, str]) -> Iterator[socket.socket]:
    pid, number = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not (number.isascii() and number.isdigit()):
        return
    for fd in range(_FIRST_FD, _FIRST_FD + int(number)):
        yield _listening(fd)


def _listening(fd: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=fd)
        is_listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ValueError(f"LISTEN_FDS: file descriptor {fd}: {error.strerror}") from None
    if passed.type is not socket.SOCK_STREAM or not is_listening:
        passed.detach()
        raise ValueError(f"LISTEN_FDS: file descriptor {fd}: not a listening stream socket")
    passed.set_inheritable(False)
    return passed
