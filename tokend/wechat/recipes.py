"""How a credential is asked for. Data: no I/O, and no reading of replies.

https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
https://developer.work.weixin.qq.com/document/path/91039
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tokend.model import Platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.model import App, Secret

Ask: TypeAlias = "Callable[[App], Request]"

_TOKEN = "/cgi-bin/token"  # noqa: S105, a path
_STABLE_TOKEN = "/cgi-bin/stable_token"  # noqa: S105
_GETTOKEN = "/cgi-bin/gettoken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call to WeChat. Query and body hold the AppSecret, so they do not show in a repr.

    *idempotent* tells that sending it again changes nothing at WeChat.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    idempotent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Two ways to ask for an access_token.

    *current* may give the token there is; *new* always gives another one, and with that ends the
    life of the one before. Where they are the same call there is no way to ask without harm. Both
    go to *path*.
    """

    path: str
    current: Ask
    new: Ask


def token(app: App) -> Request:
    """cgi-bin/token: every call gives a new token."""
    return Request(
        method="GET",
        path=_TOKEN,
        query={
            "grant_type": "client_credential",
            "appid": app.appid,
            "secret": app.secret.reveal(),
        },
        idempotent=False,
    )


def stable_token(app: App) -> Request:
    """cgi-bin/stable_token: the current token; in its last 300 s the next one."""
    return _stable_token(app, force_refresh=False)


def forced_stable_token(app: App) -> Request:
    """cgi-bin/stable_token with force_refresh: a new token. 20 a day, 30 s apart."""
    return _stable_token(app, force_refresh=True)


def _stable_token(app: App, *, force_refresh: bool) -> Request:
    body = {
        "grant_type": "client_credential",
        "appid": app.appid,
        "secret": app.secret.reveal(),
        "force_refresh": force_refresh,
    }
    return Request(
        method="POST",
        path=_STABLE_TOKEN,
        body=json.dumps(body).encode(),
        idempotent=not force_refresh,
    )


def gettoken(app: App) -> Request:
    """cgi-bin/gettoken of WeCom: the token of an agent, the same one until it ends."""
    corpid = app.appid.partition("/")[0]
    return Request(
        method="GET",
        path=_GETTOKEN,
        query={"corpid": corpid, "corpsecret": app.secret.reveal()},
        idempotent=True,
    )


def gettoken_again(app: App) -> Request:
    """There is no way to make WeCom give another one; it may have a reason of its own."""
    return gettoken(app)


# By the method. A new kind of credential is a new row.
ACCESS_TOKENS = {
    "stable_token": Recipe(path=_STABLE_TOKEN, current=stable_token, new=forced_stable_token),
    "token": Recipe(path=_TOKEN, current=token, new=token),
    "gettoken": Recipe(path=_GETTOKEN, current=gettoken, new=gettoken_again),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRecipe:
    """Where a ticket is asked for with an access_token."""

    path: str
    query: dict[str, str] = field(default_factory=dict)

    def request(self, access_token: Secret) -> Request:
        return Request(
            method="GET",
            path=self.path,
            query={"access_token": access_token.reveal(), **self.query},
            idempotent=False,
        )


# https://developers.weixin.qq.com/doc/service/api/webdev/jssdk/api_getticket.html
# https://developer.work.weixin.qq.com/document/path/96909
TICKETS: dict[Platform, dict[str, TicketRecipe]] = {
    Platform.OFFICIAL: {
        "jsapi_ticket": TicketRecipe(path="/cgi-bin/ticket/getticket", query={"type": "jsapi"}),
        "wx_card_ticket": TicketRecipe(path="/cgi-bin/ticket/getticket", query={"type": "wx_card"}),
    },
    Platform.WECOM: {
        "jsapi_ticket": TicketRecipe(path="/cgi-bin/get_jsapi_ticket"),
        "agent_config_ticket": TicketRecipe(
            path="/cgi-bin/ticket/get", query={"type": "agent_config"}
        ),
    },
}
