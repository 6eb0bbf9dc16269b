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

# The page itself, or its reader's own doing.
_OWN_SITES = {"same-origin", "none"}


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
        """A web page must not reach tokend through somebody's browser, but for tokend's own.

        Browsers send Origin with what scripts ask for, and a rebound DNS name in Host. Those that
        leave Host away speak HTTP/1.0, as health checks do and browsers do not.
        """
        host = request.headers.get("Host")
        if self._is_of_another_page(request, host or ""):
            raise Forbidden("tokend does not answer web pages, but for its own")
        if host is None or is_unix(request.transport):
            return
        if not self._is_own(host):
            raise Forbidden("the Host header is neither an address nor in server.allowed_hosts")

    def _is_of_another_page(self, request: web.Request, host: str) -> bool:
        """Sec-Fetch-Site comes where the connection is trusted (https, localhost), Origin with
        whatever changes something: https://www.w3.org/TR/fetch-metadata/ . To follow a link to
        tokend is nobody's doing but the reader's.
        """
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        if origin is None:
            is_link = request.headers.get("Sec-Fetch-Mode") == "navigate"
            return site not in _OWN_SITES and not is_link
        return site not in _OWN_SITES or not self._is_own(host) or not _is_at(host, origin)

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].removesuffix(".").lower()
        return name in self._hosts or _is_address(name)


def _is_at(host: str, origin: str) -> bool:
    """Tell if *origin* is the page of *host*. A proxy in front may have ended TLS."""
    return origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


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
