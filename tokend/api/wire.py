"""What goes over the wire: requests read into values, values written as answers.

The names are WeChat's own where WeChat has them, so what parses its replies parses ours.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tokend.api.door import awaiting_body
from tokend.api.query import parameters
from tokend.api.signature import page_url
from tokend.errors import BadRequest, UpstreamRefused
from tokend.model import Secret
from tokend.remedy import remedy

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.chronicle import Event
    from tokend.errors import TokendError
    from tokend.model import Answer, Status, TokenKey

LONGEST_BODY = 8 * 1024
_BODY_SECONDS = 5
_LONGEST_WAIT = 60
_GENERATION_DIGITS = 18
_SIGNING_KINDS = ("jsapi_ticket", "agent_config_ticket")


def after_and_wait(request: web.Request) -> tuple[int, timedelta] | None:
    """``?after=<generation>&wait=<seconds>``; None for a plain GET."""
    query = parameters(request, "after", "wait")
    if "after" not in query:
        if "wait" in query:
            raise BadRequest("wait: goes with after, the generation to wait beyond")
        return None
    after = _whole_number("after", query["after"])
    wait = _whole_number("wait", query.get("wait", "0"))
    if wait > _LONGEST_WAIT:
        raise BadRequest(f"wait: at most {_LONGEST_WAIT} seconds")
    return after, timedelta(seconds=wait)


def last_event_id(request: web.Request) -> int:
    """The generation that a reader of events knows; 0 for none."""
    if request.query:
        raise BadRequest("events come without parameters; Last-Event-ID says which was the last")
    return _whole_number("Last-Event-ID", request.headers.get("Last-Event-ID", "0"))


def last_number(request: web.Request) -> int | None:
    """The number of the last event that the reader knows: ``?after=``, or ``Last-Event-ID``, which
    readers send that come back by themselves and which is newer then.
    """
    query = parameters(request, "after")
    after = _whole_number("after", query["after"]) if query else None
    if last := request.headers.get("Last-Event-ID"):
        return _whole_number("Last-Event-ID", last)
    return after


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _GENERATION_DIGITS):
        raise BadRequest(f"{name}: must be a whole number")
    return int(text)


async def rejected(request: web.Request) -> Secret | int | None:
    """``{"rejected": "<token>" or <generation>}``; None for ``{}``, a forced refresh."""
    body = await json_object(request)
    if set(body) - {"rejected"}:
        raise BadRequest('the body must be {"rejected": <token or generation>}, or {} to force')
    if not body:
        return None
    value = body["rejected"]
    if isinstance(value, str) and value:
        return Secret(value)
    if type(value) is int and 0 <= value < 10**_GENERATION_DIGITS:
        return value
    raise BadRequest("rejected: must be a token (a string) or a generation (a number)")


async def page(request: web.Request) -> tuple[str, str]:
    """``{"url": …, "kind": …}``: the page that is to be signed, and by which ticket."""
    body = await json_object(request)
    kind = body.get("kind", _SIGNING_KINDS[0])
    if set(body) - {"url", "kind"} or kind not in _SIGNING_KINDS:
        kinds = " or ".join(_SIGNING_KINDS)
        raise BadRequest(f'the body must be {{"url": <of the page>}}; "kind" may be {kinds}')
    return page_url(body.get("url")), kind


async def read_body(request: web.Request) -> bytes:
    """All of it. Raises ``web.HTTPRequestTimeout`` where it does not come in time, ``BadRequest``
    where the connection ends before it.
    """
    try:
        with awaiting_body(request):
            async with asyncio.timeout(_BODY_SECONDS):
                return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except ConnectionError:
        raise BadRequest("the connection ended before the body did") from None


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body. Raises ``BadRequest``, or what ``read_body`` does."""
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType
    try:
        body = json.loads((await read_body(request)).decode())
    except (ValueError, RecursionError, web.RequestPayloadError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def wants_text(request: web.Request) -> bool:
    """Tell if the bare value is asked for."""
    return _wants(request, "text/plain")


def wants_events(request: web.Request) -> bool:
    """Tell if each token is asked for as it comes. A HEAD would wait for the end of that."""
    return request.method == "GET" and _wants(request, "text/event-stream")


def _wants(request: web.Request, form: str) -> bool:
    """Tell if *form* is to be preferred. Some SDKs list others behind JSON in any request."""
    media = {
        part.partition(";")[0].strip() for part in request.headers.get("Accept", "").split(",")
    }
    return form in media and "application/json" not in media


def etag(answer: Answer) -> str:
    return str(answer.token.generation)


def is_known(request: web.Request, answer: Answer) -> bool:
    """Tell if ``If-None-Match`` names this answer."""
    return any(tag.value in {etag(answer), "*"} for tag in request.if_none_match or ())


def token_json(key: TokenKey, answer: Answer, now: datetime) -> dict[str, Any]:
    """*now* by the wall clock, which is the one the reader goes by."""
    return {
        "app": key.app,
        "appid": key.appid,
        "kind": key.kind,
        key.field: answer.token.value.reveal(),
        "expires_in": _seconds(answer.expires_in),
        "expires_at": _iso(now + answer.expires_in),
        "generation": answer.token.generation,
        "state": answer.state,
    }


def status_json(status: Status, now: datetime) -> dict[str, Any]:
    """Everything about a key but its value; *now* by the wall clock."""
    token = status.token
    return {
        "app": status.key.app,
        "appid": status.key.appid,
        "kind": status.key.kind,
        "state": status.state,
        "generation": token.generation if token else None,
        "expires_in": _seconds(status.expires_in),
        "expires_at": _iso(now + status.expires_in) if token else None,
        "refreshing": status.refreshing,
        "refreshing_elsewhere": status.refreshing_elsewhere or None,
        "next_refresh_in": _seconds(status.next_refresh_in),
        "next_refresh_at": _iso(now + status.next_refresh_in),
        "failures": status.failures,
        "error": _error_json(status.error),
        "record_trouble": status.record_trouble,
    }


def event_json(event: Event) -> dict[str, Any]:
    """What happened to a key, and how it was then."""
    happening, key = event.happening, event.status.key
    return {
        "number": event.number,
        "at": _iso(event.at),
        "app": key.app,
        "appid": key.appid,
        "kind": key.kind,
        "what": happening.what,
        "purpose": happening.purpose.value if happening.purpose else None,
        "took": round(happening.took.total_seconds(), 3) if happening.took is not None else None,
        "error": _error_json(happening.error),
        "status": status_json(event.status, event.at),
    }


def _error_json(error: TokendError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    advice = remedy(error)
    errcode = {"errcode": error.errcode} if isinstance(error, UpstreamRefused) else {}
    return {"message": str(error), **errcode, "advice": advice.en, "advice_zh": advice.zh}


def _seconds(duration: timedelta) -> int:
    """Whole seconds, never more than there are."""
    return duration // timedelta(seconds=1)


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
