"""What a web page needs to use WeChat's JS-SDK: a signature by the ticket, which stays here.

https://developers.weixin.qq.com/doc/service/guide/h5/jssdk.html
https://developer.work.weixin.qq.com/document/path/90506
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokend.errors import BadRequest

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.model import Secret

_LONGEST_URL = 4096


def page_url(url: object) -> str:
    """The URL of a page as WeChat signs it: without ``#`` and what follows."""
    if not isinstance(url, str) or not 0 < len(url) <= _LONGEST_URL or not url.isprintable():
        raise BadRequest(f"url: must be the page's URL, at most {_LONGEST_URL} characters")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadRequest("url: not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise BadRequest("url: must begin with http:// or https:// and a host")
    return url.partition("#")[0]


def signed(url: str, *, ticket: Secret, appid: str, now: datetime) -> dict[str, Any]:
    """The arguments of ``wx.config``."""
    nonce, timestamp = secrets.token_hex(8), int(now.timestamp())
    return {
        "appId": appid.partition("/")[0],
        "timestamp": timestamp,
        "nonceStr": nonce,
        "signature": signature(url, ticket=ticket, nonce=nonce, timestamp=timestamp),
    }


def signature(url: str, *, ticket: Secret, nonce: str, timestamp: int) -> str:
    """Of these four, in this order."""
    text = f"jsapi_ticket={ticket.reveal()}&noncestr={nonce}&timestamp={timestamp}&url={url}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
