"""What this process keeps from others on its host: its memory, and what it leaves behind.

https://man7.org/linux/man-pages/man2/pr_set_dumpable.2const.html
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4
_STANDARD_STREAMS = (0, 1, 2)
_NONE = (0, 0)


def close_to_others() -> list[str]:
    """No core, no ptrace by others of the same user, no file that others may read. Says what could
    not be had.

    To be done before secrets are read. The files in ``/proc/<pid>`` are root's from then on, so
    that debuggers and profilers take root; signals and systemd's watchdog work as ever.
    """
    os.umask(0o077)
    return [*_leave_no_core(), *_hide_memory()]


def give_back_memory() -> None:
    """What was taken to begin with, and is not needed to go on: glibc keeps it otherwise.

    https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and needs none
    if trim:
        trim(0)


def fill_standard_streams() -> None:
    """Where one is closed the next socket would get its number, and be written to as if it were."""
    for fd in _STANDARD_STREAMS:
        with suppress(OSError):
            os.fstat(fd)
            continue
        os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _leave_no_core() -> list[str]:
    """Where systemd has seen to that already, its sandbox does not let us."""
    try:
        if resource.getrlimit(resource.RLIMIT_CORE) != _NONE:
            resource.setrlimit(resource.RLIMIT_CORE, _NONE)
    except (OSError, ValueError) as error:
        return [f"a core may be left, with secrets in it: {error}"]
    return []


def _hide_memory() -> list[str]:
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        return []
    reason = os.strerror(ctypes.get_errno())
    return [f"other programs of this user can read the memory: PR_SET_DUMPABLE: {reason}"]
