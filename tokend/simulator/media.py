"""Files: what is left of those that come in, and those that go out, made as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not a power of two: pieces that go missing or change places are seen.
PATTERN = bytes(range(251))
_PIECE = len(PATTERN) * 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What is remembered of a file that came in."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """*size* bytes that go out: *pattern* over and over, cut off at the end."""

    content_type: str
    size: int
    pattern: bytes = PATTERN

    def pieces(self) -> Iterator[bytes]:
        piece = self.pattern * max(1, _PIECE // len(self.pattern))
        for start in range(0, self.size, len(piece)):
            yield piece[: self.size - start]


# What WeChat answers: JSON, or a file.
Answer: TypeAlias = dict[str, Any] | File
