"""What those who cannot be told apart are counted under."""

from __future__ import annotations

import ipaddress

# A subscriber of IPv6 has a whole network of this size.
_SUBSCRIBER = 64


def source(where: str) -> str:
    """Of an address itself, or its network; of a process at the Unix socket its user."""
    try:
        ip = ipaddress.ip_address(where.partition("%")[0])
    except ValueError:
        return where.partition(" ")[0]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _SUBSCRIBER), strict=False))
