"""How each kind of webhook wants a message, and what its answers mean. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.notify.message import Message
    from tokend.notify.receiver import Receiver

_OK, _MULTIPLE_CHOICES, _SERVER_ERROR = 200, 300, 500

# Request timeout, too early, too many requests: another time they may be taken.
_PASSING = {408, 425, 429}

# WeCom and DingTalk count minutes.
_BUSY_FOR = timedelta(minutes=1)
_NO_TIME = timedelta(0)


class Outcome(Enum):
    """What came of a message."""

    TOLD = auto()
    LATER = auto()  # it was not taken, and may be another time
    REFUSED = auto()  # it never will be


@dataclass(frozen=True, slots=True)
class Answer:
    """*said* is why, in our words: what a robot says may hold its key. *wait* is for how long the
    receiver asks to be left alone.
    """

    outcome: Outcome
    said: str = ""
    wait: timedelta = _NO_TIME


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent, and where to."""

    url: Secret
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """*codes* are the fields of an answer in which a robot says how it went, 0 being well, though
    HTTP says 200; *busy* are those that pass. *manual* has the others.
    """

    make: Callable[[Message], dict[str, Any]]
    sign: Callable[[Secret, datetime], dict[str, str]] | None = None
    is_signed_in_query: bool = False
    codes: tuple[str, ...] = ()
    busy: frozenset[int] = frozenset()
    manual: str = ""

    def call(self, receiver: Receiver, message: Message, now: datetime) -> Call:
        """*now* by the wall clock, which signatures hold."""
        url, body = receiver.url, self.make(message)
        signature = self.sign(receiver.secret, now) if self.sign and receiver.secret else {}
        if self.is_signed_in_query:
            url = _with_query(url, signature)
        else:
            body |= signature
        return Call(url, json.dumps(body, ensure_ascii=False).encode())

    def read(self, status: int, body: bytes, wait: timedelta = _NO_TIME) -> Answer:
        """What an answer means; *wait* is its Retry-After."""
        code = self._code(body)
        said = f"HTTP status {status}" + (f", code {code}" if code is not None else "")
        if code in self.busy:
            return Answer(Outcome.LATER, said, max(wait, _BUSY_FOR))
        if status in _PASSING or status >= _SERVER_ERROR:
            return Answer(Outcome.LATER, said, wait)
        is_well = code == 0 or not self.codes
        if _OK <= status < _MULTIPLE_CHOICES and is_well:
            return Answer(Outcome.TOLD)
        return Answer(Outcome.REFUSED, said)

    def _code(self, body: bytes) -> int | None:
        """None if it says none, or is not what a robot answers."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(content, dict):
            return None
        found = next((content[name] for name in self.codes if name in content), None)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def _json(message: Message) -> dict[str, Any]:
    return {"source": "tokend", "text": message.text, **message.data}


def _wecom(message: Message) -> dict[str, Any]:
    """As text, which mentions nobody who is not named in a list beside it."""
    return {"msgtype": "text", "text": {"content": message.text}}


def _dingtalk(message: Message) -> dict[str, Any]:
    return {
        "msgtype": "text",
        "text": {"content": message.text},
        "at": {"isAtAll": False},
    }


def _feishu(message: Message) -> dict[str, Any]:
    return {"msg_type": "text", "content": {"text": message.text}}


def _slack(message: Message) -> dict[str, Any]:
    """https://docs.slack.dev/messaging/formatting-message-text : without mrkdwn nothing in it is
    formatted, and without link_names nobody mentioned.
    """
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text, "mrkdwn": False, "link_names": False, "unfurl_links": False}


def _with_query(url: Secret, more: dict[str, str]) -> Secret:
    if not more:
        return url
    joint = "&" if "?" in url.reveal() else "?"
    return Secret(f"{url.reveal()}{joint}{urlencode(more)}")


def _sign_dingtalk(secret: Secret, now: datetime) -> dict[str, str]:
    """Milliseconds and the secret on two lines, keyed with the secret.

    https://open.dingtalk.com/document/robots/customize-robot-security-settings
    """
    timestamp = str(int(now.timestamp() * 1000))
    text = f"{timestamp}\n{secret.reveal()}"
    return {"timestamp": timestamp, "sign": _hmac(key=secret.reveal(), text=text)}


def _sign_feishu(secret: Secret, now: datetime) -> dict[str, str]:
    """Seconds and the secret on two lines are the key, and what is signed is nothing.

    https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    """
    timestamp = str(int(now.timestamp()))
    key = f"{timestamp}\n{secret.reveal()}"
    return {"timestamp": timestamp, "sign": _hmac(key=key, text="")}


def _hmac(*, key: str, text: str) -> str:
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


FORMATS = {
    "json": Format(make=_json),
    # At most 20 messages a minute (45009). -1: the system is busy.
    # https://developer.work.weixin.qq.com/document/path/91770
    "wecom": Format(
        make=_wecom,
        codes=("errcode",),
        busy=frozenset({-1, 45009}),
        manual="https://developer.work.weixin.qq.com/document/path/90313",
    ),
    # At most 20 a minute, else it is silent for ten (130101, 410100).
    # https://open.dingtalk.com/document/robots/custom-robot-access
    "dingtalk": Format(
        make=_dingtalk,
        sign=_sign_dingtalk,
        is_signed_in_query=True,
        codes=("errcode",),
        busy=frozenset({-1, 130101, 410100}),
        manual="https://open.dingtalk.com/document/robots/custom-robot-access",
    ),
    # At most 100 a minute, and five a second (11232; of its gateway 9499).
    # https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    "feishu": Format(
        make=_feishu,
        sign=_sign_feishu,
        codes=("code", "StatusCode"),
        busy=frozenset({9499, 11232}),
        manual="https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot",
    ),
    # One a second, else 429 with Retry-After.
    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    "slack": Format(
        make=_slack,
        manual="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
}
