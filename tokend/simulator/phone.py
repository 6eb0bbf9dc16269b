"""The phones on which a mini-program is opened, and what ``wx.login`` and its like give there.

https://developers.weixin.qq.com/miniprogram/dev/api/open-api/login/wx.login.html
https://developers.weixin.qq.com/miniprogram/dev/api/open-api/login/wx.checkSession.html
https://developers.weixin.qq.com/miniprogram/dev/api/open-api/user-info/wx.getUserInfo.html
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from tokend.simulator.code import INVALID, USED, Codes
from tokend.simulator.credential import base64url
from tokend.simulator.refusal import MINUTELY, Refusal
from tokend.simulator.session import SessionKey, key_value
from tokend.simulator.tally import Tally, minute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

# How long a session_key lives WeChat does not tell, only that it is longer for who comes often.
_SESSION_LIFE = timedelta(days=3)

_MINUTELY_LOGINS = 100
_MCH_ID = "1900000109"

# These WeChat still sends, and no longer fills.
_SHOWN = {"gender": 0, "language": "", "city": "", "province": "", "country": "", "avatarUrl": ""}


class NotLoggedIn(Exception):
    """A phone has nothing to encrypt with: ``wx.login`` comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a code of ``wx.login`` is given for."""

    phone: Phone
    session_key: SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An order by WeChat Pay's number, or by the merchant and his own."""

    transaction_id: str
    mch_id: str
    out_trade_no: str
    paid_at: datetime


class Phones:
    """Those on which one account is opened: a user's is there as soon as it is asked for."""

    def __init__(self, appid: str, random: Random) -> None:
        self.logins: Codes[Login] = Codes(lambda: base64url(random, 32), used=USED)
        self.numbers: Codes[Phone] = Codes(lambda: f"{random.getrandbits(256):064x}", used=INVALID)
        self._appid = appid
        self._random = random
        self._by_openid: dict[str, Phone] = {}

    def of(self, user: str) -> Phone:
        """*user* is any name."""
        phone = Phone(
            appid=self._appid,
            user=user,
            random=self._random,
            logins=self.logins,
            numbers=self.numbers,
        )
        return self._by_openid.setdefault(phone.openid, phone)

    def of_openid(self, openid: str) -> Phone | None:
        return self._by_openid.get(openid)

    def issued(self) -> Iterator[str]:
        """All session_keys there ever were."""
        return (key for phone in self._by_openid.values() for key in phone.issued)


@dataclass(kw_only=True)
class Phone:
    """A user's, as the mini-program *appid* meets it.

    *risky*: WeChat keeps this user from logging in. *bound*: the mini-program is bound to an
    account of the Open Platform, and so is told the unionid. An openid is for one user of one
    account; a unionid for one user, whatever the account. *issued* are all its session_keys.
    """

    appid: str
    user: str
    random: Random = field(repr=False)
    logins: Codes[Login] = field(repr=False)
    numbers: Codes[Phone] = field(repr=False)
    risky: bool = False
    bound: bool = True
    payments: list[Payment] = field(init=False, default_factory=list, repr=False)
    issued: list[str] = field(init=False, default_factory=list, repr=False)
    _session_key: SessionKey | None = field(init=False, default=None, repr=False)
    _used: Tally = field(init=False, default_factory=Tally, repr=False)

    @property
    def openid(self) -> str:
        return _id(f"openid {self.appid} {self.user}")

    @property
    def unionid(self) -> str:
        """Empty if WeChat does not tell it."""
        return _id(f"unionid {self.user}") if self.bound else ""

    @property
    def number(self) -> str:
        """In mainland China."""
        return f"199{Random(self.user).randrange(10**8):08}"

    # What its user does

    def login(self, now: datetime) -> str:
        """``wx.login``: a code, for a new session_key. The one before is dead at once.

        The manual says that it may be. A server that is ready for it is right in both cases.
        """
        key = SessionKey(value=key_value(self.random), expires_at=now + _SESSION_LIFE)
        self._hold(key)
        return self.logins.give(Login(phone=self, session_key=key), now)

    def check_session(self, now: datetime) -> bool:
        """``wx.checkSession``: whether the session_key of the last login lives."""
        return self.session_key(now) is not None

    def profile(self, now: datetime) -> dict[str, str]:
        """``wx.getUserInfo``: rawData, signature, encryptedData, iv. Raises ``NotLoggedIn``."""
        key = self.session_key(now)
        if key is None:
            raise NotLoggedIn("there is no session_key, or it has expired: log in first")
        shown = {"nickName": self.user, **_SHOWN}
        raw_data = _json(shown)
        iv = self.random.randbytes(16)
        return {
            "rawData": raw_data,
            "signature": key.signature(raw_data),
            "encryptedData": key.encrypt(_json(self._told(shown, now)), iv),
            "iv": b64encode(iv).decode(),
        }

    def show_number(self, now: datetime) -> str:
        """The button ``getPhoneNumber``: a code, which is no code of a login."""
        return self.numbers.give(self, now)

    def pay(self, now: datetime) -> Payment:
        """``wx.requestPayment``, to a merchant who has one number here."""
        payment = Payment(
            transaction_id=f"42{self.random.randrange(10**26):026}",
            mch_id=_MCH_ID,
            out_trade_no=f"{self.random.getrandbits(128):032x}",
            paid_at=now,
        )
        self.payments.append(payment)
        return payment

    # What WeChat does

    def session_key(self, now: datetime) -> SessionKey | None:
        """The one that lives."""
        key = self._session_key
        return key if key and key.lives(now) else None

    def reset(self, key: SessionKey) -> SessionKey:
        """Another one, with the end of *key*, in its place."""
        other = replace(key, value=key_value(self.random))
        self._hold(other)
        return other

    def expire(self, now: datetime) -> None:
        """The session_key ends early."""
        if self._session_key:
            self._session_key = replace(self._session_key, expires_at=now)

    def count_login(self, now: datetime) -> None:
        self._used.count("jscode2session", minute(now), _MINUTELY_LOGINS, Refusal(*MINUTELY))

    def _hold(self, key: SessionKey) -> None:
        self._session_key = key
        self.issued.append(key.value)

    def _told(self, shown: dict[str, Any], now: datetime) -> dict[str, Any]:
        """With what is for the mini-program's server alone."""
        union = {"unionId": self.unionid} if self.bound else {}
        watermark = {"timestamp": int(now.timestamp()), "appid": self.appid}
        return {"openId": self.openid, **shown, **union, "watermark": watermark}


def _id(whose: str) -> str:
    """As WeChat writes them; always the same."""
    return "o" + base64url(Random(whose), 27)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
