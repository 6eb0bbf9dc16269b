"""The status of keys, a page at a time, in the order of their names."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tokend.api.query import parameters
from tokend.errors import BadRequest
from tokend.model import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from tokend.keeper import Keeper
    from tokend.model import Client, Status

# A page is written in one go, while readers of tokens wait: this many take some milliseconds.
_LONGEST_PAGE = 500

# So does looking for a state that few are in. A page that ends here is short, and has a next one.
_MOST_LOOKED_AT = 5000

_LIMIT_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """At most *limit* keys in one of *states*, whose names come *after* one that may be gone."""

    after: str
    limit: int
    states: frozenset[State]

    @classmethod
    def of(cls, request: web.Request) -> Wanted:
        """``?after=<key>&limit=<number>&state=<state>,…``. Raises ``BadRequest``."""
        query = parameters(request, "after", "limit", "state")
        return cls(
            after=query.get("after", ""),
            limit=_limit(query.get("limit", str(_LONGEST_PAGE))),
            states=_states(query.get("state", ",".join(State))),
        )

    def url(self, after: str) -> str:
        """Where the same is to be had from there on."""
        states = ",".join(state for state in State if state in self.states)
        return f"/v1/apps?{urlencode({'after': after, 'limit': self.limit, 'state': states})}"


def page(
    names: Sequence[str], keepers: Mapping[str, Keeper], wanted: Wanted
) -> tuple[list[Status], str | None]:
    """What is *wanted* of *names*, which are in order, and where the next page is, if any."""
    found: list[Status] = []
    last = ""
    start = bisect_right(names, wanted.after)
    for last in names[start : start + _MOST_LOOKED_AT]:
        status = keepers[last].status()
        if status.state in wanted.states:
            found.append(status)
        if len(found) == wanted.limit:
            break
    there_are_more = last and last != names[-1]
    return found, wanted.url(last) if there_are_more else None


def of_client(names: Sequence[str], client: Client) -> Sequence[str]:
    """Those of *names*, which are in order, that belong to apps of *client*."""
    if client.apps is None:
        return names
    return sorted(name for app in client.apps for name in _of_app(names, app))


def _of_app(names: Sequence[str], app: str) -> Sequence[str]:
    first = bisect_left(names, f"{app}/")
    return names[first : bisect_left(names, f"{app}0", first)]  # 0 comes after /


def _limit(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _LIMIT_DIGITS
    if not (is_number and 1 <= int(text) <= _LONGEST_PAGE):
        raise BadRequest(f"limit: must be a number from 1 to {_LONGEST_PAGE}")
    return int(text)


def _states(text: str) -> frozenset[State]:
    try:
        return frozenset(State(each) for each in text.split(","))
    except ValueError:
        raise BadRequest(f"state: must be one or more of {','.join(State)}") from None
