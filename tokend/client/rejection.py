"""How WeChat says, in answer to a call, that the token is no good."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from tokend.client.errors import UsageError

# https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html
# 40001: another token is the current one, 40014: not a token, 42001: expired
_REJECTED = frozenset({40001, 40014, 42001})


def is_rejection(outcome: object) -> bool:
    """Tell if *outcome*, a call's JSON or an exception with ``errcode``, blames the token.

    Raises ``UsageError`` for what would never be seen to: the response of an HTTP library, which
    may say so once it is read, and what is not yet awaited.
    """
    if isinstance(outcome, Mapping):
        errcode = outcome.get("errcode")
    elif isinstance(outcome, Exception):
        errcode = getattr(outcome, "errcode", None)
    elif _is_response(outcome):
        raise UsageError(
            f"{type(outcome).__name__}: WeChat's errcode is not seen in it; "
            "return its JSON, or the bytes of a file"
        )
    elif isinstance(outcome, Awaitable):
        raise UsageError(f"{type(outcome).__name__}: to be awaited, which AsyncClient does")
    else:
        return False
    return isinstance(errcode, int) and errcode in _REJECTED


def _is_response(outcome: object) -> bool:
    """As those of urllib, requests, httpx and aiohttp are."""
    return hasattr(outcome, "headers") and (
        hasattr(outcome, "status") or hasattr(outcome, "status_code")
    )
