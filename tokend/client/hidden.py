"""Text that does not show itself."""

from __future__ import annotations


class Hidden(str):
    """What error trackers, which record the repr of every local, do not get to see."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"
