"""All that WeChat is asked, and what it answers. *now* is a parameter; there is no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokend.simulator import business, login
from tokend.simulator.business import Call
from tokend.simulator.credential import Credential, Verdict
from tokend.simulator.ledger import Ledger
from tokend.simulator.official import Official
from tokend.simulator.wecom import WeCom

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from random import Random

    from tokend.simulator.account import Account
    from tokend.simulator.corp import Agent, Corp
    from tokend.simulator.credential import Pool
    from tokend.simulator.media import Answer, Upload
    from tokend.simulator.phone import Phone, Phones


class World:
    """Every account and corp, and the ledger that tests go by.

    The calls of WeChat give its JSON; errors are answers too. *caller* is an IP address.
    """

    def __init__(
        self, accounts: Iterable[Account], random: Random, corps: Iterable[Corp] = ()
    ) -> None:
        self.accounts = {account.appid: account for account in accounts}
        self.corps = {corp.corpid: corp for corp in corps}
        self.ledger = Ledger()
        self._official = Official(self.accounts, self.ledger, random)
        self._wecom = WeCom(self.corps, self.ledger, random)

    # Credentials of official accounts and mini-programs

    def token(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/token: a new token every time."""
        return self._official.token(query, caller=caller, now=now)

    def stable_token(self, body: bytes, *, caller: str, now: datetime) -> dict[str, Any]:
        """POST cgi-bin/stable_token: the same one until its last 300 s, unless forced."""
        return self._official.stable_token(body, caller=caller, now=now)

    def wrong_method(self, *, now: datetime) -> dict[str, Any]:
        """cgi-bin/stable_token, but not by POST."""
        return self._official.wrong_method(now=now)

    def getticket(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/ticket/getticket: a new ticket every time."""
        return self._official.getticket(query, caller=caller, now=now)

    # Credentials of WeCom

    def gettoken(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/gettoken: an agent's token, the same as long as it lives."""
        return self._wecom.gettoken(query, caller=caller, now=now)

    def get_jsapi_ticket(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """GET cgi-bin/get_jsapi_ticket: the corp's ticket, by the token of any of its agents."""
        return self._wecom.get_jsapi_ticket(query, caller=caller, now=now)

    def ticket_get(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        """GET cgi-bin/ticket/get: the agent's ticket."""
        return self._wecom.ticket_get(query, caller=caller, now=now)

    # Business calls. The token tells whether an official account or WeCom is meant

    def get_api_domain_ip(self, query: Mapping[str, str], *, caller: str, now: datetime) -> Answer:
        """GET cgi-bin/get_api_domain_ip: harmless, and so a way to try a token."""
        call = Call(endpoint="get_api_domain_ip", rule=business.addresses, empty={"ip_list": []})
        return self._business(call, query, caller, now)

    def custom_send(
        self, query: Mapping[str, str], body: bytes, *, caller: str, now: datetime
    ) -> Answer:
        """POST cgi-bin/message/custom/send: JSON in, ok out."""
        call = Call(endpoint="custom_send", rule=lambda: business.send_message(body))
        return self._business(call, query, caller, now)

    def media_upload(
        self, query: Mapping[str, str], upload: Upload | None, *, caller: str, now: datetime
    ) -> Answer:
        """POST cgi-bin/media/upload: a file in, its id out. *upload* is None if none came."""

        def take() -> Answer:
            taken = business.take(query, upload, now)
            self.ledger.last_upload = upload
            return taken

        return self._business(Call(endpoint="media_upload", rule=take), query, caller, now)

    def media_get(self, query: Mapping[str, str], *, caller: str, now: datetime) -> Answer:
        """GET cgi-bin/media/get: a file of N bytes where the media_id is ``bytes-N``."""
        call = Call(endpoint="media_get", rule=lambda: business.give(query))
        return self._business(call, query, caller, now)

    def getwxacodeunlimit(
        self, query: Mapping[str, str], body: bytes, *, caller: str, now: datetime
    ) -> Answer:
        """POST wxa/getwxacodeunlimit: JSON in, a picture out."""
        call = Call(endpoint="getwxacodeunlimit", rule=lambda: business.draw_code(body))
        return self._business(call, query, caller, now)

    def _business(self, call: Call, query: Mapping[str, str], caller: str, now: datetime) -> Answer:
        """A token nobody ever got is none of WeCom's."""
        is_wecom = self._wecom.knows(query.get("access_token", ""), now)
        house = self._wecom if is_wecom else self._official
        return house.business(call, query, caller=caller, now=now)

    # The users of mini-programs

    def jscode2session(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """GET sns/jscode2session: who gave this code, and the session_key, once."""
        return self._official.jscode2session(query, caller=caller, now=now)

    def checksession(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """GET wxa/checksession: whether the session_key that signed lives."""

        def rule(phones: Phones) -> dict[str, Any]:
            return login.check_session_key(phones, query, now)

        return self._official.about_users("checksession", rule, query, caller=caller, now=now)

    def resetusersessionkey(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """GET wxa/resetusersessionkey: another in place of the session_key that signed."""

        def rule(phones: Phones) -> dict[str, Any]:
            return login.reset_session_key(phones, query, now)

        return self._official.about_users(
            "resetusersessionkey", rule, query, caller=caller, now=now
        )

    def getuserphonenumber(
        self, query: Mapping[str, str], body: bytes, *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """POST wxa/business/getuserphonenumber: whose code this is, by telephone, once."""

        def rule(phones: Phones) -> dict[str, Any]:
            return login.phone_number(phones, body, now)

        return self._official.about_users("getuserphonenumber", rule, query, caller=caller, now=now)

    def getpaidunionid(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        """GET wxa/getpaidunionid: the unionid of who has just paid."""

        def rule(phones: Phones) -> dict[str, Any]:
            return login.paid_unionid(phones, query, now)

        return self._official.about_users("getpaidunionid", rule, query, caller=caller, now=now)

    def phone(self, appid: str, user: str) -> Phone:
        """The phone on which *user*, who may have any name, opens the account.

        Raises ``KeyError`` if there is no such account.
        """
        return self.accounts[appid].phones.of(user)

    # What else happens to an account

    def rotate(self, appid: str, now: datetime) -> None:
        """Somebody else gets new tokens of this account. Twice, and all known before are dead."""
        account = self.accounts[appid]
        account.classic.issue(now)
        account.stable.issue(now)

    def void(self, agent: Agent, now: datetime) -> None:
        """WeCom ends the agent's token early, as its manual says that it may."""
        agent.tokens.void(now)

    def agent(self, corpid: str, agentid: int) -> Agent:
        """Raises ``KeyError`` if there is none."""
        agents = {each.agentid: each for each in self.corps[corpid].agents}
        return agents[agentid]

    # The ledger

    @property
    def rejected_uses(self) -> int:
        """Calls that came with a bad token."""
        return self.ledger.rejected_uses

    def calls(self, owner: str, endpoint: str) -> int:
        """How often *endpoint* was called for *owner*, an appid or a corpid, refused or not."""
        return self.ledger.calls(owner, endpoint)

    def all_calls(self) -> dict[str, dict[str, int]]:
        """``calls`` by owner, then by endpoint."""
        return self.ledger.all_calls()

    def is_valid(self, value: str, now: datetime) -> bool:
        """Tell if WeChat accepts this token or ticket at *now*."""
        verdicts = (pool.verdict(value, now) for pool in self._pools())
        return Verdict.VALID in verdicts

    def issued(self, appid: str, kind: str) -> tuple[Credential, ...]:
        """Everything *appid* ever got, oldest first, with its times.

        *kind* is the endpoint of access_tokens, and the type of tickets.
        """
        return self.accounts[appid].pools()[kind].issued()

    def all_issued(self) -> Iterator[str]:
        """Every token, ticket and session_key that anybody ever got."""
        for pool in self._pools():
            yield from (credential.value for credential in pool.issued())
        for account in self.accounts.values():
            yield from account.phones.issued()

    def _pools(self) -> Iterable[Pool]:
        for account in self.accounts.values():
            yield from account.pools().values()
        for corp in self.corps.values():
            yield from corp.pools()
