"""What those who cannot be told apart are counted under."""

from __future__ import annotations

from tokend.addresses import address, neighbourhood


def source(where: str) -> str:
    """Of an address itself, or its network; of a process at the Unix socket its user, by number:
    the name may not be known yet.
    """
    try:
        return str(neighbourhood(address(where.partition("%")[0])))
    except ValueError:
        return where.partition(" ")[0].partition("(")[0]
