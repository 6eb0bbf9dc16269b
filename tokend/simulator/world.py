"""WeChat's rules: what is asked, what is answered. *now* is a parameter; there is no I/O.

https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tokend.simulator.credential import OVERLAP, Credential, Verdict
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from random import Random

    from tokend.simulator.account import Account
    from tokend.simulator.credential import Pool

_FORCE_PAUSE = timedelta(seconds=30)

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
    """Every account, and the ledger that tests go by.

    The calls of WeChat give its JSON; errors are answers too. *caller* is an IP address.
    """

    def __init__(self, accounts: Iterable[Account], random: Random) -> None:
        self.accounts = {account.appid: account for account in accounts}
        self.rejected_uses = 0
        self._random = random
        self._calls: Counter[tuple[str, str]] = Counter()

    # The calls of WeChat

    def token(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/token: a new token every time."""
        return self._answer(lambda: self._token(query, caller, now), now)

    def stable_token(self, body: bytes, *, caller: str, now: datetime) -> dict[str, Any]:
        """POST cgi-bin/stable_token: the same one until its last 300 s, unless forced."""
        return self._answer(lambda: self._stable_token(body, caller, now), now)

    def wrong_method(self, *, now: datetime) -> dict[str, Any]:
        """cgi-bin/stable_token, but not by POST."""
        self._calls["", "stable_token"] += 1
        return Refusal(43002, "require POST method").reply(self._random, now)

    def getticket(self, query: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/ticket/getticket: a new ticket every time."""
        return self._answer(lambda: self._ticket(query, now), now)

    def get_api_domain_ip(self, query: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/get_api_domain_ip: a business call."""
        return self._answer(lambda: self._api_domain_ip(query, now), now)

    # What else happens to an account

    def rotate(self, appid: str, now: datetime) -> None:
        """Somebody else gets new tokens of this account. Twice, and all known before are dead."""
        account = self.accounts[appid]
        account.classic.issue(now)
        account.stable.issue(now)

    # The ledger

    def is_valid(self, token: str, now: datetime) -> bool:
        """Tell if WeChat accepts this token or ticket at *now*."""
        verdicts = (pool.verdict(token, now) for pool in self._pools())
        return Verdict.VALID in verdicts

    def calls(self, appid: str, endpoint: str) -> int:
        """How often *endpoint* was called for *appid*, refused or not.

        Calls that name no appid, or come with a token nobody ever got, are counted for "".
        """
        return self._calls[appid, endpoint]

    def all_calls(self) -> dict[str, dict[str, int]]:
        """``calls`` by appid, then by endpoint."""
        counted: dict[str, dict[str, int]] = {}
        for (appid, endpoint), number in self._calls.items():
            counted.setdefault(appid, {})[endpoint] = number
        return counted

    def issued(self, appid: str, endpoint: str) -> tuple[Credential, ...]:
        """Every access_token of ``token`` or ``stable_token``, oldest first, with its times."""
        account = self.accounts[appid]
        return {"token": account.classic, "stable_token": account.stable}[endpoint].issued()

    # The rules

    def _token(self, query: Mapping[str, str], caller: str, now: datetime) -> dict[str, Any]:
        account = self._admitted(query, "token", caller)
        account.count_token(now)
        return _given(account.classic.issue(now), now)

    def _stable_token(self, body: bytes, caller: str, now: datetime) -> dict[str, Any]:
        form = self._form(body)
        account = self._admitted(form, "stable_token", caller)
        forced = _is_forced(form)
        account.count_stable(now)
        return _given(_forced(account, now) if forced else _current(account, now), now)

    def _ticket(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        pool = self._authorised(query, "getticket", now).tickets.get(query.get("type", ""))
        if pool is None:
            raise Refusal(40097, "invalid args")
        ticket = pool.issue(now)
        return {
            "errcode": 0,
            "errmsg": "ok",
            "ticket": ticket.value,
            "expires_in": _seconds_left(ticket, now),
        }

    def _api_domain_ip(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        self._authorised(query, "get_api_domain_ip", now)
        return {"ip_list": ["203.0.113.10", "203.0.113.11"]}

    def _form(self, body: bytes) -> dict[str, Any]:
        try:
            return _json_object(body)
        except Refusal:
            self._calls["", "stable_token"] += 1
            raise

    def _admitted(self, form: Mapping[str, Any], endpoint: str, caller: str) -> Account:
        """The appid is looked at before anything else."""
        account = self._account(form.get("appid") or "", endpoint)
        if form.get("grant_type") != "client_credential":
            raise Refusal(40002, "invalid grant_type")
        if not form.get("secret"):
            raise Refusal(41004, "appsecret missing")
        account.admit(form["secret"], caller)
        return account

    def _account(self, appid: object, endpoint: str) -> Account:
        self._calls[str(appid), endpoint] += 1
        if not appid:
            raise Refusal(41002, "appid missing")
        if str(appid) not in self.accounts:
            raise Refusal(40013, "invalid appid")
        return self.accounts[str(appid)]

    def _authorised(self, query: Mapping[str, str], endpoint: str, now: datetime) -> Account:
        token = query.get("access_token", "")
        account, verdict = self._owner(token, now)
        self._calls[account.appid if account else "", endpoint] += 1
        if not token:
            raise Refusal(41001, "access_token missing")
        if account is None or verdict is not Verdict.VALID:
            self.rejected_uses += 1
            raise Refusal(*_BAD_TOKENS[verdict])
        return account

    def _owner(self, token: str, now: datetime) -> tuple[Account | None, Verdict]:
        """Whose access_token it is or was. Tickets open nothing."""
        for account in self.accounts.values():
            for pool in (account.classic, account.stable):
                verdict = pool.verdict(token, now)
                if verdict is not Verdict.UNKNOWN:
                    return account, verdict
        return None, Verdict.UNKNOWN

    def _pools(self) -> Iterable[Pool]:
        for account in self.accounts.values():
            yield from (account.classic, account.stable, *account.tickets.values())

    def _answer(self, rule: Callable[[], dict[str, Any]], now: datetime) -> dict[str, Any]:
        try:
            return rule()
        except Refusal as refusal:
            return refusal.reply(self._random, now)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise Refusal(44002, "empty post data")
    try:
        form = json.loads(body)
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        raise Refusal(47001, "data format error")
    return form


def _is_forced(form: Mapping[str, Any]) -> bool:
    """The manual promises a JSON boolean; nothing else is understood."""
    forced = form.get("force_refresh", False)
    if not isinstance(forced, bool):
        raise Refusal(47001, "data format error")
    return forced


def _current(account: Account, now: datetime) -> Credential:
    newest = account.stable.newest(now)
    if newest is None or newest.remaining(now) < OVERLAP:
        return account.stable.issue(now)
    return newest


def _forced(account: Account, now: datetime) -> Credential:
    """Less than 30 s after another forced refresh nothing is refreshed; nor is it counted."""
    if account.forced_at is not None and now - account.forced_at < _FORCE_PAUSE:
        return _current(account, now)
    account.count_forced(now)
    account.forced_at = now
    return account.stable.issue(now)


def _given(credential: Credential, now: datetime) -> dict[str, Any]:
    """Success has no errcode; expires_in is what is left."""
    return {"access_token": credential.value, "expires_in": _seconds_left(credential, now)}


def _seconds_left(credential: Credential, now: datetime) -> int:
    return credential.remaining(now) // timedelta(seconds=1)
