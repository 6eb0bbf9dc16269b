"""A life line as SVG. It has no words in it: those stand beside it, and grow with the reader's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.page.html import Html, element

if TYPE_CHECKING:
    from tokend.page.line import LifeLine, Span

_WIDTH = 1000
_HEIGHT = 40

# What is drawn, from top to bottom.
_UPPER, _LOWER = (6, 12), (22, 12)


def drawn(line: LifeLine, *, label: str, lasts: float) -> Html:
    """*label* is for those who do not see it; what is shown of it *lasts* so many seconds, by which
    the script moves the mark of now.
    """
    begin, end = line.shown
    now, refresh = (f"{_x(line.at(when)):.1f}" for when in (begin - begin, line.refresh))
    return element(
        "svg",
        _bar(line, line.before, "before", _UPPER),
        _bar(line, line.token, "token", _LOWER),
        _bar(line, line.next, "next", _UPPER),
        _bar(line, line.overlap, "overlap", (0, _HEIGHT)),
        _mark(refresh, "refresh"),
        _mark(now, "now", data_moves=f"{_WIDTH / lasts:.4f}" if end > begin else None),
        class_="line",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _bar(line: LifeLine, span: Span | None, kind: str, lane: tuple[int, int]) -> Html:
    if span is None:
        return Html()
    begin, end = _x(line.at(span.begin)), _x(line.at(span.end))
    top, height = lane
    return element(
        "rect",
        class_=kind,
        x=f"{begin:.1f}",
        y=top,
        width=f"{end - begin:.1f}",
        height=height,
    )


def _mark(x: str, kind: str, data_moves: str | None = None) -> Html:
    return element(
        "line", class_=kind, x1=x, x2=x, y1=0, y2=_HEIGHT, data_at=x, data_moves=data_moves
    )


def _x(part: float) -> float:
    return part * _WIDTH
