"""The rules for official accounts and mini-programs (公众号, 小程序): tokens, tickets, logins.

https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
https://developers.weixin.qq.com/doc/service/en/api/webdev/jssdk/api_getticket.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from tokend.simulator import login
from tokend.simulator.body import json_object
from tokend.simulator.credential import OVERLAP, Credential, Verdict
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from random import Random

    from tokend.simulator.account import Account
    from tokend.simulator.business import Call
    from tokend.simulator.ledger import Ledger
    from tokend.simulator.media import Answer
    from tokend.simulator.phone import Phones

A = TypeVar("A")

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


class Official:
    """What is answered to whom, by appid and secret or by access_token."""

    def __init__(self, accounts: Mapping[str, Account], ledger: Ledger, random: Random) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._random = random

    def token(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        return self._answer(lambda: self._token(query, caller, now), now)

    def stable_token(self, body: bytes, *, caller: str, now: datetime) -> dict[str, Any]:
        return self._answer(lambda: self._stable_token(body, caller, now), now)

    def wrong_method(self, *, now: datetime) -> dict[str, Any]:
        self._ledger.count("", "stable_token")
        return Refusal(43002, "require POST method").reply(self._random, now)

    def getticket(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        return self._answer(lambda: self._getticket(query, caller, now), now)

    def jscode2session(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        return self._answer(lambda: self._jscode2session(query, caller, now), now)

    def about_users(
        self,
        endpoint: str,
        rule: Callable[[Phones], dict[str, Any]],
        query: Mapping[str, str],
        *,
        caller: str,
        now: datetime,
    ) -> dict[str, Any]:
        """What *rule* answers of those on whose phones the token's account is opened."""
        return self._answer(
            lambda: rule(self._authorised(query, endpoint, caller, now).phones), now
        )

    def business(
        self, call: Call, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> Answer:
        def rule() -> Answer:
            self._authorised(query, call.endpoint, caller, now)
            return call.rule()

        return self._answer(rule, now)

    def _token(self, query: Mapping[str, str], caller: str, now: datetime) -> dict[str, Any]:
        account = self._admitted(query, "token", caller, "client_credential")
        account.count_token(now)
        return _given(account.classic.issue(now), now)

    def _stable_token(self, body: bytes, caller: str, now: datetime) -> dict[str, Any]:
        form = self._form(body)
        account = self._admitted(form, "stable_token", caller, "client_credential")
        forced = _is_forced(form)
        account.count_stable(now)
        return _given(_forced(account, now) if forced else _current(account, now), now)

    def _getticket(self, query: Mapping[str, str], caller: str, now: datetime) -> dict[str, Any]:
        """A new ticket every time, and it supersedes the one before it as tokens do.

        The manual does not say if it does; developers report that the old one works on. A client
        that keeps to the strict rule is right under both.
        """
        account = self._authorised(query, "getticket", caller, now)
        pool = account.tickets.get(query.get("type", ""))
        if pool is None:
            raise Refusal(40097, "invalid args")
        account.count_ticket(now)
        ticket = pool.issue(now)
        return {
            "errcode": 0,
            "errmsg": "ok",
            "ticket": ticket.value,
            "expires_in": ticket.seconds_left(now),
        }

    def _jscode2session(
        self, query: Mapping[str, str], caller: str, now: datetime
    ) -> dict[str, Any]:
        """Whether the whitelist guards this call, too, the manual does not say: it does."""
        account = self._admitted(query, "jscode2session", caller, "authorization_code")
        return login.session(account.phones, query, now)

    def _form(self, body: bytes) -> dict[str, Any]:
        try:
            return json_object(body)
        except Refusal:
            self._ledger.count("", "stable_token")
            raise

    def _admitted(
        self, form: Mapping[str, Any], endpoint: str, caller: str, grant_type: str
    ) -> Account:
        """The appid is looked at before anything else."""
        account = self._account(form.get("appid") or "", endpoint)
        if form.get("grant_type") != grant_type:
            raise Refusal(40002, "invalid grant_type")
        if not form.get("secret"):
            raise Refusal(41004, "appsecret missing")
        account.admit(form["secret"], caller)
        return account

    def _account(self, appid: object, endpoint: str) -> Account:
        self._ledger.count(str(appid), endpoint)
        if not appid:
            raise Refusal(41002, "appid missing")
        if str(appid) not in self._accounts:
            raise Refusal(40013, "invalid appid")
        return self._accounts[str(appid)]

    def _authorised(
        self, query: Mapping[str, str], endpoint: str, caller: str, now: datetime
    ) -> Account:
        """The whitelist guards these calls, too, as the manual says of official accounts.

        https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist.html
        """
        token = query.get("access_token", "")
        account, verdict = self._owner(token, now)
        self._ledger.count(account.appid if account else "", endpoint)
        if not token:
            raise Refusal(41001, "access_token missing")
        if account is None or verdict is not Verdict.VALID:
            self._ledger.rejected_uses += 1
            raise Refusal(*_BAD_TOKENS[verdict])
        account.admit_address(caller)
        return account

    def _owner(self, token: str, now: datetime) -> tuple[Account | None, Verdict]:
        """Whose access_token it is or was."""
        for account in self._accounts.values():
            verdict = account.verdict(token, now)
            if verdict is not Verdict.UNKNOWN:
                return account, verdict
        return None, Verdict.UNKNOWN

    def _answer(self, rule: Callable[[], A], now: datetime) -> A | dict[str, Any]:
        try:
            return rule()
        except Refusal as refusal:
            return refusal.reply(self._random, now)


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
    return {"access_token": credential.value, "expires_in": credential.seconds_left(now)}
