"""What is answered about the users of a mini-program: who logs in, who has paid, whose number.

https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_code2session.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_checksessionkey.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_resetusersessionkey.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/phone-number/api_getphonenumber.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/basic-info/api_getpaidunionid.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tokend.simulator.body import json_object
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokend.simulator.phone import Payment, Phone, Phones
    from tokend.simulator.session import SessionKey

_OK = {"errcode": 0, "errmsg": "ok"}

_PAYMENT_LIFE = timedelta(minutes=5)


def session(phones: Phones, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The session_key of that very login, even if it is dead by now. Success has no errcode."""
    value = query.get("js_code")
    if not value:
        raise Refusal(41008, "missing code,")
    phones.logins.find(value).meaning.phone.count_login(now)
    login = phones.logins.spend(value, now).meaning
    if login.phone.risky:
        raise Refusal(40226, "code blocked,")
    union = {"unionid": login.phone.unionid} if login.phone.bound else {}
    return {"openid": login.phone.openid, "session_key": login.session_key.value, **union}


def check_session_key(phones: Phones, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    _signed(_user(phones, query), query, now)
    return {**_OK}


def reset_session_key(phones: Phones, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The old one is dead at once."""
    phone = _user(phones, query)
    key = phone.reset(_signed(phone, query, now))
    return {**_OK, "openid": phone.openid, "session_key": key.value}


def phone_number(phones: Phones, body: bytes, now: datetime) -> dict[str, Any]:
    """The code is used up even if it was another user's than *openid*, which may be left out."""
    form = json_object(body)
    code = phones.numbers.spend(str(form.get("code")), now)
    phone = code.meaning
    if form.get("openid", phone.openid) != phone.openid:
        raise Refusal(40003, "invalid openid")
    watermark = {"timestamp": int(code.given_at.timestamp()), "appid": phone.appid}
    number = {"phoneNumber": phone.number, "purePhoneNumber": phone.number, "countryCode": "86"}
    return {**_OK, "phone_info": {**number, "watermark": watermark}}


def paid_unionid(phones: Phones, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    phone = _user(phones, query)
    if not phone.bound:
        raise Refusal(89002, "open not exists")
    recent = (paid for paid in phone.payments if now - paid.paid_at < _PAYMENT_LIFE)
    if not any(_names(query, payment) for payment in recent):
        raise Refusal(89300, "invalid trade")
    return {**_OK, "unionid": phone.unionid}


def _user(phones: Phones, query: Mapping[str, str]) -> Phone:
    phone = phones.of_openid(query.get("openid", ""))
    if phone is None:
        raise Refusal(40003, "invalid openid")
    return phone


def _signed(phone: Phone, query: Mapping[str, str], now: datetime) -> SessionKey:
    """The session_key, which the caller knows, too: it has signed the empty text with it."""
    if query.get("sig_method") != "hmac_sha256":
        raise Refusal(87008, "invalid sig_method")
    key = phone.session_key(now)
    if key is None:
        raise Refusal(87007, "session_key does not exist or has expired")
    if query.get("signature") != key.hmac_sha256(""):
        raise Refusal(87009, "invalid signature")
    return key


def _names(query: Mapping[str, str], payment: Payment) -> bool:
    if "transaction_id" in query:
        return query["transaction_id"] == payment.transaction_id
    order = (query.get("mch_id"), query.get("out_trade_no"))
    return order == (payment.mch_id, payment.out_trade_no)
