"""Errors as WeChat says them: HTTP 200, ``errcode`` and ``errmsg``. SDKs look at nothing else.

https://developers.weixin.qq.com/doc/oplatform/developers/troubleshooting/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tokend import errors
from tokend.api.audited import deed_of
from tokend.api.problem_table import problem_of
from tokend.wechat.advice import SIGNATURE

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

SYSTEM_BUSY = -1
INVALID_CREDENTIAL = 40001
INVALID_GRANT_TYPE = 40002
INVALID_APPID = 40013
INVALID_URL = 40066
INVALID_ARGUMENT = 40097
INVALID_SECRET = 40125
TOKEN_MISSING = 41001
APPID_MISSING = 41002
SECRET_MISSING = 41004
POST_NEEDED = 43002
TOO_OFTEN = 45011
UNAUTHORIZED = 48001
MALFORMED = 47001

# What the audit trail calls them.
_OUTCOMES = {
    INVALID_CREDENTIAL: "unauthorized",
    INVALID_SECRET: "unauthorized",
    INVALID_APPID: "forbidden",
    UNAUTHORIZED: "forbidden",
}


class Refused(Exception):
    """What a caller of a WeChat-shaped route is told."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.errcode = errcode


def shaped(handler: Handler) -> Handler:
    """Whatever *handler* raises is answered as WeChat would."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            deed_of(request).outcome = _OUTCOMES.get(refused.errcode, "refused")
            return _refusal(refused.errcode, str(refused))
        except errors.TooManyWrongKeys as error:
            deed_of(request).outcome = problem_of(error).code
            return _refusal(TOO_OFTEN, str(error))
        except errors.TokendError as error:
            # What is wrong between tokend and WeChat is none of the SDK's business: it would take
            # WeChat's own errcode for a word about the client key.
            deed_of(request).outcome = problem_of(error).code
            return _refusal(SYSTEM_BUSY, str(error))

    return answer


def _refusal(errcode: int, errmsg: str) -> web.Response:
    return web.json_response({"errcode": errcode, "errmsg": f"{errmsg} {SIGNATURE}"})
