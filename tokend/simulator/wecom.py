"""The rules for WeCom (企业微信): the tokens of agents, and tickets.

https://developer.work.weixin.qq.com/document/path/91039
https://developer.work.weixin.qq.com/document/path/96909
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tokend.simulator.bar import Bar
from tokend.simulator.credential import Pool, Verdict
from tokend.simulator.media import File
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from random import Random

    from tokend.simulator.business import Call
    from tokend.simulator.corp import Agent, Corp
    from tokend.simulator.ledger import Ledger
    from tokend.simulator.media import Answer

A = TypeVar("A")

# A refusal carries the fields of a success, too, but empty.
_NO_TOKEN = {"access_token": "", "expires_in": 0}
_NO_TICKET = {"ticket": "", "expires_in": 0}

_BAD_TOKENS = {
    Verdict.EXPIRED: (42001, "access_token expired"),
    Verdict.SUPERSEDED: (40014, "invalid access_token"),
    Verdict.UNKNOWN: (40014, "invalid access_token"),
}


class WeCom:
    """What is answered to whom, by corpid and secret or by an agent's access_token."""

    def __init__(self, corps: Mapping[str, Corp], ledger: Ledger, random: Random) -> None:
        self._corps = corps
        self._ledger = ledger
        self._random = random
        self._bar = Bar()

    def gettoken(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        return self._answer(lambda: self._gettoken(query, caller, now), _NO_TOKEN, caller, now)

    def get_jsapi_ticket(
        self, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> dict[str, Any]:
        def rule() -> dict[str, Any]:
            corp, agent = self._authorised(query, "get_jsapi_ticket", caller, now)
            agent.count_ticket(now)
            corp.count_ticket(now)
            return _given("ticket", corp.tickets, now)

        return self._answer(rule, _NO_TICKET, caller, now)

    def ticket_get(self, query: Mapping[str, str], *, caller: str, now: datetime) -> dict[str, Any]:
        def rule() -> dict[str, Any]:
            _, agent = self._authorised(query, "ticket_get", caller, now)
            if query.get("type") != "agent_config":
                raise Refusal(40097, "invalid args")
            agent.count_ticket(now)
            return _given("ticket", agent.tickets, now)

        return self._answer(rule, _NO_TICKET, caller, now)

    def knows(self, token: str, now: datetime) -> bool:
        """Tell if it is, or was, the access_token of an agent."""
        return self._owner(token, now) is not None

    def business(
        self, call: Call, query: Mapping[str, str], *, caller: str, now: datetime
    ) -> Answer:
        def rule() -> Answer:
            self._authorised(query, call.endpoint, caller, now)
            return _ok(call.rule())

        return self._answer(rule, call.empty, caller, now)

    def _gettoken(self, query: Mapping[str, str], caller: str, now: datetime) -> dict[str, Any]:
        self._ledger.count(query.get("corpid", ""), "gettoken")
        self._bar.admit(caller, now)
        corp, agent = self._admitted(query, caller, now)
        corp.count_call("gettoken", now)
        agent.count_token(now)
        return _given("access_token", agent.tokens, now)

    def _admitted(self, query: Mapping[str, str], caller: str, now: datetime) -> tuple[Corp, Agent]:
        """The secret is missed before the corpid.

        Whether a trusted IP is asked for here, or only once there is a token, is not told: here.
        """
        secret, corpid = query.get("corpsecret"), query.get("corpid")
        if not secret:
            raise Refusal(41004, "corpsecret missing")
        if not corpid:
            raise Refusal(41002, "corpid missing")
        if corpid not in self._corps:
            raise Refusal(40013, "invalid corpid")
        agent = next((each for each in self._corps[corpid].agents if each.secret == secret), None)
        if agent is None:
            self._bar.note_bad_secret(caller, now)
            raise Refusal(40001, "invalid credential")
        agent.admit_address(caller)
        return self._corps[corpid], agent

    def _authorised(
        self, query: Mapping[str, str], endpoint: str, caller: str, now: datetime
    ) -> tuple[Corp, Agent]:
        token = query.get("access_token", "")
        owner = self._owner(token, now)
        self._ledger.count(owner[0].corpid if owner else "", endpoint)
        self._bar.admit(caller, now)
        if not token:
            raise Refusal(41001, "access_token missing")
        verdict = owner[1].tokens.verdict(token, now) if owner else Verdict.UNKNOWN
        if owner is None or verdict is not Verdict.VALID:
            self._ledger.rejected_uses += 1
            raise Refusal(*_BAD_TOKENS[verdict])
        corp, agent = owner
        agent.admit_address(caller)
        corp.count_call(endpoint, now)
        return corp, agent

    def _owner(self, token: str, now: datetime) -> tuple[Corp, Agent] | None:
        return next(
            (
                (corp, agent)
                for corp, agent in self._agents()
                if agent.tokens.verdict(token, now) is not Verdict.UNKNOWN
            ),
            None,
        )

    def _agents(self) -> Iterator[tuple[Corp, Agent]]:
        return ((corp, agent) for corp in self._corps.values() for agent in corp.agents)

    def _answer(
        self,
        rule: Callable[[], A],
        empty: Mapping[str, Any],
        caller: str,
        now: datetime,
    ) -> A | dict[str, Any]:
        try:
            return rule()
        except Refusal as refusal:
            return {**refusal.wecom_reply(self._random, now, caller), **empty}


def _given(name: str, pool: Pool, now: datetime) -> dict[str, Any]:
    """The same one as long as it lives; expires_in is what is left.

    So the manual said of tokens until 2024, and a test of that year found; today it is silent, and
    of tickets it always was. Who wants another ahead of the end has to wait: the strict reading.
    """
    credential = pool.newest(now) or pool.issue(now)
    return {
        "errcode": 0,
        "errmsg": "ok",
        name: credential.value,
        "expires_in": credential.seconds_left(now),
    }


def _ok(answer: Answer) -> Answer:
    """Success, too, has an errcode here."""
    return answer if isinstance(answer, File) else {"errcode": 0, "errmsg": "ok", **answer}
