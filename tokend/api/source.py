"""Where a request comes from: the address at the other end, or the one that a proxy names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tokend.addresses import address
from tokend.errors import Proxied

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from tokend.addresses import Address, Network

# Somebody else stands between the caller and tokend. It may be an open one, made to fetch a token:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
_MARKS = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP")

_NAMED = web.RequestKey("named", str)


def is_unix(transport: asyncio.BaseTransport | None) -> bool:
    """Tell if this is a connection of the Unix socket."""
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)


def peer(transport: asyncio.BaseTransport | None) -> Address | None:
    """Who is at the other end; None at the Unix socket, and where nobody is there any more."""
    name = transport.get_extra_info("peername") if transport else None
    return address(name[0]) if isinstance(name, tuple) else None


def remote(request: web.Request) -> str:
    """Who asks, for logs and limits: whom a proxy named, or who is at the other end."""
    return request.get(_NAMED) or request.remote or "gone"


class Proxies:
    """Those in front of tokend, by the networks they are in; none, if none are configured."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def __contains__(self, found: Address) -> bool:
        return any(found in network for network in self._networks)

    def look(self, request: web.Request) -> None:
        """Note whom one of these names. Raises ``Proxied`` for what others have passed on.

        On the Unix socket by any: whoever may open that may do everything, and those behind a
        proxy may not.
        """
        marks = [mark for mark in _MARKS if mark in request.headers]
        if marks and not self._is_behind(request):
            raise Proxied(f"{marks[0]}: this request was passed on by a proxy that is not known")
        if marks:
            request[_NAMED] = str(self.source(request))

    def source(self, request: web.Request) -> Address | None:
        """The last address that is no proxy's, for limits and logs; None at the Unix socket.

        Each proxy adds to X-Forwarded-For whom it was asked by; what stands before that anybody
        may have written.
        """
        source = peer(request.transport)
        hops = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        while source is not None and source in self and hops:
            try:
                source = address(hops.pop().strip())
            except ValueError:
                break
        return source

    def _is_behind(self, request: web.Request) -> bool:
        found = peer(request.transport)
        return found is not None and found in self
