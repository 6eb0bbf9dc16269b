"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from tokend import errors
from tokend.api.audited import deed_of
from tokend.api.problem_table import HTTP_ADVICE, HTTP_OTHER, INTERNAL, Problem, problem_of

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

log = structlog.get_logger()


_CODE = web.ResponseKey("code", str)

# What answers, to anybody. Not of which versions it is made, as aiohttp would say.
SERVER = "tokend"


# Where the next request would begin is not known, or not worth waiting for.
_LAST = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.EXPECTATION_FAILED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into its problem document, and let nothing be cached."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _noted(request, http_problem(error))
    except errors.TokendError as error:
        response = refused(request, error)
    except Exception:
        log.exception("request_crashed", route=deed_of(request).route)
        response = _noted(request, _document(INTERNAL, "tokend failed to answer", {}))
    response.headers["Cache-Control"] = "no-store"
    return response


def refused(request: web.Request, error: errors.TokendError) -> web.Response:
    """The document of *error*, by which *request* has ended."""
    return _noted(request, problem(error))


def _noted(request: web.Request, response: web.Response) -> web.Response:
    deed_of(request).outcome = response[_CODE]
    return response


def problem(error: errors.TokendError) -> web.Response:
    """The document of *error*."""
    response = _document(problem_of(error), str(error), _extras(error))
    return _last(response) if isinstance(error, errors.Malformed) else response


def http_problem(error: web.HTTPException) -> web.Response:
    """The document of what aiohttp refuses. What it says itself may hold what it was sent."""
    status = HTTPStatus(error.status)
    code, advice = HTTP_ADVICE.get(status, HTTP_OTHER)
    response = _document(Problem(status, code, advice), status.description or status.phrase, {})
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return _last(response) if status in _LAST else response


def _last(response: web.Response) -> web.Response:
    """aiohttp closes without a word where it could not read which HTTP is spoken."""
    response.force_close()
    response.headers["Connection"] = "close"
    return response


def raw(response: web.Response) -> bytes:
    """As bytes, for a connection that sent no request, and ends."""
    _last(response)
    body = (response.text or "").encode()
    headers = {
        **response.headers,
        "Cache-Control": "no-store",
        "Content-Length": str(len(body)),
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{''.join(lines)}\r\n".encode() + body


# These say when to come back.
_LATER = (
    errors.NotReady,
    errors.RefreshLimited,
    errors.TooManyPolls,
    errors.TooManyWrongKeys,
    errors.Crowded,
    errors.LoginBusy,
    errors.LoginLimited,
)


def _extras(error: errors.TokendError) -> dict[str, Any]:
    """Members beside the standard ones: when to come back, and what WeChat said."""
    extras: dict[str, Any] = {}
    if isinstance(error, _LATER):
        extras["retry_after"] = math.ceil(error.retry_after.total_seconds())
    cause = error.cause if isinstance(error, errors.NotReady) else error
    if isinstance(cause, errors.UpstreamRefused):
        extras |= {"errcode": cause.errcode, "errmsg": cause.errmsg}
        extras |= {"advice": cause.advice, "advice_zh": cause.advice_zh}
    return extras


def _document(problem: Problem, detail: str, extras: dict[str, Any]) -> web.Response:
    document = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "code": problem.code,
        "detail": detail,
        "advice": problem.advice,
    } | extras
    headers = {"Server": SERVER}
    if "retry_after" in document:
        headers["Retry-After"] = str(document["retry_after"])
    if problem.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    response = web.json_response(
        document,
        status=problem.status.value,
        headers=headers,
        content_type="application/problem+json",
    )
    response[_CODE] = problem.code
    return response
