"""All checks, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.checkup import accounts, clock, files, listeners, reach, store
from tokend.model import Platform
from tokend.upstreams import open_transports, urls

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.clock import Clock
    from tokend.config import Config
    from tokend.findings import Finding


async def examine(path: Path, config: Config, host_clock: Clock) -> list[Finding]:
    """Everything there is to say about *config*, which was read from *path*."""
    async with open_transports(config) as transports:
        visits = [
            visit
            for platform in _platforms(config)
            for visit in await reach.visit(urls(config)[platform], transports[platform], host_clock)
        ]
        return [
            *files.examine(path, config),
            *listeners.examine(config, now=host_clock.wall()),
            *await store.examine(config, host_clock),
            *reach.examine(visits, proxy=config.wechat.proxy),
            *(await accounts.examine(config, transports) if reach.is_there(visits) else ()),
            *clock.examine(visits),
        ]


def _platforms(config: Config) -> list[Platform]:
    """Those that any account is on."""
    used = {account.app.platform for account in config.apps.values()}
    return [platform for platform in Platform if platform in used]
