"""What each request does is noted while it is answered, and told of afterwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from tokend.api import peers
from tokend.api.repeats import REPEAT
from tokend.audit.deed import OK, Deed
from tokend.model import Permission

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from tokend.audit.trail import Trail
    from tokend.clock import Clock
    from tokend.model import Client

_DEED = web.RequestKey("deed", Deed)

# What a request is about before anything of it is looked at, so that no denial is without.
_WHAT = {
    "/v1/apps": Permission.STATUS,
    "/v1/events": Permission.STATUS,
    "/status": Permission.STATUS,
    "/v1/apps/{app}/{kind}": Permission.READ,
    "/v1/apps/{app}/{kind}/refresh": Permission.REFRESH,
    "/v1/apps/{app}/jsapi_signature": Permission.SIGN,
    "/v1/apps/{app}/sessions": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}/user": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}/verify": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}/decrypt": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}/check": Permission.LOGIN,
    "/v1/apps/{app}/sessions/{session}/reset": Permission.LOGIN,
    "/v1/apps/{app}/users/{openid}": Permission.LOGIN,
    "/v1/apps/{app}/users/{openid}/sessions": Permission.LOGIN,
    "/v1/apps/{app}/phone-number": Permission.LOGIN,
    "/v1/apps/{app}/paid-unionid": Permission.LOGIN,
    "/v1/reload": Permission.RELOAD,
    "/metrics": Permission.STATUS,
    "/cgi-bin/token": Permission.READ,
    "/cgi-bin/stable_token": Permission.READ,
    "/cgi-bin/gettoken": Permission.READ,
    "/cgi-bin/ticket/getticket": Permission.READ,
    "/cgi-bin/get_jsapi_ticket": Permission.READ,
    "/cgi-bin/ticket/get": Permission.READ,
    "/{path}": Permission.CALL,
}


def deed_of(request: web.Request) -> Deed:
    """What *request* does, as far as it is known by now."""
    deed = request.get(_DEED)
    if deed is None:
        deed = request[_DEED] = _begun(request)
    return deed


def _begun(request: web.Request) -> Deed:
    """*route* as it stands in the router, so that nothing is told that somebody made up."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "none"
    return Deed(
        where=peers.where(request),
        route=f"{request.method} {route}",
        what=_WHAT.get(route, ""),
    )


def name_of(client: Client, request: web.Request) -> str:
    """Who that is: the socket is of all who may open it."""
    peer = peers.peer(request)
    return f"{client.name} uid={peer.uid}" if peer else client.name


def audited(trail: Trail, clock: Clock) -> Middleware:
    """Goes around everything that gives an answer."""

    @web.middleware
    async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = clock.elapsed()
        await peers.introduce(request)
        try:
            response = await handler(request)
            if deed := request.get(_DEED):
                deed.outcome = deed.outcome or OK
                if repeat := request.get(REPEAT):
                    repeat.tell = partial(trail.again, deed)
            return response
        finally:
            if deed := request.get(_DEED):
                deed.outcome = deed.outcome or "unfinished"
                trail.add(deed, took=clock.elapsed() - began)

    return audit
