"""The life of a key's tokens as a line: the one before, this one, the next one, and where they
overlap. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from tokend.model import ACCESS_TOKEN, Platform
from tokend.policy import NO_TIME, OVERLAP

if TYPE_CHECKING:
    from tokend.model import Status, TokenKey

# As long as WeChat ever gives.
LIFE = timedelta(hours=2)

_MARGIN = 2 * OVERLAP


class Span(NamedTuple):
    """From when to when; of now, negative where that is past."""

    begin: timedelta
    end: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeLine:
    """*shown* is what the others are cut to. None is what is not there, or not in it. In *overlap*
    the token and the *next* one are both accepted.
    """

    shown: Span
    before: Span | None
    token: Span | None
    overlap: Span | None
    next: Span | None
    refresh: timedelta

    def at(self, when: timedelta) -> float:
        """Where that is, from 0 at the beginning to 1 at the end."""
        begin, end = self.shown
        return min(max((when - begin) / (end - begin), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Beginning:
    """How long ago the token came, and if it took another one's place."""

    ago: timedelta
    replaced: bool


def life_line(status: Status, beginning: Beginning | None) -> LifeLine:
    """A token whose *beginning* is not known is taken to have got a whole life."""
    refresh, left = status.next_refresh_in, status.expires_in
    has_token = status.token is not None
    began = _began(left, beginning) if has_token else NO_TIME
    last = max(left, refresh) if has_token else refresh
    shown = Span(max(began, -LIFE) - _MARGIN, min(max(last, NO_TIME), LIFE) + _MARGIN)
    honoured = _honoured(status.key)
    had_one_before = has_token and beginning is not None and beginning.replaced
    return LifeLine(
        shown=shown,
        before=_cut(Span(shown.begin, began + honoured), shown) if had_one_before else None,
        token=_cut(Span(began, left), shown) if has_token else None,
        overlap=_cut(Span(refresh, min(left, refresh + honoured)), shown) if has_token else None,
        next=_cut(Span(refresh, shown.end), shown),
        refresh=refresh,
    )


def _began(left: timedelta, beginning: Beginning | None) -> timedelta:
    return min(left - LIFE, NO_TIME) if beginning is None else -beginning.ago


def _honoured(key: TokenKey) -> timedelta:
    """How long the old one is accepted beside the new one. WeCom gives the next one when the last
    has ended, and of tickets it is not told.
    """
    overlaps = key.platform is Platform.OFFICIAL and key.kind == ACCESS_TOKEN
    return OVERLAP if overlaps else NO_TIME


def _cut(span: Span, shown: Span) -> Span | None:
    cut = Span(max(span.begin, shown.begin), min(span.end, shown.end))
    return cut if cut.begin < cut.end else None
