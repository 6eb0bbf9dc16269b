"""Errors as problem documents (RFC 9457), with a stable ``code``, and what to do about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from tokend import errors
from tokend.api.audited import deed_of

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: which status and code an error gets, and the advice that goes with it."""

    status: HTTPStatus
    code: str
    advice: str


# The first row that fits decides.
PROBLEMS: tuple[tuple[type[Exception], Problem], ...] = (
    (
        errors.BadRequest,
        Problem(HTTPStatus.BAD_REQUEST, "bad_request", "mend the request"),
    ),
    (
        errors.Unauthorized,
        Problem(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "send 'Authorization: Bearer <client key>'; 'tokend key CLIENT' makes one",
        ),
    ),
    (
        errors.TooManyWrongKeys,
        Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_wrong_keys",
            "see which program there has no key, or an old one; those with good keys are served",
        ),
    ),
    (
        errors.Forbidden,
        Problem(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            "the operator of tokend grants this in [clients]; the Unix socket may do everything",
        ),
    ),
    (
        errors.UnknownKey,
        Problem(HTTPStatus.NOT_FOUND, "unknown_key", "GET /v1/apps lists the keys there are"),
    ),
    (
        errors.RefreshLimited,
        Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "refresh_limited",
            "the current token stays served; GET it, and ask again later",
        ),
    ),
    (
        errors.NotReady,
        Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "ask again after Retry-After"),
    ),
    (
        errors.ConfigError,
        Problem(
            HTTPStatus.CONFLICT,
            "configuration_refused",
            "the configuration before it stays in force; mend the file and reload it again",
        ),
    ),
    (
        errors.UpstreamRefused,
        Problem(
            HTTPStatus.BAD_GATEWAY, "upstream_refused", "the current token, if any, stays served"
        ),
    ),
    (
        errors.UpstreamError,
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "upstream_away",
            "the current token, if any, stays served; report or force again in a moment",
        ),
    ),
    (
        errors.LeaseBusy,
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "refresh_elsewhere", "another node is at it; ask again"
        ),
    ),
    (
        errors.StoreError,
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "store_away",
            "tokens in memory stay served; see to the store",
        ),
    ),
)
_INTERNAL = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the log of tokend says more"
)

# What aiohttp itself refuses.
_HTTP_ADVICE = {
    HTTPStatus.NOT_FOUND: ("not_found", "the README lists the routes"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "see the Allow header"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("body_too_large", "send no more than a token"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("unsupported_media_type", "send plain application/json"),
}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into its problem document, and let nothing be cached."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _http_problem(request, error)
    except errors.TokendError as error:
        response = _problem(request, error)
    except Exception:
        log.exception("request_crashed", route=deed_of(request).route)
        response = _document(request, _INTERNAL, "tokend failed to answer", {})
    response.headers["Cache-Control"] = "no-store"
    return response


def problem_of(error: errors.TokendError) -> Problem:
    return next((problem for kind, problem in PROBLEMS if isinstance(error, kind)), _INTERNAL)


def _problem(request: web.Request, error: errors.TokendError) -> web.Response:
    return _document(request, problem_of(error), str(error), _extras(error))


def _http_problem(request: web.Request, error: web.HTTPException) -> web.Response:
    status = HTTPStatus(error.status)
    code, advice = _HTTP_ADVICE.get(status, ("http_error", "mend the request"))
    problem = Problem(status, code, advice)
    response = _document(request, problem, status.description or status.phrase, {})
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _extras(error: errors.TokendError) -> dict[str, Any]:
    """Members beside the standard ones: when to come back, and what WeChat said."""
    extras: dict[str, Any] = {}
    if isinstance(error, errors.NotReady | errors.RefreshLimited | errors.TooManyWrongKeys):
        extras["retry_after"] = math.ceil(error.retry_after.total_seconds())
    cause = error.cause if isinstance(error, errors.NotReady) else error
    if isinstance(cause, errors.UpstreamRefused):
        extras |= {"errcode": cause.errcode, "errmsg": cause.errmsg, "advice": cause.advice}
    return extras


def _document(
    request: web.Request, problem: Problem, detail: str, extras: dict[str, Any]
) -> web.Response:
    deed_of(request).outcome = problem.code
    document = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "code": problem.code,
        "detail": detail,
        "advice": problem.advice,
    } | extras
    headers = {}
    if "retry_after" in document:
        headers["Retry-After"] = str(document["retry_after"])
    if problem.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(
        document,
        status=problem.status.value,
        headers=headers,
        content_type="application/problem+json",
    )
