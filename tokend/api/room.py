"""How many connections there may be: as configured, and as the open files of the process allow."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

log = structlog.get_logger()

# Open files that no connection gets: those of the store, of a call to WeChat, of a reload; and
# what is accepted at one time, before it can be refused.
_RESERVED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """*tcp* connections in all, of which *per_address* from one address; *unix* are beside them."""

    tcp: int
    per_address: int

    @property
    def unix(self) -> int:
        """The operator gets in however many come over TCP."""
        return self.tcp // 4 or 1

    @property
    def polls(self) -> int:
        """How many may wait for the next token: a quarter of all stays for those who ask now."""
        return self.tcp * 3 // 4

    @property
    def polls_each(self) -> int:
        """How many one client may have: so that it leaves room at its address."""
        return self.per_address * 3 // 4 or 1

    @property
    def polls_at_socket(self) -> int:
        return self.unix * 3 // 4 or 1


def make_room(wanted: Room, *, files_each: int, files_beside: int = 0) -> Room:
    """*wanted*, or less where the host does not allow so many open files.

    Each connection takes *files_each*, and *files_beside* are those of something else. The soft
    limit is raised as far as it takes, as servers do.
    """
    reserved = _RESERVED + files_beside
    needed = (wanted.tcp + wanted.unix) * files_each + reserved
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _less(soft, needed):
        target = hard if _less(hard, needed) else needed
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _less(soft, needed):
        return wanted
    room = _within(wanted, soft - reserved, files_each)
    log.warning(
        "few_open_files",
        limit=soft,
        connections=room.tcp,
        advice=f"allow {needed} open files (LimitNOFILE=, ulimit -n), or lower server.connections",
    )
    return room


def _within(wanted: Room, files: int, files_each: int) -> Room:
    """To four by TCP there is one at the Unix socket."""
    tcp = max(files * 4 // (5 * files_each), 1)
    return replace(wanted, tcp=tcp, per_address=min(wanted.per_address, tcp))


def _less(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed
