"""``GET /metrics``: all there is to tell Prometheus."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import generate_latest

from tokend.errors import Crowded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokend.api.access import Access
    from tokend.metrics.counts import Counts
    from tokend.metrics.keys import Keys
    from tokend.model import Client

_HEADERS = {
    "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
    "Cache-Control": "no-store",
}

# Of very many keys a scrape takes seconds; two of Prometheus are usual, and somebody who looks.
_MOST_AT_ONCE = 4
_RETRY_AFTER = timedelta(seconds=5)


class Scrape:
    """*counts*, and how *keys* are. Whoever may see the status gets those of their apps; if it
    *is_open*, everybody gets all.
    """

    def __init__(self, counts: Counts, keys: Keys, access: Access, *, is_open: bool) -> None:
        self._counts = counts
        self._keys = keys
        self._access = access
        self._is_open = is_open
        self._under_way = 0

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/metrics", self.handle, allow_head=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        client = self._client(request)
        response = web.StreamResponse(headers=_HEADERS)
        with self._turn(), suppress(ConnectionError):
            await response.prepare(request)
            await response.write(generate_latest(self._counts.registry))
            async for page in self._keys.pages(client):
                await response.write(page)
        return response

    def _client(self, request: web.Request) -> Client | None:
        """None may see all. Raises ``Unauthorized`` or ``Forbidden``."""
        return None if self._is_open else self._access.watcher(request)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._under_way >= _MOST_AT_ONCE:
            raise Crowded("as many scrapes are under way as may be", retry_after=_RETRY_AFTER)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
