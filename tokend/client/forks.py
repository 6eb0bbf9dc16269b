"""What a client has in each process: a forked child begins anew, with what its parent knew."""

from __future__ import annotations

import os
from typing import Protocol, Self, TypeVar


class Forkable(Protocol):
    def child(self) -> Self:
        """What a forked child begins with. Threads that come first at once may make several."""

    def leave(self) -> None:
        """Called once in the child, on what is the parent's."""


T = TypeVar("T", bound=Forkable)


class ByProcess(dict[int, T]):
    """By the number of the process: uWSGI forks, and calls nothing of ``os.register_at_fork``.

    No lock, because a parent's thread may hold it in the moment of the fork.
    """

    def __init__(self, first: T) -> None:
        super().__init__({os.getpid(): first})

    def __missing__(self, pid: int) -> T:
        parent = next(iter(self.values()))
        child = parent.child()
        mine = self.setdefault(pid, child)
        if mine is child:
            for other in list(self):
                if other != pid:
                    self.pop(other, None)
            parent.leave()
        return mine
