"""``GET /status``, and the files that go with it."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.api import listing
from tokend.api.problems import refused
from tokend.errors import Unauthorized
from tokend.model import Permission
from tokend.page.census import AT_ONCE, Census
from tokend.page.row import Speaker, row
from tokend.page.view import View, page
from tokend.page.wanted import Wanted
from tokend.page.words import speaking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tokend.api.access import Access
    from tokend.api.routes import Configuration
    from tokend.chronicle import Chronicle
    from tokend.clock import Clock
    from tokend.follower import Follower
    from tokend.keeper import Keeper
    from tokend.model import Client, TokenKey
    from tokend.page.census import Count
    from tokend.page.html import Html
    from tokend.terms import Terms

_KEYS_A_PAGE = 100

# So many are written in a few milliseconds.
_ROWS_AT_ONCE = 10

# A page that shows what others wrote, beside a button that does something: nothing but our own
# files runs in it, it is in nobody's frame, and tells nobody where it is.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_FILES = {
    "page.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}


class StatusPage:
    """Of *keepers*, whose *names* are in order."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        access: Access,
        clock: Clock,
        *,
        names: Callable[[], Sequence[str]],
        chronicle: Chronicle,
        follower: Follower,
        configuration: Configuration,
        terms: Terms,
    ) -> None:
        self._keepers = keepers
        self._access = access
        self._clock = clock
        self._names = names
        self._chronicle = chronicle
        self._follower = follower
        self._configuration = configuration
        self._terms = terms
        self._census = Census(keepers, clock)
        folder = resources.files("tokend.page")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _FILES}

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/status", self.status)
        router.add_get("/status/{file}", self.file)

    async def status(self, request: web.Request) -> web.Response:
        """The page. A browser that has no client key asks its user for one."""
        try:
            client = self._access.watcher(request)
        except Unauthorized as error:
            response = refused(request, error)
            response.headers["WWW-Authenticate"] = 'Basic realm="tokend", charset="UTF-8"'
            return response
        text = await self._page(client, Wanted.of(request))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def file(self, request: web.Request) -> web.Response:
        """What the page is made of; there is nothing to hide in it."""
        name = request.match_info["file"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name], content_type=_FILES[name], charset="utf-8", headers=_HEADERS
        )

    async def _page(self, client: Client, wanted: Wanted) -> str:
        count = await self._census.take(listing.of_client(self._names(), client), client.apps)
        names = await _found(count, wanted)
        begin = (wanted.number - 1) * _KEYS_A_PAGE
        say = speaking(wanted.language)
        by = Speaker(say=say, language=wanted.language, clock=self._clock, daily=self._terms.daily)
        view = View(
            wanted=wanted,
            say=say,
            numbers={group: len(each) for group, each in count.names.items()},
            rows=await self._rows(names[begin : begin + _KEYS_A_PAGE], client, by),
            pages=-(-len(names) // _KEYS_A_PAGE),
            mistakes=self._configuration.mistakes,
            store_trouble=self._follower.trouble,
            terms=self._terms,
        )
        return page(view)

    async def _rows(self, names: Sequence[str], client: Client, by: Speaker) -> list[Html]:
        keepers = [self._keepers[name] for name in names if name in self._keepers]
        events = self._chronicle.of([keeper.key for keeper in keepers])
        rows: list[Html] = []
        for keeper in keepers:
            rows.append(
                row(
                    keeper.status(),
                    events[keeper.key],
                    spent=keeper.spent,
                    can_force=_can_force(client, keeper.key),
                    by=by,
                )
            )
            if len(rows) % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return rows


def _can_force(client: Client, key: TokenKey) -> bool:
    """As ``POST …/refresh`` has it."""
    return client.sees_tokens and client.may(Permission.FORCE, key.app)


async def _found(count: Count, wanted: Wanted) -> Sequence[str]:
    """The names that are wanted, those in the worst groups first."""
    groups = [wanted.group] if wanted.group else list(count.names)
    names = [name for group in groups for name in count.names[group]]
    if not wanted.search:
        return names
    found: list[str] = []
    for begin in range(0, len(names), AT_ONCE):
        found += [name for name in names[begin : begin + AT_ONCE] if wanted.search in name.lower()]
        await asyncio.sleep(0)
    return found
