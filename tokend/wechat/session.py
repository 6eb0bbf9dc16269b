"""The way out, as narrow for all who take it: nothing from the environment, nothing inflated, no
cookies, and nothing sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from tokend.wechat.trouble import CONNECT_SECONDS, ask_once

if TYPE_CHECKING:
    from collections.abc import Mapping


def narrow_session(
    connector: aiohttp.TCPConnector, headers: Mapping[str, str], **more: Any
) -> aiohttp.ClientSession:
    """To be entered. Whoever asks limits the time himself, but for that of connecting; *more* is
    aiohttp's.
    """
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        auto_decompress=False,
        trust_env=False,
        middlewares=[ask_once],
        **more,
    )
