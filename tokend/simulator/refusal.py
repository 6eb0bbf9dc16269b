"""How WeChat says no: an errcode and an errmsg, with HTTP status 200.

https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random


class Refusal(Exception):
    """WeChat says no. *errmsg* is without the request id."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg

    def reply(self, random: Random, now: datetime) -> dict[str, Any]:
        return {"errcode": self.errcode, "errmsg": f"{self.errmsg} rid: {_rid(random, now)}"}


def _rid(random: Random, now: datetime) -> str:
    """A request id. Its first group is the time: 61725984 is 2021-10-22 06:26:12 UTC."""
    groups = int(now.timestamp()), random.getrandbits(32), random.getrandbits(32)
    return "-".join(f"{group:08x}" for group in groups)
