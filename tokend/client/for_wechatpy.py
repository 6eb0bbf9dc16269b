"""wechatpy 1.8 with WeChat's tokens and tickets: its two clients, without the AppSecret.

::

    wechat = WeChatClient(Client(), "shop", appid="wx0123456789abcdef")
    wechat.message.send_text("openid", "hello")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import wechatpy
import wechatpy.enterprise
from requests import RequestException
from wechatpy.client.api import WeChatJSAPI
from wechatpy.client.base import BaseWeChatClient
from wechatpy.enterprise.client.api import WeChatJSAPI as WeComJSAPI
from wechatpy.exceptions import WeChatException

from tokend.client.errors import UsageError
from tokend.client.sync import Client

if TYPE_CHECKING:
    from tokend.client.token import Token

_TIMEOUT_SECONDS = 30.0


class _JSAPI(WeChatJSAPI):
    """Tickets are tokend's: none is fetched, and none is kept in a session."""

    _client: _TokendClient

    def get_ticket(self, type: str = "jsapi") -> NoReturn:  # noqa: A002, wechatpy's name
        raise UsageError(f"tokend fetches tickets of type {type}: get_jsapi_ticket() gives its own")

    def get_jsapi_ticket(self) -> Token:
        return self._client.credential("jsapi_ticket")

    def get_jsapi_card_ticket(self) -> Token:
        return self._client.credential("wx_card_ticket")


class _WeComJSAPI(WeComJSAPI):
    """The same for WeCom: the ticket of the corp, and that of the agent."""

    _client: _TokendClient

    def get_ticket(self) -> NoReturn:
        raise UsageError("tokend fetches tickets: get_jsapi_ticket() gives its own")

    def get_agent_ticket(self) -> NoReturn:
        raise UsageError("tokend fetches tickets: get_agent_jsapi_ticket() gives its own")

    def get_jsapi_ticket(self) -> Token:
        return self._client.credential("jsapi_ticket")

    def get_agent_jsapi_ticket(self) -> Token:
        return self._client.credential("agent_config_ticket")


class _TokendClient(BaseWeChatClient):
    """What wechatpy does with its AppSecret, done by tokend."""

    def __init__(self, tokens: Client, app: str, appid: str, timeout: float) -> None:
        if not isinstance(tokens, Client):
            raise UsageError("wechatpy takes the tokens of a Client, not of an AsyncClient")
        if "/" in app:
            raise UsageError(f"{app!r}: an app is like 'shop', its keys are found by themselves")
        self._tokens = tokens
        self._app = app
        # Its own retry fetches and calls again for as long as WeChat rejects, without end.
        BaseWeChatClient.__init__(self, appid, timeout=timeout, auto_retry=False)

    def credential(self, kind: str) -> Token:
        """The token or ticket of this kind. Raises ``Refused`` if tokend has none such."""
        return self._tokens.token(f"{self._app}/{kind}")

    @property
    def access_token(self) -> Token:
        return self.credential("access_token")

    @property
    def secret(self) -> NoReturn:
        """An ``AttributeError``, as wechatpy looks at every attribute when it makes a client."""
        raise AttributeError("the AppSecret is in tokend: a call that takes it cannot be made here")

    def fetch_access_token(self) -> NoReturn:
        raise UsageError("tokend fetches tokens: access_token is the current one")

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> Any:
        """Once more with another token if WeChat rejects the first, and the body is still there."""
        body = _Body(kwargs.get("files"), kwargs.get("data"))
        refusals: list[WeChatException] = []

        def send(token: Token) -> list[Any]:
            if refusals and not body.rewind():
                raise refusals[0]
            try:
                # In a list, because call() takes no Response. A rejection is raised.
                return [self._send(token, method, url_or_endpoint, **kwargs)]
            except WeChatException as refusal:
                refusals.append(refusal)
                raise

        return self._tokens.call(f"{self._app}/access_token", send)[0]

    def _send(self, token: Token, method: str, url: str, params: Any = None, **kwargs: Any) -> Any:
        """What requests raises, and what causes it, names the URL and with it the token."""
        try:
            return super()._request(method, url, params=_with(token, params), **kwargs)
        except WeChatException as refusal:
            raise refusal from None
        except RequestException as error:
            message = str(error).replace(token, "hidden")
            raise type(error)(message, request=error.request, response=error.response) from None


class WeChatClient(_TokendClient, wechatpy.WeChatClient):
    """wechatpy's client of an official account or a mini-program, named *app* in tokend.

    *timeout* is in seconds, for connecting and for each read. Its calls raise what wechatpy's do,
    and what ``tokens.token()`` does.
    """

    jsapi = _JSAPI()

    def __init__(
        self, tokens: Client, app: str, *, appid: str, timeout: float = _TIMEOUT_SECONDS
    ) -> None:
        super().__init__(tokens, app, appid, timeout)


class WeComClient(_TokendClient, wechatpy.enterprise.WeChatClient):
    """wechatpy's client of an agent of WeCom; the rest is as for ``WeChatClient``."""

    jsapi = _WeComJSAPI()

    def __init__(
        self, tokens: Client, app: str, *, corp_id: str, timeout: float = _TIMEOUT_SECONDS
    ) -> None:
        self.corp_id = corp_id
        super().__init__(tokens, app, corp_id, timeout)


def _with(token: Token, params: Any) -> str | dict[str, Any]:
    """The query with *token*. Some of wechatpy's calls write theirs themselves, token and all."""
    if isinstance(params, str):
        return re.sub(r"(?<![^&])access_token=[^&]*", f"access_token={token}", params)
    return {**dict(params or {}), "access_token": token}


class _Body:
    """What requests reads while it sends: files in a form, or one that is the body."""

    def __init__(self, files: Any, data: Any) -> None:
        fields = files.items() if isinstance(files, Mapping) else files or ()
        parts = [value if isinstance(value, tuple | list) else (value,) for _, value in fields]
        given = [data, *(each for part in parts for each in part)]
        self._streams = [(each, _position(each)) for each in given if hasattr(each, "read")]

    def rewind(self) -> bool:
        """Put all of it back to where it was; False if that cannot be done."""
        try:
            for stream, position in self._streams:
                stream.seek(position)
        except (AttributeError, TypeError, OSError):
            return False
        return True


def _position(stream: Any) -> int | None:
    try:
        return int(stream.tell())
    except (AttributeError, OSError):
        return None
