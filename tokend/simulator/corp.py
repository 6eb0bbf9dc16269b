"""One enterprise as WeCom knows it, and its agents: apps, each with a secret of its own."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tokend.simulator.address import address, is_listed
from tokend.simulator.credential import TICKET_LENGTH, Pool, base64url
from tokend.simulator.refusal import Refusal
from tokend.simulator.tally import Tally, hour, minute

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(kw_only=True)
class Agent:
    """An app. *trusted_ips* (企业可信IP) are written like an official account's whitelist.

    Tickets: at most 100 an hour for an app, whatever their type. How many tokens is not
    published, only that who asks often is refused; the tickets' number is taken for them, too.
    https://developer.work.weixin.qq.com/document/path/96909
    """

    agentid: int
    secret: str = field(repr=False)
    random: InitVar[Random]
    trusted_ips: tuple[str, ...] = ()
    hourly_tokens: int = 100
    hourly_tickets: int = 100
    token_length: int = 214
    tokens: Pool = field(init=False, repr=False)
    tickets: Pool = field(init=False, repr=False)
    _random: Random = field(init=False, repr=False)
    _used: Tally = field(init=False, default_factory=Tally, repr=False)

    def __post_init__(self, random: Random) -> None:
        # Two agents given the same seed would else name their tokens alike.
        self._random = Random(f"{self.agentid} {self.secret} {random.getrandbits(64)}")
        self.tokens = Pool(lambda: base64url(self._random, self.token_length))
        self.tickets = Pool(lambda: base64url(self._random, TICKET_LENGTH))

    def admit_address(self, caller: str) -> None:
        if self.trusted_ips and not is_listed(address(caller), self.trusted_ips):
            raise Refusal(60020, "not allow to access from your ip")

    def count_token(self, now: datetime) -> None:
        self._used.count("gettoken", hour(now), self.hourly_tokens, _too_often())

    def count_ticket(self, now: datetime) -> None:
        self._used.count("ticket", hour(now), self.hourly_tickets, _too_often())


@dataclass(kw_only=True)
class Corp:
    """*tickets* are the corp's own; all its agents get the same.

    Limits: https://developer.work.weixin.qq.com/document/path/90454
    """

    corpid: str
    random: InitVar[Random]
    agents: tuple[Agent, ...]
    hourly_tickets: int = 400
    minutely_calls: int = 10_000
    hourly_calls: int = 150_000
    tickets: Pool = field(init=False, repr=False)
    _used: Tally = field(init=False, default_factory=Tally, repr=False)

    def __post_init__(self, random: Random) -> None:
        names = Random(f"{self.corpid} {random.getrandbits(64)}")
        self.tickets = Pool(lambda: base64url(names, TICKET_LENGTH))

    def pools(self) -> Iterable[Pool]:
        yield self.tickets
        for agent in self.agents:
            yield from (agent.tokens, agent.tickets)

    def count_call(self, endpoint: str, now: datetime) -> None:
        self._used.count(endpoint, minute(now), self.minutely_calls, _too_often())
        self._used.count(endpoint, hour(now), self.hourly_calls, _too_often())

    def count_ticket(self, now: datetime) -> None:
        self._used.count("ticket", hour(now), self.hourly_tickets, _too_often())


def _too_often() -> Refusal:
    return Refusal(45009, "api freq out of limit")
