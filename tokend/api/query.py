"""What stands behind the question mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.errors import BadRequest

if TYPE_CHECKING:
    from aiohttp import web


def parameters(request: web.Request, *known: str) -> dict[str, str]:
    """Those of *known* that are there. Raises ``BadRequest`` for another, or two of a name."""
    query = request.query
    if unknown := set(query) - set(known):
        raise BadRequest(f"{min(unknown)}: no such parameter; {_there_are(*known)}")
    if len(query) > len(set(query)):
        raise BadRequest("a parameter stands twice")
    return dict(query)


def _there_are(*known: str) -> str:
    *others, last = known
    return f"there are {', '.join(others)} and {last}" if others else f"there is {last}"
