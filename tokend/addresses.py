"""Addresses of the internet, as they are compared and counted."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# What one customer of a provider has of IPv6. https://www.rfc-editor.org/rfc/rfc6177
_SITE_BITS = 64


def address(text: str) -> Address:
    """An IPv4 address is the same where it is written as one of IPv6. Raises ``ValueError``."""
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def neighbourhood(found: Address) -> Address | Network:
    """What counts as one where many come: of IPv6 anybody has as many addresses as they like."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    return ipaddress.IPv6Network((found.packed, _SITE_BITS), strict=False)
