"""How WeChat says no: an errcode and an errmsg, with HTTP status 200.

https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
https://developer.work.weixin.qq.com/document/path/90313
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

# What is said of too many calls in a minute.
MINUTELY = (45011, "api minute-quota reach limit must slower retry next minute")


class Refusal(Exception):
    """WeChat says no. *errmsg* is without the request id."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg

    def reply(self, random: Random, now: datetime) -> dict[str, Any]:
        return {"errcode": self.errcode, "errmsg": f"{self.errmsg} rid: {_rid(random, now)}"}

    def wecom_reply(self, random: Random, now: datetime, caller: str) -> dict[str, Any]:
        """In WeCom's words, which tell callers their address."""
        hint = f"hint: [{_hint(random, now)}], from ip: {caller}"
        more = f"more info at https://open.work.weixin.qq.com/devtool/query?e={self.errcode}"
        return {"errcode": self.errcode, "errmsg": f"{self.errmsg}, {hint}, {more}"}


def _rid(random: Random, now: datetime) -> str:
    """A request id. Its first group is the time: 61725984 is 2021-10-22 06:26:12 UTC."""
    groups = int(now.timestamp()), random.getrandbits(32), random.getrandbits(32)
    return "-".join(f"{group:08x}" for group in groups)


def _hint(random: Random, now: datetime) -> str:
    """WeCom's request id: 25 digits, of which the first ten are the time."""
    return f"{int(now.timestamp())}{random.randrange(10**15):015}"
