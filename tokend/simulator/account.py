"""One account as WeChat knows it."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import InitVar, dataclass, field
from datetime import timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from typing import TYPE_CHECKING

from tokend.simulator.credential import Pool
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

# The manual says "a day"; where it begins is not told. WeChat lives by Beijing's clock.
_BEIJING = timezone(timedelta(hours=8))
_BASE64URL = string.ascii_letters + string.digits + "-_"
_PREFIX = "92_"  # grows over the years: 8_ in 2018, 53_ in 2022, 90_ in 2025


@dataclass(kw_only=True)
class Account:
    """What its owner can set, and what WeChat counts. Settings may change while the world runs.

    *ip_whitelist* holds ``1.2.3.4``, ``1.2.3.0/24`` or ``1.2.3.*``; empty means everybody.
    *administrator* is the errcode of a confirmation that is asked for or was refused (89503,
    89506, 89507); 0 means none.

    Quotas: https://developers.weixin.qq.com/doc/service/Message_Management/API_Call_Limits.html
    """

    appid: str
    secret: str = field(repr=False)
    random: InitVar[Random]
    ip_whitelist: tuple[str, ...] = ()
    frozen: bool = False
    administrator: int = 0
    daily_tokens: int = 2000
    daily_stable: int = 500_000
    daily_forced: int = 20
    minutely_stable: int = 10_000
    token_length: int = 136
    classic: Pool = field(init=False, repr=False)
    stable: Pool = field(init=False, repr=False)
    tickets: dict[str, Pool] = field(init=False, repr=False)
    forced_at: datetime | None = field(init=False, default=None)
    _random: Random = field(init=False, repr=False)
    _used: Counter[tuple[str, str]] = field(init=False, default_factory=Counter, repr=False)

    def __post_init__(self, random: Random) -> None:
        # Two accounts given the same seed would else name their tokens alike.
        self._random = Random(f"{self.appid} {random.getrandbits(64)}")
        self.classic = Pool(self._name)
        self.stable = Pool(self._name)
        self.tickets = {"jsapi": Pool(self._name), "wx_card": Pool(self._name)}

    def admit(self, secret: object, caller: str) -> None:
        """Who knows the secret, from an address that the owner allows."""
        if secret != self.secret:
            raise Refusal(40125, "invalid appsecret")
        if self.frozen:
            raise Refusal(40243, "invalid appsecret, it is frozen")
        self._admit_address(_address(caller))
        if self.administrator:
            raise Refusal(self.administrator, "this call needs the administrator's confirmation")

    def count_token(self, now: datetime) -> None:
        self._count("token", now, self.daily_tokens)

    def count_stable(self, now: datetime) -> None:
        self._count_in_minute("stable_token", now, self.minutely_stable)
        self._count("stable_token", now, self.daily_stable)

    def count_forced(self, now: datetime) -> None:
        self._count("force_refresh", now, self.daily_forced)

    def _admit_address(self, address: IPv4Address | IPv6Address) -> None:
        if self.ip_whitelist and not _is_listed(address, self.ip_whitelist):
            ipv6 = address if address.version == 6 else f"::ffff:{address}"  # noqa: PLR2004
            raise Refusal(40164, f"invalid ip {address} ipv6 {ipv6}, not in whitelist")

    def _count(self, what: str, now: datetime, limit: int) -> None:
        day = f"{now.astimezone(_BEIJING):%Y-%m-%d}"
        self._use(what, day, limit, Refusal(45009, "reach max api daily quota limit"))

    def _count_in_minute(self, what: str, now: datetime, limit: int) -> None:
        minute = f"{now.astimezone(_BEIJING):%Y-%m-%d %H:%M}"
        text = "api minute-quota reach limit must slower retry next minute"
        self._use(what, minute, limit, Refusal(45011, text))

    def _use(self, what: str, window: str, limit: int, refusal: Refusal) -> None:
        if self._used[what, window] >= limit:
            raise refusal
        self._used[what, window] += 1

    def _name(self) -> str:
        text = self._random.choices(_BASE64URL, k=self.token_length - len(_PREFIX))
        return _PREFIX + "".join(text)


def _address(caller: str) -> IPv4Address | IPv6Address:
    """A dual-stack socket shows IPv4 callers as ``::ffff:1.2.3.4``."""
    address = ip_address(caller)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_listed(address: IPv4Address | IPv6Address, entries: Iterable[str]) -> bool:
    """https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist.html."""
    networks = (entry.replace(".*", ".0/24") for entry in entries)
    return any(address in ip_network(network, strict=False) for network in networks)
