"""If what is stored lasts: a token that is lost has to be fetched again, and ends another's life.

What is stored there is read and not touched. SQLite is tried on a scratch file in the same folder:
opening the real one to write could make it, and then it would belong to whoever ran the check.
"""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokend.checkup import seals
from tokend.checkup.files import giving, making, user
from tokend.errors import StoreError
from tokend.findings import Finding, Verdict
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.opening import open_store
from tokend.store.sqlite import open_table

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.config import Config

_SUBJECT = "store"
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = {"tmpfs", "ramfs"}
_FULL = 2


async def examine(config: Config, clock: Clock) -> list[Finding]:
    """What is to say about the store that ``store.url`` names."""
    parts = urlsplit(config.store.url)
    if parts.scheme == "memory":
        advice = "set store.url to sqlite:///var/lib/tokend/tokend.db, or to a Redis"
        kept = "token, session and user" if config.login.enabled else "token"
        text = f"store.url: memory: forgets every {kept} when tokend ends"
        return [Finding(Verdict.WARNING, _SUBJECT, text, advice)]
    if parts.scheme == "sqlite":
        return await _sqlite(Path(parts.path), config, clock)
    return await _redis(config, clock)


async def _redis(config: Config, clock: Clock) -> list[Finding]:
    text = f"store.url: {config.store.url}"
    try:
        opened = open_store(
            config.store.url, clock, config.store_login, config.store_mirror, config.store_seals
        )
        async with opened as store:
            reachable = Finding(Verdict.OK, _SUBJECT, f"{text}: reachable")
            found = await store.examine(config.keys)
            return [reachable, *found, *await seals.examine(store, config)]
    except StoreError as error:
        advice = "start it, or correct [store]"
        return [Finding(Verdict.BAD, _SUBJECT, f"{text}: {error}", advice)]


async def _sqlite(path: Path, config: Config, clock: Clock) -> list[Finding]:
    place = f"store.url: {path.parent}"
    try:
        journal, synchronous = await _try_sqlite(path.parent)
    except (OSError, StoreError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        advice = _advice(error, path.parent)
        return [Finding(Verdict.BAD, _SUBJECT, f"{place}: {reason}", advice)]
    found = [_lasting(place, path.parent), _durable(place, journal, synchronous)]
    return [*found, *_existing(path), *await _content(path, config, clock)]


async def _try_sqlite(folder: Path) -> tuple[str, int]:
    """Let the store make a database in *folder*; its journal_mode and synchronous."""
    with TemporaryDirectory(prefix=".tokend-doctor-", dir=folder) as scratch:
        async with open_table(Path(scratch) / "scratch.db") as table:
            return await table.durability()


def _advice(error: Exception, folder: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return making(folder)
    if isinstance(error, PermissionError):
        return giving(folder)
    return f"make room there, or choose another store.url: df {quote(str(folder))}"


def _lasting(place: str, folder: Path) -> Finding:
    kind = _file_system(folder)
    if kind in _IN_MEMORY:
        text = f"{place}: is on a {kind}, which forgets everything when the host restarts"
        advice = "set store.url to a path on a disk, such as sqlite:///var/lib/tokend/tokend.db"
        return Finding(Verdict.WARNING, _SUBJECT, text, advice)
    return Finding(Verdict.OK, _SUBJECT, f"{place}: can be written")


def _durable(place: str, journal: str, synchronous: int) -> Finding:
    if (journal, synchronous) == ("wal", _FULL):
        text = f"{place}: SQLite keeps what is written there (journal_mode wal, synchronous full)"
        return Finding(Verdict.OK, _SUBJECT, text)
    text = f"{place}: SQLite writes with journal_mode {journal}, synchronous {synchronous}"
    advice = "put the store on a local file system: WAL and the locks of SQLite need one"
    return Finding(Verdict.WARNING, _SUBJECT, text, advice)


def _existing(path: Path) -> list[Finding]:
    if not os.access(path, os.F_OK) or os.access(path, os.R_OK | os.W_OK):
        return []
    text = f"store.url: {path}: {user()} may not read and write it"
    return [Finding(Verdict.BAD, _SUBJECT, text, giving(path))]


async def _content(path: Path, config: Config, clock: Clock) -> list[Finding]:
    """Of the real one, if it is there and can be read."""
    if not os.access(path, os.R_OK):
        return await seals.examine(LocalStore(MemoryTable(), clock), config)
    try:
        async with open_table(path, read_only=True) as table:
            return await seals.examine(LocalStore(table, clock), config)
    except StoreError as error:
        advice = f"mend it, or take it away: mv {quote(str(path))} {quote(str(path))}.bad"
        return [Finding(Verdict.BAD, _SUBJECT, str(error), advice)]


def _file_system(folder: Path) -> str:
    """Its type, such as ext4; empty where the kernel does not tell.

    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = _MOUNTS.read_text().splitlines() if _MOUNTS.exists() else []
    for mount in mounts:
        head, _, tail = mount.partition(" - ")
        if head.split()[2] == number:
            return tail.split()[0]
    return ""
