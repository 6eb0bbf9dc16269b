"""Kinds of trouble, for ``WeChat.weather`` and ``WeChat.next``; ``Fault`` has more."""

from __future__ import annotations

from tokend.simulator.weather import Fault

AWAY = Fault(cut=True)


def refusal(errcode: int, errmsg: str = "refused by the test", *, endpoint: str = "") -> Fault:
    """WeChat says *errcode*; only to calls of *endpoint* (``custom_send``), if it is named."""
    return Fault(reply={"errcode": errcode, "errmsg": errmsg}, endpoint=endpoint)


# https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
BUSY = refusal(-1, "system error")
