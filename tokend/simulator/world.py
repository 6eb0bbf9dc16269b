"""WeChat's rules: what is asked, what is answered. *now* is a parameter; there is no I/O.

https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
https://developers.weixin.qq.com/doc/service/Message_Management/API_Call_Limits.html
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tokend.simulator.account import Account, Refusal
from tokend.simulator.credential import OVERLAP, Credential, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from random import Random

_FORCE_PAUSE = timedelta(seconds=30)
_STABLE_A_MINUTE = 10_000
_STABLE_A_DAY = 500_000

_NOT_LATEST = (
    "invalid credential, access_token is invalid or not latest, could get access_token by "
    "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
)
_BAD_TOKENS = {
    Verdict.EXPIRED: (42001, "access_token expired"),
    Verdict.SUPERSEDED: (40001, _NOT_LATEST),
    Verdict.UNKNOWN: (40001, _NOT_LATEST),
}


class World:
    """Every account, and the ledger that tests go by."""

    def __init__(self, accounts: Iterable[Account], random: Random) -> None:
        self.accounts = {account.appid: account for account in accounts}
        self.rejected_uses = 0
        self._random = random

    # The calls. Each gives WeChat's JSON; errors are answers too.

    def token(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/token: a new token every time."""
        return self._answer(lambda: self._token(query, caller, now), now)

    def stable_token(self, body: bytes, *, caller: str, now: datetime) -> dict[str, Any]:
        """POST cgi-bin/stable_token: the same one until its last 300 s, unless forced."""
        return self._answer(lambda: self._stable_token(body, caller, now), now)

    def getticket(self, query: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/ticket/getticket."""
        return self._answer(lambda: self._ticket(query, now), now)

    def get_api_domain_ip(self, query: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/get_api_domain_ip: a business call; it takes a token while that is valid."""
        return self._answer(lambda: self._api_domain_ip(query, now), now)

    def wrong_method(self, now: datetime) -> dict[str, Any]:
        """A POST call that came as GET."""
        return self._refused(Refusal(43002, "require POST method"), now)

    # The ledger, and what happens behind tokend's back

    def is_valid(self, token: str, now: datetime) -> bool:
        return self._owner(token, now)[1] is Verdict.VALID

    def calls(self, appid: str, endpoint: str) -> int:
        """How often the endpoint was asked for this account, refused or not."""
        return self.accounts[appid].calls[endpoint]

    def rotate(self, appid: str, now: datetime) -> None:
        """Somebody else has fetched new tokens of this account."""
        for pool in self.accounts[appid].pools():
            pool.issue(now)

    def revoke(self, appid: str, now: datetime) -> None:
        """Somebody else has done so often enough that all tokens known here are dead."""
        for pool in self.accounts[appid].pools():
            pool.issue(now)
            pool.issue(now)

    # The rules

    def _token(self, query: Mapping[str, str], caller: str, now: datetime) -> dict[str, Any]:
        account = self._account(query, "token")
        self._check_form(query)
        account.admit(query["secret"], caller)
        account.count("token", account.daily_tokens, now)
        return _given(account.classic.issue(now), now)

    def _stable_token(self, body: bytes, caller: str, now: datetime) -> dict[str, Any]:
        form = _form(body)
        account = self._account(form, "stable_token")
        self._check_form(form)
        account.admit(form["secret"], caller)
        account.count_in_minute("stable_token", _STABLE_A_MINUTE, now)
        account.count("stable_token", _STABLE_A_DAY, now)
        if form.get("force_refresh") is True:
            return _given(_forced(account, now), now)
        newest = account.stable.newest(now)
        if newest is None or newest.remaining(now) < OVERLAP:
            newest = account.stable.issue(now)
        return _given(newest, now)

    def _ticket(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        account = self._authorised(query, "getticket", now)
        pool = account.tickets.get(query.get("type", "jsapi"))
        if pool is None:
            raise Refusal(40097, "invalid args")
        ticket = pool.issue(now)
        return {"errcode": 0, "errmsg": "ok", "ticket": ticket.value, "expires_in": 7200}

    def _api_domain_ip(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        self._authorised(query, "get_api_domain_ip", now)
        return {"ip_list": ["203.0.113.10", "203.0.113.11"]}

    def _account(self, form: Mapping[str, Any], endpoint: str) -> Account:
        """The appid is looked at before anything else."""
        if not form.get("appid"):
            raise Refusal(41002, "appid missing")
        account = self.accounts.get(str(form["appid"]))
        if account is None:
            raise Refusal(40013, "invalid appid")
        account.calls[endpoint] += 1
        return account

    def _check_form(self, form: Mapping[str, Any]) -> None:
        if form.get("grant_type") != "client_credential":
            raise Refusal(40002, "invalid grant_type")
        if not form.get("secret"):
            raise Refusal(41004, "appsecret missing")

    def _authorised(self, query: Mapping[str, str], endpoint: str, now: datetime) -> Account:
        token = query.get("access_token", "")
        if not token:
            raise Refusal(41001, "access_token missing")
        account, verdict = self._owner(token, now)
        if account is None or verdict is not Verdict.VALID:
            self.rejected_uses += 1
            raise Refusal(*_BAD_TOKENS[verdict])
        account.calls[endpoint] += 1
        return account

    def _owner(self, token: str, now: datetime) -> tuple[Account | None, Verdict]:
        for account in self.accounts.values():
            for pool in account.pools():
                verdict = pool.verdict(token, now)
                if verdict is not Verdict.UNKNOWN:
                    return account, verdict
        return None, Verdict.UNKNOWN

    def _answer(self, rule: Callable[[], dict[str, Any]], now: datetime) -> dict[str, Any]:
        try:
            return rule()
        except Refusal as refusal:
            return self._refused(refusal, now)

    def _refused(self, refusal: Refusal, now: datetime) -> dict[str, Any]:
        """Every errmsg ends with a request id whose first part is the time."""
        rest = f"{self._random.getrandbits(32):08x}-{self._random.getrandbits(32):08x}"
        rid = f"{int(now.timestamp()):08x}-{rest}"
        return {"errcode": refusal.errcode, "errmsg": f"{refusal.errmsg} rid: {rid}"}


def _form(body: bytes) -> dict[str, Any]:
    if not body:
        raise Refusal(44002, "empty post data")
    try:
        form = json.loads(body)
    except ValueError:
        form = None
    if not isinstance(form, dict):
        raise Refusal(47001, "data format error")
    return form


def _forced(account: Account, now: datetime) -> Credential:
    """30 s apart, otherwise nothing is refreshed; 20 a day."""
    newest = account.stable.newest(now)
    too_soon = account.forced_at is not None and now - account.forced_at < _FORCE_PAUSE
    if newest is not None and too_soon:
        return newest
    account.count("force_refresh", account.daily_forced, now)
    account.forced_at = now
    return account.stable.issue(now)


def _given(credential: Credential, now: datetime) -> dict[str, Any]:
    """Success has no errcode; expires_in is what is left."""
    left = credential.remaining(now) // timedelta(seconds=1)
    return {"access_token": credential.value, "expires_in": left}
