"""A mini-program's server, and what its users' phones hand to it, at seconds after noon."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from kit.town import APPID, CALLER, SECRET, Reply, Town, after

if TYPE_CHECKING:
    from tokend.simulator.phone import Phone

_GOOD = {"appid": APPID, "secret": SECRET, "grant_type": "authorization_code"}


class MiniProgram:
    """In a town of its own. *key* is the text of a session_key."""

    def __init__(self) -> None:
        self.town = Town()
        self.world = self.town.world

    def phone(self, user: str = "ann") -> Phone:
        return self.world.phone(APPID, user)

    def code(self, seconds: float = 0, user: str = "ann") -> str:
        return self.phone(user).login(after(seconds))

    def session(
        self, code: str, seconds: float = 0, *, caller: str = CALLER, **query: str
    ) -> Reply:
        query = {**_GOOD, "js_code": code, **query}
        return self.world.jscode2session(query, caller=caller, now=after(seconds))

    def key(self, seconds: float = 0, user: str = "ann") -> str:
        """Of a new login."""
        return self.session(self.code(seconds, user), seconds)["session_key"]

    def check(self, key: str, seconds: float = 0, **query: str) -> Reply:
        return self._about("checksession", self._signed(key, query), seconds)

    def reset(self, key: str, seconds: float = 0, **query: str) -> Reply:
        return self._about("resetusersessionkey", self._signed(key, query), seconds)

    def number(self, code: Any, seconds: float = 0, *, token: str = "", **form: Any) -> Reply:
        query = {"access_token": token or self.token(seconds)}
        body = json.dumps({"code": code, **form}).encode()
        return self.world.getuserphonenumber(query, body, caller=CALLER, now=after(seconds))

    def paid(self, seconds: float = 0, *, user: str = "ann", **query: str) -> Reply:
        query = {"openid": self.phone(user).openid, **query}
        return self._about("getpaidunionid", query, seconds)

    def token(self, seconds: float = 0) -> str:
        token: str = self.town.stable(seconds)["access_token"]
        return token

    def _signed(self, key: str, query: dict[str, str]) -> dict[str, str]:
        """Signed for the first user, unless *query* says otherwise."""
        signature = hmac.new(key.encode(), b"", "sha256").hexdigest()
        signed = {"openid": self.phone().openid, "signature": signature}
        return {**signed, "sig_method": "hmac_sha256", **query}

    def _about(self, call: str, query: dict[str, str], seconds: float) -> Reply:
        query = {"access_token": self.token(seconds), **query}
        answer: Any = getattr(self.world, call)
        return answer(query, caller=CALLER, now=after(seconds))
