"""What tests ask the simulated WeChat, and tell it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tokend.simulator.customer import AGENTID, APPID, CORPID
from tokend.simulator.weather import ENDPOINTS, FAIR, Fault
from tokend.testing.controls import Controls
from tokend.testing.phone import Phone

if TYPE_CHECKING:
    from collections.abc import Iterator


class WeChat:
    """*url* is where business calls go in place of https://api.weixin.qq.com."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._controls = Controls(url)
        self._weather = FAIR

    def phone(self, user: str) -> Phone:
        """Of a *user* of the mini-program."""
        return Phone(user, self._controls)

    def rotate(self) -> None:
        """Somebody else fetched tokens: those that anybody has had are rejected from now on.

        WeChat leaves the one before five more minutes and the one before that none, so an official
        account gets two; WeCom's agent loses its own. tokend has a new one as soon as the dead one
        is reported, however often, because by ``stable_token`` it may ask which one is current.
        """
        for _ in range(2):
            self._controls.ask("POST", "/simulator/rotate", {"appid": APPID})
        self._controls.ask("POST", "/simulator/rotate", {"corpid": CORPID, "agentid": AGENTID})

    def calls(self, endpoint: str) -> int:
        """How often *endpoint* was called since the start, refused or not: ``custom_send``.

        Those that a fault kept from WeChat are not among them. Raises ``ValueError`` for one that
        is not simulated.
        """
        if endpoint not in ENDPOINTS:
            raise ValueError(f"{endpoint}: not simulated; there are {', '.join(ENDPOINTS)}")
        counted = self._controls.ask("GET", "/simulator/ledger")["calls"]
        return sum(calls.get(endpoint, 0) for calls in counted.values())

    @contextmanager
    def weather(self, fault: Fault) -> Iterator[None]:
        """Every call meets *fault*, tokend's and the program's, until this is left."""
        before, self._weather = self._weather, fault
        self._stand()
        try:
            yield
        finally:
            self._weather = before
            self._stand()

    def next(self, *faults: Fault) -> None:
        """The next calls meet *faults*, one each and in order."""
        self._controls.ask("POST", "/simulator/weather", [_json(each) for each in faults])

    def _stand(self) -> None:
        self._controls.ask("POST", "/simulator/weather", {"standing": _json(self._weather)})


def _json(fault: Fault) -> dict[str, Any]:
    """What is not set is left out."""
    fields = {name: value for name, value in asdict(fault).items() if value is not None}
    if fault.body is not None:
        fields["body"] = fault.body.decode("utf-8", "surrogateescape")
    if not fault.endpoint:
        del fields["endpoint"]
    return fields
