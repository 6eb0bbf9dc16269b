"""A real browser, without a window: Debian's Chromium, led by Playwright."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import async_playwright

from kit.sdks import node_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from playwright.async_api import Browser, Page, Route

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)

needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"
)

# Two cores are shared with others.
PATIENCE_MS = 30_000


class Visit:
    """A *page*, and what went wrong in it or went elsewhere."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.strayed: list[str] = []
        self._home = urlsplit(home).netloc
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._follow(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _follow(self, url: str) -> None:
        if urlsplit(url).netloc != self._home:
            self.strayed.append(url)

    async def faults(self) -> list[dict[str, Any]]:
        """What axe finds that keeps people out."""
        script = node_environment("axe") / "axe-core" / "axe.min.js"
        await self.page.evaluate(script.read_text())
        found = await self.page.evaluate("axe.run()")
        return [
            {"rule": each["id"], "where": [node["html"] for node in each["nodes"]]}
            for each in found["violations"]
        ]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Until left. In a container there is no sandbox for it; it sees nothing but our own pages."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visit(
    browser: Browser,
    url: str,
    *,
    instead: Mapping[str, Callable[[Route], object]] | None = None,
    **context: Any,
) -> AsyncIterator[Visit]:
    """The page at *url*, in a *context* of its own; at the end nothing has gone wrong in it. What
    is at a path of *instead* is answered so.
    """
    async with await browser.new_context(**context) as own:
        own.set_default_timeout(PATIENCE_MS)
        for path, answer in (instead or {}).items():
            await own.route(f"**{path}", answer)
        visit = Visit(await own.new_page(), url)
        await visit.page.goto(url)
        yield visit
        assert visit.complaints == []
        assert visit.strayed == []
