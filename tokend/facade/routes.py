"""WeChat's own routes, so that an SDK needs but another base URL, and a client key for a secret.

Shapes, errcodes and HTTP status are WeChat's:
https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
https://developer.work.weixin.qq.com/document/path/91039
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tokend.api.access import throughout
from tokend.api.audited import deed_of
from tokend.api.problem_table import problem_of
from tokend.api.repeats import REPEAT, Repeat
from tokend.api.wire import read_body
from tokend.audit.deed import UNNEEDED
from tokend.errors import RefreshLimited, Unauthorized
from tokend.facade import errcodes
from tokend.facade.errcodes import Refused
from tokend.model import Permission, Secret
from tokend.policy import OVERLAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.facade.callers import Caller, Callers
    from tokend.facade.handles import Handles
    from tokend.follower import Follower
    from tokend.keeper import Keeper
    from tokend.model import Answer

_PATIENCE = timedelta(seconds=5)
_CHECK_PATIENCE = timedelta(seconds=3)
_REFRESH_PATIENCE = timedelta(seconds=10)

_TICKET_TYPES = {"jsapi": "jsapi_ticket", "wx_card": "wx_card_ticket"}
_WECOM_TICKET_TYPES = {"agent_config": "agent_config_ticket"}


@dataclass(frozen=True, slots=True)
class _Given:
    """What a client was given last, and since when."""

    generation: int
    since: datetime
    is_first: bool

    def is_meant(self, current: int, now: datetime) -> bool:
        """Tell if a report without a name is one of this token. For as long as WeChat honours the
        one before it, another process of the client may have met the end of that.
        """
        return self.generation == current and (self.is_first or now - self.since >= OVERLAP)


class Facade:
    """The handlers; ``errcodes.shaped`` goes around each."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        callers: Callers,
        handles: Handles,
        *,
        follower: Follower,
        clock: Clock,
    ) -> None:
        self._keepers = keepers
        self._callers = callers
        self._handles = handles
        self._follower = follower
        self._clock = clock
        self._given: dict[tuple[str, str], _Given] = {}

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/cgi-bin/token", errcodes.shaped(self.token))
        router.add_post("/cgi-bin/stable_token", errcodes.shaped(self.stable_token))
        router.add_get("/cgi-bin/stable_token", errcodes.shaped(self.post_needed))
        router.add_get("/cgi-bin/gettoken", errcodes.shaped(self.gettoken))
        router.add_get("/cgi-bin/ticket/getticket", errcodes.shaped(self.getticket))
        router.add_get("/cgi-bin/get_jsapi_ticket", errcodes.shaped(self.get_jsapi_ticket))
        router.add_get("/cgi-bin/ticket/get", errcodes.shaped(self.ticket_get))

    # Of official accounts and mini-programs

    async def token(self, request: web.Request) -> web.Response:
        """The current token."""
        return await self._current(request, partial(self._by_secret, request, _query(request)), {})

    async def stable_token(self, request: web.Request) -> web.Response:
        """The current token. ``force_refresh`` reports the one this client was given last."""
        given = await _json(request)
        who = partial(self._by_secret, request, given)
        if given.get("force_refresh") is True:
            return await self._forced(request, who)
        return await self._current(request, who, {})

    async def _forced(self, request: web.Request, who: Callable[[], Caller]) -> web.Response:
        deed = deed_of(request)
        deed.what = Permission.REFRESH
        tokens = who().tokens
        await self._follower.awake()
        await tokens.ready(_PATIENCE)
        caller = who()
        caller.require(Permission.REFRESH)
        deed.before = caller.tokens.generation
        outcome = UNNEEDED
        try:
            await self._force(caller, by=deed.who)
        except RefreshLimited as limited:
            outcome = problem_of(limited).code
        deed.generation = caller.tokens.generation
        deed.outcome = "" if deed.has_replaced else outcome
        return self._give(who(), {})

    async def post_needed(self, _: web.Request) -> web.Response:
        raise Refused(errcodes.POST_NEEDED, "require POST method")

    async def getticket(self, request: web.Request) -> web.Response:
        return await self._ticket(request, _kind(request, _TICKET_TYPES))

    # Of WeCom

    async def gettoken(self, request: web.Request) -> web.Response:
        who = partial(self._by_corp_secret, request, _query(request))
        return await self._current(request, who, {"errcode": 0, "errmsg": "ok"})

    async def get_jsapi_ticket(self, request: web.Request) -> web.Response:
        return await self._ticket(request, "jsapi_ticket")

    async def ticket_get(self, request: web.Request) -> web.Response:
        return await self._ticket(request, _kind(request, _WECOM_TICKET_TYPES))

    # What they have in common

    def _by_corp_secret(self, request: web.Request, query: Mapping[str, str]) -> Caller:
        corpid = _required(query, "corpid", errcodes.APPID_MISSING)
        secret = _required(query, "corpsecret", errcodes.SECRET_MISSING)
        try:
            callers = self._callers.by_corp_secret(request, corpid=corpid, secret=secret)
        except Unauthorized:
            raise Refused(errcodes.INVALID_CREDENTIAL, "invalid credential") from None
        if not callers:
            raise Refused(errcodes.INVALID_APPID, "invalid corpid: this client has no app of it")
        if len(callers) > 1:
            raise Refused(
                errcodes.INVALID_APPID,
                f"invalid corpid, this client has {len(callers)} apps of it; make a client of its "
                "own for each",
            )
        deed_of(request).key = str(callers[0].tokens.key)
        _require(callers[0])
        return callers[0]

    def _by_secret(self, request: web.Request, given: Mapping[str, Any]) -> Caller:
        if given.get("grant_type") != "client_credential":
            raise Refused(errcodes.INVALID_GRANT_TYPE, "invalid grant_type")
        appid = _required(given, "appid", errcodes.APPID_MISSING)
        secret = _required(given, "secret", errcodes.SECRET_MISSING)
        try:
            caller = self._callers.by_secret(request, appid=appid, secret=secret)
        except Unauthorized:
            raise Refused(
                errcodes.INVALID_SECRET, "invalid appsecret: no such client key"
            ) from None
        if caller is None:
            raise Refused(errcodes.INVALID_APPID, "invalid appid: this client has no such app")
        _require(caller)
        return caller

    async def _current(
        self, request: web.Request, who: Callable[[], Caller], head: dict[str, Any]
    ) -> web.Response:
        """*who* is asked again in the end: a reload may have changed what that one may have."""
        caller = who()
        await self._follower.awake()
        await caller.tokens.ready(_PATIENCE)
        await self._compare(caller)
        caller = who()
        deed = deed_of(request)
        if not caller.client.sees_tokens:
            deed.what = "handle"
        deed.generation = caller.tokens.generation
        request[REPEAT] = self._repeat(caller.tokens)
        return self._give(caller, head)

    def _repeat(self, tokens: Keeper) -> Repeat:
        """While whoever asks for it again would have nothing compared."""
        return Repeat(
            self._clock,
            stands=min(tokens.current().stands, tokens.check_in()),
            what=tokens.standing,
            who=self._callers.standing,
        )

    async def _force(self, caller: Caller, *, by: str) -> None:
        """Report what this client was given last. If that is not the current token, was given by
        another node, or has taken the place of one that other processes of the client may still
        have, nobody knows which one it means: the current one is compared. Raises
        ``RefreshLimited`` if that one stays by the guard rails.
        """
        given = self._given.get(_of(caller))
        if given and given.is_meant(caller.tokens.generation, self._clock.now()):
            await caller.tokens.report(given.generation, _REFRESH_PATIENCE, by=by)
        else:
            await caller.tokens.check(_CHECK_PATIENCE)

    async def _compare(self, caller: Caller) -> None:
        """Whoever asks again for the token it has may have met a rejection."""
        given = self._given.get(_of(caller))
        if given and given.generation == caller.tokens.generation:
            await caller.tokens.check(_CHECK_PATIENCE)

    def _give(self, caller: Caller, head: dict[str, Any]) -> web.Response:
        """What this client may have: the token, or a handle."""
        answer = caller.tokens.current()
        before = self._given.get(_of(caller))
        if before is None or before.generation != answer.token.generation:
            self._given[_of(caller)] = _Given(
                answer.token.generation, self._clock.now(), is_first=before is None
            )
        value = answer.token.value
        if not caller.client.sees_tokens:
            value = self._handles.seal(
                client=caller.client,
                appid=caller.tokens.key.appid,
                lifetime=answer.expires_in,
            )
        return _answer(head, "access_token", value, answer)

    async def _ticket(self, request: web.Request, kind: str) -> web.Response:
        given = Secret(_required(_query(request), "access_token", errcodes.TOKEN_MISSING))
        await self._follower.awake()
        with throughout(request, partial(self._tickets, request, given, kind)) as tickets:
            answer = await tickets.ready(_PATIENCE)
        deed_of(request).generation = answer.token.generation
        return _answer({"errcode": 0, "errmsg": "ok"}, "ticket", answer.token.value, answer)

    def _tickets(self, request: web.Request, given: Secret, kind: str) -> Keeper:
        callers = self._callers.by_token(request, given)
        caller = next((each for each in callers if each.may(Permission.READ)), None)
        if caller is None or not caller.client.sees_tokens:
            raise Refused(errcodes.UNAUTHORIZED, f"this client may not read a {kind}")
        tickets = self._keepers.get(f"{caller.app}/{kind}")
        if tickets is None:
            raise Refused(errcodes.UNAUTHORIZED, f"apps.{caller.app}.kinds has no {kind}")
        deed_of(request).key = str(tickets.key)
        return tickets


def _require(caller: Caller) -> None:
    caller.require(Permission.READ if caller.client.sees_tokens else Permission.CALL)


def _of(caller: Caller) -> tuple[str, str]:
    return caller.client.name, caller.tokens.key.record


def _answer(head: dict[str, Any], field: str, value: Secret, answer: Answer) -> web.Response:
    expires_in = answer.expires_in // timedelta(seconds=1)
    body = head | {field: value.reveal(), "expires_in": expires_in}
    return web.json_response(body, headers={"Cache-Control": "no-store"})


def _query(request: web.Request) -> dict[str, str]:
    """Each parameter once: of two, nobody can know which one is meant."""
    if len(set(request.query)) < len(request.query):
        raise Refused(errcodes.MALFORMED, "a parameter stands twice")
    return dict(request.query)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads((await read_body(request)).decode())
    except (ValueError, RecursionError, web.RequestPayloadError):
        raise Refused(errcodes.MALFORMED, "data format error") from None
    if not isinstance(body, dict):
        raise Refused(errcodes.MALFORMED, "data format error")
    return body


def _required(given: Mapping[str, Any], name: str, errcode: int) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(errcode, f"{name} missing")
    return value


def _kind(request: web.Request, types: Mapping[str, str]) -> str:
    kind = types.get(_query(request).get("type", ""))
    if kind is None:
        raise Refused(errcodes.INVALID_ARGUMENT, f"invalid type, there are {', '.join(types)}")
    return kind
