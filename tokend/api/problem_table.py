"""What each error is over HTTP: its status, a stable ``code``, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from tokend import errors


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: which status and code an error gets, and the advice that goes with it."""

    status: HTTPStatus
    code: str
    advice: str


# What a phone sent may be of a session_key that has ended.
_RENEWED = "take it for forged; or let the mini-program log in again, and get it from wx anew"

# A code is good for one exchange, within five minutes.
_NEW_CODE = "let the mini-program get a new code, and send each code once"

# The first row that fits decides.
PROBLEMS: tuple[tuple[type[Exception], Problem], ...] = (
    (
        errors.BadRequest,
        Problem(HTTPStatus.BAD_REQUEST, "bad_request", "mend the request"),
    ),
    (
        errors.Malformed,
        Problem(
            HTTPStatus.BAD_REQUEST,
            "malformed_request",
            "send HTTP/1.1 as RFC 9112 has it; look at what stands between you and tokend",
        ),
    ),
    (
        errors.Unauthorized,
        Problem(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "send 'Authorization: Bearer <client key>' ('tokend key CLIENT' makes one), or show "
            "the certificate that [clients] names",
        ),
    ),
    (
        errors.Proxied,
        Problem(
            HTTPStatus.FORBIDDEN,
            "proxied",
            "ask tokend without a proxy, or have its operator name the proxy in server.proxies",
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
        Problem(
            HTTPStatus.NOT_FOUND,
            "unknown_key",
            "'tokend status' and GET /v1/apps list the keys there are",
        ),
    ),
    (
        errors.UnknownSession,
        Problem(
            HTTPStatus.NOT_FOUND,
            "unknown_session",
            "let the mini-program log in again: wx.login, and POST the code to …/sessions",
        ),
    ),
    (
        errors.UnknownUser,
        Problem(
            HTTPStatus.NOT_FOUND, "unknown_user", "they are known once they have logged in here"
        ),
    ),
    (
        errors.SignatureRefused,
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "signature_refused", _RENEWED),
    ),
    (
        errors.DataRefused,
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "data_refused", _RENEWED),
    ),
    (
        errors.TooManyPolls,
        Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_polls",
            "poll once for each process; server.polls_per_client says how many there may be",
        ),
    ),
    (
        errors.Crowded,
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "crowded",
            "ask again after Retry-After; server.connections says how much room there is",
        ),
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
            "the configuration before it stays in force; mend the file and reload it again, or "
            "restart tokend for a change that takes it",
        ),
    ),
    (
        errors.CodeInvalid,
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "code_invalid", _NEW_CODE),
    ),
    (errors.CodeUsed, Problem(HTTPStatus.CONFLICT, "code_used", _NEW_CODE)),
    (
        errors.UserBlocked,
        Problem(HTTPStatus.FORBIDDEN, "user_blocked", "refuse the login; do not try again"),
    ),
    (
        errors.LoginLimited,
        Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "login_limited",
            "keep the session that there is; log in again only where it is unknown",
        ),
    ),
    (
        errors.LoginBusy,
        Problem(HTTPStatus.SERVICE_UNAVAILABLE, "wechat_busy", "ask again after Retry-After"),
    ),
    (
        errors.IdentityRefused,
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "identity_refused", "mend the request"),
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
            "ask again in a moment, with a new code if one was sent; the current token, if any, "
            "stays served",
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
            "see to the store; tokens in memory stay served, and a code that was sent is used up",
        ),
    ),
)
INTERNAL = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the log of tokend says more"
)

# Without logins ``POST …/sessions`` is a kind of credential, by the wrong method.
_ROUTES = "GET /openapi.json lists the routes, some for login.enabled = true"

# What aiohttp itself refuses.
HTTP_ADVICE = {
    HTTPStatus.NOT_FOUND: ("not_found", f"{_ROUTES}; /status is a page"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", f"see the Allow header; {_ROUTES}"),
    HTTPStatus.REQUEST_TIMEOUT: ("too_slow", "send all of a request within five seconds"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("body_too_large", "send 8 KiB at most"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("unsupported_media_type", "send plain application/json"),
    HTTPStatus.EXPECTATION_FAILED: ("expectation_failed", "expect 100-continue or nothing"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "head_too_large",
        "the request line may have 8 KiB, and so may each header",
    ),
}

HTTP_OTHER = ("http_error", "mend the request")

# All there are.
CODES = sorted(
    {INTERNAL.code, HTTP_OTHER[0]}
    | {row.code for _, row in PROBLEMS}
    | {code for code, _ in HTTP_ADVICE.values()}
)


def problem_of(error: errors.TokendError) -> Problem:
    return next((row for kind, row in PROBLEMS if isinstance(error, kind)), INTERNAL)
