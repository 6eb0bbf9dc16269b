"""One account as WeChat knows it."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tokend.simulator.address import address, is_listed
from tokend.simulator.credential import TICKET_LENGTH, Pool, Verdict, base64url
from tokend.simulator.phone import Phones
from tokend.simulator.refusal import MINUTELY, Refusal
from tokend.simulator.tally import Tally, day, minute

if TYPE_CHECKING:
    from datetime import datetime

_PREFIX = "92_"  # grows over the years: 8_ in 2018, 53_ in 2022, 90_ in 2025


@dataclass(kw_only=True)
class Account:
    """What its owner can set, and what WeChat counts. Settings may change while the world runs.

    *ip_whitelist* holds ``1.2.3.4``, ``1.2.3.0/24`` or ``1.2.3.*``; empty means everybody.
    *administrator* is the errcode of a confirmation that is asked for or was refused (89503,
    89506, 89507); 0 means none. Whether it is a mini-program is not asked: every account may be
    opened on *phones*.

    Quotas: https://developers.weixin.qq.com/doc/service/Message_Management/API_Call_Limits.html
    That of tickets is "very limited" and not published; 200 is the least that the manual gives
    for getting a credential, to test accounts.
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
    daily_tickets: int = 200
    token_length: int = 136
    classic: Pool = field(init=False, repr=False)
    stable: Pool = field(init=False, repr=False)
    tickets: dict[str, Pool] = field(init=False, repr=False)
    phones: Phones = field(init=False, repr=False)
    forced_at: datetime | None = field(init=False, default=None)
    _random: Random = field(init=False, repr=False)
    _used: Tally = field(init=False, default_factory=Tally, repr=False)

    def __post_init__(self, random: Random) -> None:
        # Two accounts given the same seed would else name their tokens alike.
        self._random = Random(f"{self.appid} {random.getrandbits(64)}")
        self.classic = Pool(self._name_token)
        self.stable = Pool(self._name_token)
        self.tickets = {"jsapi": Pool(self._name_ticket), "wx_card": Pool(self._name_ticket)}
        self.phones = Phones(self.appid, self._random)

    def admit(self, secret: object, caller: str) -> None:
        """Who knows the secret, from an address that the owner allows."""
        if secret != self.secret:
            raise Refusal(40125, "invalid appsecret")
        if self.frozen:
            raise Refusal(40243, "invalid appsecret, it is frozen")
        self.admit_address(caller)
        if self.administrator:
            raise Refusal(self.administrator, "this call needs the administrator's confirmation")

    def admit_address(self, caller: str) -> None:
        shown = address(caller)
        if self.ip_whitelist and not is_listed(shown, self.ip_whitelist):
            ipv6 = shown if shown.version == 6 else f"::ffff:{shown}"  # noqa: PLR2004
            raise Refusal(40164, f"invalid ip {shown} ipv6 {ipv6}, not in whitelist")

    def verdict(self, token: str, now: datetime) -> Verdict:
        """Of an access_token; tickets open nothing."""
        verdicts = (pool.verdict(token, now) for pool in (self.classic, self.stable))
        return next((each for each in verdicts if each is not Verdict.UNKNOWN), Verdict.UNKNOWN)

    def pools(self) -> dict[str, Pool]:
        """All it ever got, by endpoint, tickets by type."""
        return {"token": self.classic, "stable_token": self.stable, **self.tickets}

    def count_token(self, now: datetime) -> None:
        self._count("token", now, self.daily_tokens)

    def count_stable(self, now: datetime) -> None:
        self._count_in_minute("stable_token", now, self.minutely_stable)
        self._count("stable_token", now, self.daily_stable)

    def count_forced(self, now: datetime) -> None:
        self._count("force_refresh", now, self.daily_forced)

    def count_ticket(self, now: datetime) -> None:
        self._count("getticket", now, self.daily_tickets)

    def _count(self, what: str, now: datetime, limit: int) -> None:
        refusal = Refusal(45009, "reach max api daily quota limit")
        self._used.count(what, day(now), limit, refusal)

    def _count_in_minute(self, what: str, now: datetime, limit: int) -> None:
        self._used.count(what, minute(now), limit, Refusal(*MINUTELY))

    def _name_token(self) -> str:
        return _PREFIX + base64url(self._random, self.token_length - len(_PREFIX))

    def _name_ticket(self) -> str:
        return base64url(self._random, TICKET_LENGTH)
