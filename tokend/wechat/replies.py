"""What a reply of WeChat says: a credential, or an errcode and who has to act on it.

A reply may be anything; what comes out is an ``Issued`` or an ``UpstreamError``, nothing else.
WeChat sends JSON as ``text/plain`` at times, so the Content-Type is not consulted.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from tokend.errors import (
    AddressRefused,
    AdministratorAsked,
    AdministratorRefused,
    AdministratorRefusedTwice,
    DayQuotaReached,
    MinuteQuotaReached,
    SecretRefused,
    TokenRejected,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamUnclear,
)
from tokend.model import Issued, Platform, Secret
from tokend.wechat import advice

if TYPE_CHECKING:
    from tokend.model import App


_LONGEST_LIFE = timedelta(seconds=7200)
_DIGITS = re.compile(r"[0-9]{1,9}")
_ERRCODE = re.compile(r"-?[0-9]{1,9}")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,4096}")
_ADDRESS = re.compile(r"invalid ip ([0-9A-Fa-f.:]{2,45})")
_RID = re.compile(r",? ?rid: ?([0-9A-Za-z-]+)")
_ERRMSG_LENGTH = 200

Meanings: TypeAlias = dict[int, tuple[type[UpstreamRefused], advice.Advice]]

# errcode → who has to act, and on what.
# https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
# https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
OFFICIAL: Meanings = {
    -1: (UpstreamBusy, advice.WAIT),
    40001: (SecretRefused, advice.WRONG),
    40002: (UpstreamRefused, advice.REQUEST),
    40013: (UpstreamRefused, advice.APPID),
    40066: (UpstreamRefused, advice.REQUEST),
    40125: (SecretRefused, advice.WRONG),
    40164: (AddressRefused, advice.WHITELIST),
    40243: (SecretRefused, advice.FROZEN),
    41002: (UpstreamRefused, advice.REQUEST),
    41004: (UpstreamRefused, advice.REQUEST),
    43002: (UpstreamRefused, advice.REQUEST),
    43003: (UpstreamRefused, advice.HTTPS),
    44002: (UpstreamRefused, advice.REQUEST),
    45009: (DayQuotaReached, advice.QUOTA),
    45011: (MinuteQuotaReached, advice.WAIT),
    45035: (AddressRefused, advice.WHITELIST),
    47001: (UpstreamRefused, advice.REQUEST),
    48001: (UpstreamRefused, advice.ACCOUNT),
    48004: (UpstreamRefused, advice.ACCOUNT),
    50002: (UpstreamRefused, advice.ACCOUNT),
    50004: (UpstreamRefused, advice.ACCOUNT),
    50007: (UpstreamRefused, advice.ACCOUNT),
    61004: (AddressRefused, advice.WHITELIST),
    61024: (UpstreamRefused, advice.PLATFORM),
    89501: (AdministratorAsked, advice.CONFIRM),
    89502: (AdministratorAsked, advice.CONFIRM),
    89503: (AdministratorAsked, advice.CONFIRM),
    89504: (AdministratorAsked, advice.CONFIRM),
    89505: (AdministratorAsked, advice.CONFIRM),
    89506: (AdministratorRefusedTwice, advice.REFUSED),
    89507: (AdministratorRefused, advice.REFUSED),
}


# Where WeCom means something else by them. Bad secrets are not to be tried again and again: two
# thousand in an hour bar the address. https://developer.work.weixin.qq.com/document/path/90313
_WECOM: Meanings = OFFICIAL | {
    40001: (SecretRefused, advice.CORP_WRONG),
    40013: (UpstreamRefused, advice.CORPID),
    40091: (SecretRefused, advice.CORP_WRONG),
    45009: (MinuteQuotaReached, advice.WAIT),
    45033: (UpstreamBusy, advice.WAIT),
    48002: (UpstreamRefused, advice.AGENT),
    50003: (UpstreamRefused, advice.AGENT),
    60020: (AddressRefused, advice.TRUSTED),
    301002: (UpstreamRefused, advice.AGENT),
}

# Where an access_token was sent in place of a secret.
WITH_TOKEN: Meanings = {
    40001: (TokenRejected, advice.REJECTED),
    40014: (TokenRejected, advice.REJECTED),
    42001: (TokenRejected, advice.REJECTED),
}

_MEANINGS = {Platform.OFFICIAL: OFFICIAL, Platform.WECOM: _WECOM}


# Less life than this is a mistake. WeCom gives what is left of a token's.
_SHORTEST = {Platform.OFFICIAL: timedelta(seconds=60), Platform.WECOM: timedelta(seconds=2)}


def without(token: Secret, body: bytes) -> bytes:
    """*body*, should WeChat repeat in it what it was asked with: an errmsg is told to many who may
    not have the token.
    """
    return body.replace(token.reveal().encode(), "…".encode())


def read_token(body: bytes, app: App) -> Issued:
    """An access_token that was asked for with *app*'s secret. Raises ``UpstreamRefused`` or
    ``UpstreamUnclear``. An errcode outweighs a credential beside it.
    """
    return _read_issued(body, "access_token", app, _MEANINGS[app.platform])


def read_ticket(body: bytes, app: App) -> Issued:
    """A ticket that was asked for with an access_token; besides ``TokenRejected``."""
    return _read_issued(body, "ticket", app, _MEANINGS[app.platform] | WITH_TOKEN)


def read_content(body: bytes, app: App, meanings: Meanings) -> dict[str, Any]:
    """What is answered to *app* where that is no errcode. Raises as *meanings* say, and
    ``UpstreamUnclear``.
    """
    content = _json_object(body)
    _raise_refusal(content, app, meanings)
    return content


def _read_issued(body: bytes, field: str, app: App, meanings: Meanings) -> Issued:
    content = read_content(body, app, meanings)
    value = secret_value(content.get(field), field)
    return Issued(value=value, lifetime=_lifetime(content, _SHORTEST[app.platform]))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise UpstreamUnclear(f"an answer that is not JSON ({len(body)} bytes)") from None
    if not isinstance(content, dict):
        raise UpstreamUnclear("an answer that is not a JSON object")
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values of one name is meant, nobody can know."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name stands twice")
    return content


def _raise_refusal(content: dict[str, Any], app: App, meanings: Meanings) -> None:
    errcode = content.get("errcode", 0)
    if isinstance(errcode, bool) or not _ERRCODE.fullmatch(str(errcode)):
        raise UpstreamUnclear("an errcode that is not a number")
    code = int(errcode)
    if not code:
        return
    kind, general = meanings.get(code, (UpstreamRefused, advice.UNKNOWN))
    said = str(content.get("errmsg", ""))
    if said.endswith(advice.SIGNATURE):
        general = advice.TOKEND
    errmsg, rid = _without_rid(_printable(said, hide=app.secret))
    address = _ADDRESS.search(errmsg)
    particular = general.about(app.name, address[1] if address else "(not told)")
    raise kind(code, errmsg, particular.en, rid, particular.zh)


def _without_rid(errmsg: str) -> tuple[str, str]:
    """What can be told to callers, and what cannot.

    https://developers.weixin.qq.com/doc/oplatform/openApi/openapi/get_rid_info.html
    """
    rid = _RID.search(errmsg)
    return (_RID.sub("", errmsg).rstrip(), rid[1]) if rid else (errmsg, "")


def _printable(errmsg: str, *, hide: Secret) -> str:
    """Short, on one line, and without the secret, should anybody echo it."""
    cut = errmsg.replace(hide.reveal(), "…")[:_ERRMSG_LENGTH]
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


def secret_value(value: object, field: str) -> Secret:
    """1 to 4096 visible ASCII characters: WeChat asks to be ready for 512 and may grow."""
    if not isinstance(value, str):
        raise UpstreamUnclear(f"an answer without {field}")
    if not _VISIBLE_ASCII.fullmatch(value):
        raise UpstreamUnclear(f"{field} of {len(value)} characters that is no token")
    return Secret(value)


def _lifetime(content: dict[str, Any], shortest: timedelta) -> timedelta:
    """``expires_in``, in seconds, as a number or as digits; never more than WeChat's 7200."""
    given = content.get("expires_in")
    if isinstance(given, bool) or not _DIGITS.fullmatch(str(given)):
        raise UpstreamUnclear("an expires_in that is not a number of seconds")
    lifetime = timedelta(seconds=int(str(given)))
    if lifetime < shortest:
        raise UpstreamUnclear(f"an expires_in of {given} s, too short to be served")
    return min(lifetime, _LONGEST_LIFE)
