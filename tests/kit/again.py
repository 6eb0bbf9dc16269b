"""A client that asks each GET twice on one connection, and takes the second answer.

So what a suite holds of answers is held of those that are given again (``tokend.api.repeats``).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client import _RequestContextManager
from yarl import URL

from kit.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web


class Again:
    """Like aiohttp's TestClient, as far as suites use that."""

    def __init__(self, session: aiohttp.ClientSession, base: URL) -> None:
        self.session = session
        self._base = base

    def make_url(self, path: str) -> URL:
        return self._base.join(URL(path))

    def request(self, method: str, path: str, **more: Any) -> _RequestContextManager:
        return _RequestContextManager(self._ask(method, path, **more))

    def get(self, path: str, **more: Any) -> _RequestContextManager:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> _RequestContextManager:
        return self.request("POST", path, **more)

    async def _ask(self, method: str, path: str, **more: Any) -> aiohttp.ClientResponse:
        url = self.make_url(path)
        if method == "GET":
            async with self.session.request(method, url, **more) as first:
                await first.read()
        return await self.session.request(method, url, **more)


@asynccontextmanager
async def asked_again(app: web.Application, folder: Path) -> AsyncIterator[Again]:
    """*app* behind its doors."""
    own = folder / "again"
    own.mkdir(exist_ok=True)
    async with (
        served(app, own) as where,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        yield Again(session, URL(f"http://127.0.0.1:{where.tcp}"))
