"""The phone of a user who has opened the mini-program.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/login.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tokend.simulator.customer import APPID

if TYPE_CHECKING:
    from tokend.testing.controls import Controls


class Phone:
    """What ``wx`` gives the mini-program there. *user* is any name, and always the same user's."""

    def __init__(self, user: str, controls: Controls) -> None:
        if not user:
            raise ValueError("a user needs a name")
        self.user = user
        self._controls = controls
        self._path = f"/simulator/phones/{APPID}/{quote(user, safe='')}"

    @property
    def openid(self) -> str:
        return str(self._who()["openid"])

    @property
    def unionid(self) -> str:
        return str(self._who()["unionid"])

    def login(self) -> str:
        """``wx.login``: a code, good once and for five minutes. The session_key before it ends."""
        return str(self._does("login")["code"])

    def check_session(self) -> bool:
        """``wx.checkSession``: whether the session_key of the last login lives."""
        return bool(self._does("check-session")["valid"])

    def profile(self) -> dict[str, str]:
        """``wx.getUserInfo``: ``rawData``, ``signature``, ``encryptedData`` and ``iv``.

        Raises ``ValueError`` if no session_key lives.
        """
        return dict(self._does("profile"))

    def show_number(self) -> str:
        """The button ``getPhoneNumber``: a code, which is no code of a login."""
        return str(self._does("phone-number")["code"])

    def pay(self) -> dict[str, str]:
        """``wx.requestPayment``: ``transaction_id``, ``mch_id`` and ``out_trade_no``."""
        return dict(self._does("pay"))

    def end_session(self) -> None:
        """WeChat ends the session_key, as it does of whom it has not seen for days."""
        self._does("expire")

    def block(self) -> None:
        """WeChat takes the user for risky, and lets them log in nowhere: ``UserBlocked``."""
        self._does("marks", {"risky": True})

    def _who(self) -> dict[str, Any]:
        return dict(self._controls.ask("GET", self._path))

    def _does(self, what: str, body: object = None) -> dict[str, Any]:
        return dict(self._controls.ask("POST", f"{self._path}/{what}", body))
