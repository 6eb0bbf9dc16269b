"""Where a request comes from: the address at the other end, or the one that a proxy names."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from tokend.errors import Proxied

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from aiohttp import web

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Somebody else stands between the caller and tokend. It may be an open one, made to fetch a token:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
_MARKS = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP")

# What one customer of a provider has of IPv6. https://www.rfc-editor.org/rfc/rfc6177
_SITE_BITS = 64


def is_unix(transport: asyncio.BaseTransport | None) -> bool:
    """Tell if this is a connection of the Unix socket."""
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)


def peer(transport: asyncio.BaseTransport | None) -> Address | None:
    """Who is at the other end; None at the Unix socket, and where nobody is there any more."""
    name = transport.get_extra_info("peername") if transport else None
    return address(name[0]) if isinstance(name, tuple) else None


def address(text: str) -> Address:
    """An IPv4 address is the same where it is written as one of IPv6. Raises ``ValueError``."""
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def neighbourhood(found: Address) -> Address | Network:
    """What counts as one where many come: of IPv6 anybody has as many addresses as they like."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    return ipaddress.IPv6Network((found.packed, _SITE_BITS), strict=False)


class Proxies:
    """Those in front of tokend, by the networks they are in; none, if none are configured."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def __contains__(self, found: Address) -> bool:
        return any(found in network for network in self._networks)

    def refuse_others(self, request: web.Request) -> None:
        """Raise ``Proxied`` for what was passed on by a program that is none of these.

        On the Unix socket by any: whoever may open that may do everything, and those behind a
        proxy may not.
        """
        marks = [mark for mark in _MARKS if mark in request.headers]
        if marks and not self._is_behind(request):
            raise Proxied(f"{marks[0]}: this request was passed on by a proxy that is not known")

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
