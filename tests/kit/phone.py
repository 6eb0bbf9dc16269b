"""A user's phone, on which the mini-program of the simulated account is opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from tokend.simulator.customer import APPID


@dataclass(frozen=True)
class Phone:
    """Of any *user*, as the simulator at *url* plays it."""

    url: str
    user: str

    def login(self) -> str:
        return str(self.do("login")["code"])

    def profile(self) -> dict[str, str]:
        return self.do("profile")

    def who(self) -> dict[str, Any]:
        """Who the user is to WeChat."""
        return self._ask("GET", "", None)

    def do(self, what: str, **body: object) -> dict[str, Any]:
        return self._ask("POST", f"/{what}", body)

    def _ask(self, method: str, rest: str, body: object) -> dict[str, Any]:
        url = f"{self.url}/simulator/phones/{APPID}/{self.user}{rest}"
        request = Request(url, json.dumps(body).encode(), method=method)  # noqa: S310, loopback
        with urlopen(request, timeout=10) as answer:  # noqa: S310, see above
            return dict(json.load(answer))
