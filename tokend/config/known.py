"""Files as they were read last: one that has not changed since is not read again."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_T = TypeVar("_T")

# Of two changes within one tick of a file system's clock the second leaves no trace. A file that
# was that young when it was read is therefore read again, as Git does:
# https://git-scm.com/docs/racy-git
_YOUNG_NS = 2_000_000_000

# What is made ready for a file costs more than most have in them.
_USUAL = 4096


class Stamp(NamedTuple):
    """What is another where a file has changed, or another file has taken its place.

    The time of the last change of the inode is among it: that of the content can be set back.
    """

    device: int
    inode: int
    mode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )


@dataclass(frozen=True, slots=True)
class Known(Generic[_T]):
    """What a file held; *is_settled* if its stamp alone tells that it still does."""

    stamp: Stamp
    is_settled: bool
    value: _T


class KnownFiles(Generic[_T]):
    """Looks at each file once, and reads those that are not as they were *before*."""

    def __init__(
        self,
        parse: Callable[[bytes, str], _T],
        *,
        largest: int,
        now_ns: int,
        before: Mapping[str, Known[_T]],
    ) -> None:
        """*parse* makes something of the content at a path, or raises ``ValueError``; files have
        *largest* bytes at most. It is *now_ns* by the wall clock, which file systems go by.
        """
        self.known: dict[str, Known[_T]] = {}
        self._parse = parse
        self._largest = largest
        self._settled_ns = now_ns - _YOUNG_NS
        self._before = before

    def read(self, path: str) -> Known[_T]:
        """Raises ``ValueError``, with the path."""
        known = self.known.get(path)
        if known is None:
            known = self.known[path] = self._read(path)
        return known

    def keep(self, path: str, value: _T) -> None:
        """Have this for what was read there."""
        self.known[path] = replace(self.known[path], value=value)

    def _read(self, path: str) -> Known[_T]:
        before = self._before.get(path)
        if before and before.is_settled and before.stamp == _look(path):
            return before
        stamp, content = read_regular(path, self._largest)
        last_change = max(stamp.modified_ns, stamp.changed_ns)
        return Known(stamp, last_change < self._settled_ns, self._parse(content, path))


def read_regular(path: str, largest: int) -> tuple[Stamp, bytes]:
    """A regular file of *largest* bytes at most. Raises ``ValueError``, with the path."""
    with open_regular(path) as (file, stamp):
        content = file.read(_USUAL)
        if len(content) == _USUAL:
            content += file.read(largest + 1 - _USUAL)
    if len(content) > largest:
        raise ValueError(f"{path}: larger than {largest} bytes")
    return stamp, content


@contextmanager
def open_regular(path: str) -> Iterator[tuple[BinaryIO, Stamp]]:
    """A regular file that can be read. Raises ``ValueError``, with the path."""
    _look(path)
    try:
        # Without waiting for who would write to it, should it be a FIFO by now.
        with open(path, "rb", opener=_open_at_once) as file:
            yield file, Stamp.of(os.fstat(file.fileno()))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _look(path: str) -> Stamp:
    try:
        stamp = Stamp.of(os.stat(path))  # noqa: PTH116, the same
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(stamp.mode):
        raise ValueError(f"{path}: not a regular file")
    return stamp


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
