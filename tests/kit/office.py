"""WeCom's rules in a world of one corp with two agents, asked at seconds after noon."""

from __future__ import annotations

from random import Random
from typing import Any

from kit.town import CALLER, Reply, after
from tokend.simulator.corp import Agent, Corp
from tokend.simulator.world import World

CORPID = "ww0123456789abcdef"
SECRETS = {1000002: "canary-sales-secret", 1000003: "canary-stock-secret"}
SALES, STOCK = SECRETS


class Office:
    """*call* is the name of one of the world's calls."""

    def __init__(self) -> None:
        self.corp = corp()
        self.world = World([], Random(2), [self.corp])

    def agent(self, agentid: int = SALES) -> Agent:
        return self.world.agent(CORPID, agentid)

    def gettoken(
        self, seconds: float = 0, *, agentid: int = SALES, caller: str = CALLER, **query: str
    ) -> Reply:
        good = {"corpid": CORPID, "corpsecret": SECRETS[agentid]}
        return self.world.gettoken({**good, **query}, caller=caller, now=after(seconds))

    def token(self, seconds: float = 0, agentid: int = SALES) -> str:
        return self.gettoken(seconds, agentid=agentid)["access_token"]

    def ask(
        self, call: str, token: str, seconds: float = 0, *, caller: str = CALLER, **query: str
    ) -> Reply:
        query = {"access_token": token, **query}
        answer: Any = getattr(self.world, call)
        return answer(query, caller=caller, now=after(seconds))

    def corp_ticket(self, seconds: float = 0, *, agentid: int = SALES) -> Reply:
        return self.ask("get_jsapi_ticket", self.token(seconds, agentid), seconds)

    def agent_ticket(
        self, seconds: float = 0, *, agentid: int = SALES, kind: str = "agent_config"
    ) -> Reply:
        return self.ask("ticket_get", self.token(seconds, agentid), seconds, type=kind)

    def use(self, token: str, seconds: float = 0, *, caller: str = CALLER) -> Reply:
        return self.ask("get_api_domain_ip", token, seconds, caller=caller)

    def is_valid(self, value: str, seconds: float) -> bool:
        return self.world.is_valid(value, after(seconds))


def corp() -> Corp:
    agents = (
        Agent(agentid=agentid, secret=secret, random=Random(1))
        for agentid, secret in SECRETS.items()
    )
    return Corp(corpid=CORPID, agents=tuple(agents), random=Random(1))
