"""Clients that a forked child has of its parent."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def after_fork(self) -> None:
        """Begin anew in the child, with what the parent knew, and nothing that it uses."""


_CLIENTS: WeakSet[Forked] = WeakSet()


def follow(client: Forked) -> None:
    """Tell *client* in each child, as long as it is there."""
    _CLIENTS.add(client)


def _tell() -> None:
    for client in list(_CLIENTS):
        client.after_fork()


os.register_at_fork(after_in_child=_tell)
