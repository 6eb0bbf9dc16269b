"""Who uses a mini-program: what WeChat is asked for that, and what it answers.

https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_code2session.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_checksessionkey.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_resetusersessionkey.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/phone-number/api_getphonenumber.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/basic-info/api_getpaidunionid.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokend.errors import (
    CodeInvalid,
    CodeUsed,
    IdentityRefused,
    LoginBusy,
    LoginLimited,
    SessionKeyEnded,
    UpstreamRefused,
    UpstreamUnclear,
    UserBlocked,
)
from tokend.wechat import advice
from tokend.wechat.recipes import Request
from tokend.wechat.replies import OFFICIAL, WITH_TOKEN, read_content, secret_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokend.model import App, Secret
    from tokend.wechat.replies import Meanings

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

# The manual shows the code of the country as a text and as a number.
_PHONE_NUMBER = {
    "phoneNumber": re.compile(r"\+?[0-9 -]{1,32}"),
    "purePhoneNumber": re.compile(r"[0-9 -]{1,32}"),
    "countryCode": re.compile(r"\+?[0-9]{1,8}"),
}

_CODES: Meanings = {
    -1: (LoginBusy, advice.AGAIN),
    40003: (IdentityRefused, advice.OPENID),
    40029: (CodeInvalid, advice.CODE),
    40163: (CodeUsed, advice.CODE),
    40226: (UserBlocked, advice.BLOCKED),
    41008: (UpstreamRefused, advice.REQUEST),
    45011: (LoginLimited, advice.OFTEN),
    87007: (SessionKeyEnded, advice.RENEW),
    87008: (UpstreamRefused, advice.REQUEST),
    87009: (SessionKeyEnded, advice.RENEW),
    89002: (UpstreamRefused, advice.BIND),
    89300: (IdentityRefused, advice.ORDER),
}
_BY_SECRET: Meanings = OFFICIAL | _CODES
_BY_TOKEN: Meanings = _BY_SECRET | WITH_TOKEN
_BY_BUTTON: Meanings = _BY_TOKEN | {
    40029: (CodeInvalid, advice.BUTTON),
    40163: (CodeUsed, advice.BUTTON),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who has logged in. *unionid* is empty where WeChat does not tell it."""

    openid: str
    session_key: Secret
    unionid: str


def is_id(text: str) -> bool:
    """Tell if *text* may be an openid or a unionid."""
    return bool(_ID.fullmatch(text))


# By the AppSecret


def code2session(app: App, code: Secret) -> Request:
    """sns/jscode2session: whom the *code* of wx.login stands for. It is good for one exchange."""
    return Request(
        method="GET",
        path="/sns/jscode2session",
        query={
            "grant_type": "authorization_code",
            "appid": app.appid,
            "secret": app.secret.reveal(),
            "js_code": code.reveal(),
        },
        idempotent=False,
    )


def read_identity(body: bytes, app: App) -> Identity:
    """What ``code2session`` is answered. Raises ``UpstreamRefused`` or ``UpstreamUnclear``."""
    content = read_content(body, app, _BY_SECRET)
    return Identity(
        openid=_id(content.get("openid"), "openid"),
        session_key=secret_value(content.get("session_key"), "session_key"),
        unionid=_unionid(content),
    )


# By the access_token; reading these raises ``TokenRejected``, too


def checksession(access_token: Secret, openid: str, session_key: Secret) -> Request:
    """wxa/checksession: whether *session_key* is still the user's."""
    return _about_session("/wxa/checksession", access_token, openid, session_key, idempotent=True)


def read_checked(body: bytes, app: App) -> None:
    """Nothing, if it is. Raises ``SessionKeyEnded`` if it is not."""
    read_content(body, app, _BY_TOKEN)


def resetusersessionkey(access_token: Secret, openid: str, session_key: Secret) -> Request:
    """wxa/resetusersessionkey: another session_key, which ends the life of this one."""
    path = "/wxa/resetusersessionkey"
    return _about_session(path, access_token, openid, session_key, idempotent=False)


def read_session_key(body: bytes, app: App) -> Secret:
    """The new one."""
    content = read_content(body, app, _BY_TOKEN)
    return secret_value(content.get("session_key"), "session_key")


def getuserphonenumber(access_token: Secret, code: Secret) -> Request:
    """wxa/business/getuserphonenumber: the number that the user has shown by a button."""
    return Request(
        method="POST",
        path="/wxa/business/getuserphonenumber",
        query={"access_token": access_token.reveal()},
        body=json.dumps({"code": code.reveal()}).encode(),
        idempotent=False,
    )


def read_phone_number(body: bytes, app: App) -> dict[str, str]:
    """``phoneNumber``, ``purePhoneNumber`` and ``countryCode``."""
    info = read_content(body, app, _BY_BUTTON).get("phone_info")
    if not isinstance(info, dict) or _watermark(info).get("appid") != app.appid:
        raise UpstreamUnclear("an answer without phone_info of this appid")
    number = {name: str(info.get(name, "")) for name in _PHONE_NUMBER}
    if bad := [name for name, shape in _PHONE_NUMBER.items() if not shape.fullmatch(number[name])]:
        raise UpstreamUnclear(f"an answer without {bad[0]}")
    return number


def getpaidunionid(access_token: Secret, openid: str, order: Mapping[str, str]) -> Request:
    """wxa/getpaidunionid: the unionid of who has paid this *order* within five minutes."""
    return Request(
        method="GET",
        path="/wxa/getpaidunionid",
        query={"access_token": access_token.reveal(), "openid": openid, **order},
        idempotent=True,
    )


def read_unionid(body: bytes, app: App) -> str:
    """Raises ``IdentityRefused``, too."""
    return _id(read_content(body, app, _BY_TOKEN).get("unionid"), "unionid")


def _about_session(
    path: str, access_token: Secret, openid: str, session_key: Secret, *, idempotent: bool
) -> Request:
    """Signed with the session_key as it is written, not as the bytes that it stands for."""
    signature = hmac.new(session_key.reveal().encode(), b"", hashlib.sha256).hexdigest()
    return Request(
        method="GET",
        path=path,
        query={
            "access_token": access_token.reveal(),
            "openid": openid,
            "signature": signature,
            "sig_method": "hmac_sha256",
        },
        idempotent=idempotent,
    )


def _id(value: object, field: str) -> str:
    if not isinstance(value, str) or not is_id(value):
        raise UpstreamUnclear(f"an answer without {field}")
    return value


def _unionid(content: Mapping[str, Any]) -> str:
    """There is one only where the mini-program is bound to an account of the Open Platform."""
    return _id(content["unionid"], "unionid") if content.get("unionid") else ""


def _watermark(content: Mapping[str, Any]) -> Mapping[str, Any]:
    watermark = content.get("watermark")
    return watermark if isinstance(watermark, dict) else {}
