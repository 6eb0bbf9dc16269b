"""All checks, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.checkup import accounts, clock, files, reach, store
from tokend.wechat.transport import open_transport

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.clock import Clock
    from tokend.config import Config
    from tokend.findings import Finding


async def examine(path: Path, config: Config, host_clock: Clock) -> list[Finding]:
    """Everything there is to say about *config*, which was read from *path*."""
    settings = config.wechat
    urls = (settings.url, *settings.fallback_urls)
    async with open_transport(urls, deadline=settings.timeout, proxy=settings.proxy) as transport:
        visits = await reach.visit(urls, transport, host_clock)
        return [
            *files.examine(path, config),
            *await store.examine(config, host_clock),
            *reach.examine(visits, proxy=settings.proxy),
            *(await accounts.examine(config, transport) if reach.is_there(visits) else ()),
            *clock.examine(visits),
        ]
