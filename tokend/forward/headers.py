"""Which headers go with a call to WeChat, and which come back with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Between the caller and tokend: about this connection, about who is calling and through what.
# Content-Length is set anew by whoever sends the body.
_KEPT_BACK = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)

# A Content-Encoding was not asked for; should there be one, the body means nothing without it.
_BROUGHT_BACK = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "error-code",
        "error-msg",
    }
)

# The signature and certificate of an answer, where an account has its API calls signed.
# https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/getting_started/api_signature.html
_SIGNATURES = "wechatmp-"

# A file that somebody has put into WeChat is no page of tokend's, which may do what the status page
# does: whoever opens it in a browser sees it with nothing running in it.
_NO_PAGE = (("Content-Security-Policy", "sandbox"), ("X-Content-Type-Options", "nosniff"))


def of_call(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """What WeChat gets to see."""
    about_connection = {name.strip().lower() for name in headers.get("Connection", "").split(",")}

    def goes(name: str) -> bool:
        return not (
            name in _KEPT_BACK or name in about_connection or name.startswith("x-forwarded-")
        )

    return _those(headers, goes)


def of_answer(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """What the caller gets to see. No Location: it may hold the token."""
    brought = _those(headers, lambda name: name in _BROUGHT_BACK or name.startswith(_SIGNATURES))
    return CIMultiDict([*brought.items(), *_NO_PAGE])


def _those(headers: Mapping[str, str], which: Callable[[str], bool]) -> CIMultiDict[str]:
    """Without what is not UTF-8: aiohttp can read such bytes, and not write them."""
    return CIMultiDict(
        (name, value.encode(errors="ignore").decode())
        for name, value in headers.items()
        if which(name.lower())
    )
