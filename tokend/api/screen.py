"""What is looked at in every request, before anybody asks who sent it."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, HttpVersion11, web

from tokend.api.source import Proxies, is_unix
from tokend.errors import Forbidden, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler

# No user, no more than one port: two programs would read that differently.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class Screen:
    """*hosts* are the names tokend goes by, beside localhost and its addresses."""

    def __init__(self, *, hosts: Iterable[str] = (), proxies: Proxies) -> None:
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self.proxies = proxies

    @web.middleware
    async def look(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises ``Malformed``, ``Forbidden`` or ``Proxied``."""
        _refuse_forms(request)
        self.proxies.look(request)
        self._refuse_browsers(request)
        return await handler(request)

    def _refuse_browsers(self, request: web.Request) -> None:
        """A web page must not reach tokend through somebody's browser on this host.

        Browsers send Origin with what scripts ask for, and a rebound DNS name in Host. Those that
        leave Host away speak HTTP/1.0, as health checks do and browsers do not.
        """
        if "Origin" in request.headers:
            raise Forbidden("tokend does not answer web pages")
        host = request.headers.get("Host")
        if host is None or is_unix(request.transport):
            return
        if not self._is_own(host):
            raise Forbidden("the Host header is neither an address nor in server.allowed_hosts")

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].removesuffix(".").lower()
        return name in self._hosts or _is_address(name)


def _refuse_forms(request: web.Request) -> None:
    """What the parser lets through, and a server such as this one has no use for."""
    if request.version not in (HttpVersion10, HttpVersion11):
        raise Malformed("HTTP/1.1 and HTTP/1.0 are spoken here")
    if not request.raw_path.startswith("/"):
        raise Malformed("the target of a request is a path: tokend is nobody's proxy")
    coding = request.headers.get("Transfer-Encoding", "chunked").lower()
    if coding != "chunked":
        raise Malformed("of transfer codings there is chunked, and no other")


def _is_address(name: str) -> bool:
    """Of IPv6 in brackets, of IPv4 as four numbers: what else names one may be a DNS name too."""
    family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
    try:
        socket.inet_pton(family, name.strip("[]"))
    except OSError:
        return False
    return True
