"""Which core is the server's, and which is for the load."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """The same one where there is only one."""

    server: int
    load: int

    @classmethod
    def given(cls) -> Cores:
        """Of those that this process may run on, the first and the last."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(server=allowed[0], load=allowed[-1])

    @property
    def are_two(self) -> bool:
        return self.server != self.load

    def move_to_load(self) -> None:
        """This process, and all that it starts from now on; a server is moved away again."""
        os.sched_setaffinity(0, {self.load})

    def on_server(self, *command: str) -> tuple[str, ...]:
        return ("taskset", "--cpu-list", str(self.server), *command)
