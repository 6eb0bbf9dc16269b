"""Many changes become one message that says what to do, and nothing in it breaks out of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase

import pytest

from tokend.errors import (
    AddressRefused,
    StoreError,
    TokendError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tokend.model import Secret, TokenKey
from tokend.notify.formats import FORMATS
from tokend.notify.message import LONGEST, compose
from tokend.notify.news import News
from tokend.notify.receiver import Receiver, Topic

AT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
AWAY = UpstreamUnreachable("https://api.weixin.qq.com: Connection refused")
NOT_ALLOWED = AddressRefused(
    errcode=40164,
    errmsg="invalid ip 203.0.113.7, not in whitelist",
    advice="WeChat sees address 203.0.113.7; add it to the IP whitelist of shop",
    advice_zh="微信看到的地址是 203.0.113.7；请把它加入 shop 的 IP 白名单",
)


def news(topic: Topic, app: str = "shop", error: TokendError | None = AWAY, **more) -> News:
    return News(
        topic=topic,
        key=TokenKey(app=app, appid="wx0123456789abcdef", kind=more.pop("kind", "access_token")),
        at=AT,
        heard=timedelta(0),
        left=more.pop("left", timedelta(minutes=4)),
        error=error,
        **more,
    )


def text(*told: News, language: str = "en", dropped: int = 0) -> str:
    return compose(told, host="web1", language=language, dropped=dropped).text


def test_one_key_is_named_with_why_and_what_to_do() -> None:
    assert text(news(Topic.FAILING)) == (
        "tokend on web1\n"
        "Began to fail: shop/access_token\n"
        "The first of these tokens ends in 4 min.\n"
        "- Why: https://api.weixin.qq.com: Connection refused\n"
        "- What to do: see if this host reaches WeChat: 'tokend doctor' tries its hosts"
    )


def test_a_refusal_says_which_address_to_allow() -> None:
    said = text(news(Topic.REFUSED, error=NOT_ALLOWED))

    assert "WeChat refuses: shop/access_token" in said
    assert "What to do: WeChat sees address 203.0.113.7; add it to the IP whitelist" in said


def test_many_keys_are_counted_and_the_first_named() -> None:
    apps = [f"app{letter}" for letter in ascii_lowercase[:9]]
    told = [news(Topic.EXPIRED, app) for app in apps]
    told += [news(Topic.EXPIRED, app, kind="jsapi_ticket") for app in apps[:3]]

    said = text(*told)

    assert (
        "Expired, and not served: 12 keys of 9 apps: appa/access_token, appb/access_token, "
        "appc/access_token, appd/access_token, appe/access_token and 7 more\n"
    ) in said
    assert said.count("Connection refused") == 1


def test_what_must_be_done_comes_first_and_what_is_over_last() -> None:
    said = text(
        news(Topic.RECOVERED, "a", None, ended=Topic.EXPIRED),
        news(Topic.QUOTA, "b", None, percent=50),
        news(Topic.FAILING, "c"),
        news(Topic.QUOTA, "d", None, percent=100),
        news(Topic.REFUSED, "e", NOT_ALLOWED),
    )

    assert re.findall(r"([a-e])/access_token", said) == ["e", "c", "d", "b", "a"]
    assert "- Why: had expired" in said
    assert "100 % of a day's new tokens are spent: d/access_token" in said
    assert "see the audit trail" in said


def test_what_was_never_told_is_counted() -> None:
    assert text(news(Topic.FAILING), dropped=37).endswith(
        "\nChanges before this that could not be told: 37"
    )


def test_the_same_in_chinese() -> None:
    said = text(
        news(Topic.REFUSED, error=NOT_ALLOWED),
        news(Topic.FAILING, "blog"),
        news(Topic.FAILING, "news"),
        language="zh",
        dropped=2,
    )

    assert said == (
        "tokend（web1）\n"
        "微信拒绝：shop/access_token\n"
        "其中最早的将在 4 分钟后过期。\n"
        "- 原因：errcode 40164: invalid ip 203.0.113.7, not in whitelist\n"
        "- 处理：微信看到的地址是 203.0.113.7；请把它加入 shop 的 IP 白名单\n"
        "开始刷新失败：2 个账号的 2 个凭证：blog/access_token、news/access_token\n"
        "其中最早的将在 4 分钟后过期。\n"
        "- 原因：https://api.weixin.qq.com: Connection refused\n"
        "- 处理：检查本机能否连到微信：tokend doctor 会逐个尝试\n"
        "此前未能送达的变化：2 条"
    )


HOSTILE = (
    '"}}\n\n# <@all> <!channel> <at user_id="all">all</at> @all **b** [x](http://evil) `x`\u202e'
)


@pytest.mark.parametrize("name", FORMATS)
def test_what_others_say_cannot_break_out_of_a_message(name: str) -> None:
    error = UpstreamRefused(1, HOSTILE, advice=HOSTILE)
    receiver = Receiver(name="ops", url=Secret("https://h/"), format=name, topics=frozenset(Topic))
    message = compose([news(Topic.REFUSED, error=error)], host=HOSTILE, language="en")

    body = json.loads(FORMATS[name].call(receiver, message, AT).body)

    assert set(body) <= {
        *("text", "msgtype", "msg_type", "at", "content", "mrkdwn", "link_names"),
        *("unfurl_links", "source", "host", "counts", "changes", "dropped"),
    }
    said = json.dumps([each for name, each in body.items() if name != "at"], ensure_ascii=False)
    assert not re.search(r"[<>@*`]|\]\(|\u202e", said)
    assert message.text.count("\n") == 4
    assert body.get("at", {"isAtAll": False}) == {"isAtAll": False}


def test_a_message_is_never_longer_than_every_robot_takes_it() -> None:
    """The first lines, which say what happened, stay longest."""
    told = [
        news(topic, "x" * 60 + str(number), StoreError("故障" * 300 + str(number)))
        for topic in (Topic.REFUSED, Topic.EXPIRED, Topic.FAILING)
        for number in range(50)
    ]

    said = text(*told)

    assert len(said.encode()) <= LONGEST == 2048
    assert "WeChat refuses: 50 keys of 50 apps" in said
    assert "Expired, and not served: 50 keys of 50 apps" in said
    assert "Began to fail: 50 keys of 50 apps" in said
    many = text(*[news(Topic.QUOTA, "x" * 64, None, percent=n) for n in range(100)])
    assert len(many.encode()) <= LONGEST


def test_as_json_each_change_is_data_too() -> None:
    message = compose(
        [news(Topic.REFUSED, error=NOT_ALLOWED), news(Topic.QUOTA, "blog", None, percent=80)],
        host="web1",
        language="en",
    )

    assert message.data["counts"] == {"refused": 1, "quota": 1}
    refused, quota = message.data["changes"]
    assert refused == {
        "topic": "refused",
        "at": "2026-11-20T08:00:00+00:00",
        "app": "shop",
        "appid": "wx0123456789abcdef",
        "kind": "access_token",
        "expires_in": 240,
        "errcode": 40164,
        "why": "errcode 40164: invalid ip 203.0.113.7, not in whitelist",
        "todo": "WeChat sees address 203.0.113.7; add it to the IP whitelist of shop",
    }
    assert (quota["topic"], quota["percent"]) == ("quota", 80)
