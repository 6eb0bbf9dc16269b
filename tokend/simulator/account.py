"""One account as WeChat knows it."""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

from tokend.simulator.credential import Pool

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

_BEIJING = timezone(timedelta(hours=8))
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


class Refusal(Exception):
    """WeChat says no."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg


@dataclass(kw_only=True)
class Account:
    """What its owner can set, and what WeChat counts.

    *administrator* is the errcode of a pending or refused confirmation (89503, 89506, 89507).
    """

    appid: str
    secret: str
    random: Random
    ip_whitelist: tuple[str, ...] = ()
    frozen: bool = False
    administrator: int = 0
    daily_tokens: int = 2000
    daily_forced: int = 20
    token_length: int = 136
    classic: Pool = field(init=False)
    stable: Pool = field(init=False)
    tickets: dict[str, Pool] = field(init=False)
    calls: Counter[str] = field(default_factory=Counter)
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    forced_at: datetime | None = None

    def __post_init__(self) -> None:
        self.classic = Pool(self._name)
        self.stable = Pool(self._name)
        self.tickets = {"jsapi": Pool(self._name), "wx_card": Pool(self._name)}

    def pools(self) -> tuple[Pool, Pool]:
        """classic and stable tokens live apart: neither supersedes the other."""
        return self.classic, self.stable

    def admit(self, secret: str, caller: str) -> None:
        """Who knows the secret, from an address that the owner allowed."""
        if secret != self.secret:
            raise Refusal(40125, "invalid appsecret")
        if self.frozen:
            raise Refusal(40243, "AppSecret is frozen")
        if self.ip_whitelist and not self._is_listed(caller):
            raise Refusal(40164, f"invalid ip {caller} ipv6 ::ffff:{caller}, not in whitelist")
        if self.administrator:
            raise Refusal(self.administrator, "this call must be confirmed by the administrator")

    def count(self, what: str, limit: int, now: datetime) -> None:
        """One more of *what* on this day of Beijing."""
        self._count(what, f"{now.astimezone(_BEIJING):%F}", limit, 45009, _DAY_QUOTA)

    def count_in_minute(self, what: str, limit: int, now: datetime) -> None:
        self._count(what, f"{now.astimezone(_BEIJING):%F %H:%M}", limit, 45011, _MINUTE_QUOTA)

    def _count(self, what: str, window: str, limit: int, errcode: int, errmsg: str) -> None:
        if self.used[what, window] >= limit:
            raise Refusal(errcode, errmsg)
        self.used[what, window] += 1

    def _is_listed(self, caller: str) -> bool:
        address = ipaddress.ip_address(caller)
        return any(
            address in ipaddress.ip_network(entry, strict=False) for entry in self.ip_whitelist
        )

    def _name(self) -> str:
        """Like WeChat's: a number that grows over the years, and base64 for URLs."""
        text = "".join(self.random.choices(_ALPHABET, k=self.token_length - 3))
        return f"92_{text}"


_DAY_QUOTA = "reach max api daily quota limit"
_MINUTE_QUOTA = "api minute-quota reach limit must slower retry next minute"
