"""``tokend get``, as scripts type it.

Reading a command line in general takes longer than getting a token. So the few forms that stand in
shell loops are read here, and whatever else there is by ``commands``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokend.cli import connection
from tokend.cli.current import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def read(arguments: list[str], environ: Mapping[str, str]) -> Callable[[], int] | None:
    """What is to be done; None if that takes more to be understood."""
    match arguments:
        case ["get", key] if not environ.get("TOKEND_URL"):
            socket = ""
        case ["get", "--socket", socket, key] | ["get", key, "--socket", socket]:
            pass
        case _:
            return None
    if key.startswith("-") or socket.startswith("-"):
        return None
    return partial(show, connection.to_socket(socket), key)
