"""Who may ask about the users of an app."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokend.api.access import require, throughout
from tokend.api.audited import deed_of
from tokend.errors import UnknownKey
from tokend.model import Permission, Platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from aiohttp import web

    from tokend.api.access import Access
    from tokend.model import App


class Guard:
    """By *access*; *app* is the one of a name, as it is configured now."""

    def __init__(self, access: Access, app: Callable[[str], App | None]) -> None:
        self._access = access
        self._app = app

    def allowed(self, request: web.Request) -> App:
        """The app in the path. Raises ``Unauthorized``, ``Forbidden`` or ``UnknownKey``."""
        client, deed = self._access.client(request), deed_of(request)
        name = request.match_info["app"]
        app = self._app(name)
        deed.what = Permission.LOGIN
        deed.key = name if app else ""
        require(client, Permission.LOGIN, name)
        if app is None or app.platform is not Platform.OFFICIAL:
            raise UnknownKey(f"{name}: no such mini-program")
        return app

    def throughout(self, request: web.Request) -> AbstractContextManager[App]:
        """The same, and asked again at the end."""
        return throughout(request, partial(self.allowed, request))
