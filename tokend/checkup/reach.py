"""If WeChat's hosts answer, and how soon."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.errors import UpstreamError
from tokend.findings import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.wechat.transport import Transport

_SUBJECT = "reach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """How the host at *url* answered. *error* says why it did not.

    *ahead* is how far our wall clock is ahead of the host's, give or take the *duration* of the
    visit and the second that HTTP leaves out; None if the host did not tell its time.
    """

    url: str
    duration: timedelta
    ahead: timedelta | None = None
    error: UpstreamError | None = None


async def visit(urls: Sequence[str], transport: Transport, clock: Clock) -> list[Visit]:
    """All of them at once, in the order of *urls*."""
    return await asyncio.gather(*(_visit(url, transport, clock) for url in urls))


async def _visit(url: str, transport: Transport, clock: Clock) -> Visit:
    started = clock.elapsed()
    try:
        date = await transport.ask_date(url)
    except UpstreamError as error:
        return Visit(url=url, duration=clock.elapsed() - started, error=error)
    return Visit(
        url=url,
        duration=clock.elapsed() - started,
        ahead=clock.wall() - date if date else None,
    )


def is_there(visits: Iterable[Visit]) -> bool:
    """Tell if any host answered."""
    return any(not visit.error for visit in visits)


def examine(visits: Sequence[Visit], *, proxy: str) -> Iterator[Finding]:
    """A host that is away is bad if it was the last hope."""
    away = Verdict.WARNING if is_there(visits) else Verdict.BAD
    way = f" (through {proxy})" if proxy else ""
    for each in visits:
        if each.error:
            yield Finding(away, _SUBJECT, f"{each.error}{way}", _advice(each.url, proxy))
        else:
            seconds = each.duration.total_seconds()
            yield Finding(Verdict.OK, _SUBJECT, f"{each.url}: answers in {seconds:.2f} s{way}")


def _advice(url: str, proxy: str) -> str:
    if proxy:
        return f"find out why not: curl -sSI --proxy {proxy} {url}"
    return f"find out why not: curl -sSI --noproxy '*' {url}; or name a proxy in wechat.proxy"
