"""Where a caller is, and the lists on which an owner names who may call."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address


def address(caller: str) -> Address:
    """A dual-stack socket shows IPv4 callers as ``::ffff:1.2.3.4``."""
    shown = ip_address(caller)
    mapped = shown.ipv4_mapped if isinstance(shown, IPv6Address) else None
    return mapped or shown


def is_listed(caller: Address, entries: Iterable[str]) -> bool:
    """https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist.html."""
    networks = (entry.replace(".*", ".0/24") for entry in entries)
    return any(caller in ip_network(network, strict=False) for network in networks)
