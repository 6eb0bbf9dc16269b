"""The ways to WeChat and to WeCom, as they are configured."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tokend.model import Platform
from tokend.wechat.transport import open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tokend.config import Config
    from tokend.wechat.transport import Transport


def urls(config: Config) -> dict[Platform, tuple[str, ...]]:
    """Where each is, the first to be tried first."""
    return {
        Platform.OFFICIAL: (config.wechat.url, *config.wechat.fallback_urls),
        Platform.WECOM: (config.wecom.url,),
    }


@asynccontextmanager
async def open_transports(config: Config) -> AsyncIterator[dict[Platform, Transport]]:
    where, deadline, proxy = urls(config), config.wechat.timeout, config.wechat.proxy
    async with (
        open_transport(where[Platform.OFFICIAL], deadline=deadline, proxy=proxy) as official,
        open_transport(where[Platform.WECOM], deadline=deadline, proxy=proxy) as wecom,
    ):
        yield {Platform.OFFICIAL: official, Platform.WECOM: wecom}
