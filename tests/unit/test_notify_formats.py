"""What robots are sent is what their manuals ask for, and what they answer is understood."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tokend.model import Secret
from tokend.notify.formats import FORMATS, Outcome
from tokend.notify.message import Message
from tokend.notify.receiver import Receiver, Topic

SECRET = "SECcanary-robot-secret"
NOW = datetime(2026, 11, 20, 8, 0, 0, 123_000, tzinfo=UTC)
MESSAGE = Message("told", {"host": "web1"})
URL = "https://oapi.dingtalk.com/robot/send?access_token=canary-robot-token"


def receiver(name: str, *, secret: str = "") -> Receiver:
    return Receiver(
        name="ops",
        url=Secret(URL),
        format=name,
        topics=frozenset(Topic),
        secret=Secret(secret) if secret else None,
    )


def body(name: str, **more) -> dict[str, object]:
    return json.loads(FORMATS[name].call(receiver(name, **more), MESSAGE, NOW).body)


def by_openssl(*, key: str, text: str) -> str:
    """HMAC-SHA256 by another program."""
    options = ("-mac", "HMAC", "-macopt", f"hexkey:{key.encode().hex()}", "-binary")
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", *options],  # noqa: S607
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    return base64.b64encode(done.stdout).decode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wecom", {"msgtype": "text", "text": {"content": "told"}}),
        (
            "dingtalk",
            {"msgtype": "text", "text": {"content": "told"}, "at": {"isAtAll": False}},
        ),
        ("feishu", {"msg_type": "text", "content": {"text": "told"}}),
        (
            "slack",
            {"text": "told", "mrkdwn": False, "link_names": False, "unfurl_links": False},
        ),
        ("json", {"source": "tokend", "text": "told", "host": "web1"}),
    ],
)
def test_each_gets_its_own_shape(name: str, expected: dict[str, object]) -> None:
    assert body(name) == expected


def test_dingtalks_signature_is_in_the_query() -> None:
    call = FORMATS["dingtalk"].call(receiver("dingtalk", secret=SECRET), MESSAGE, NOW)

    query = parse_qs(urlsplit(call.url.reveal()).query, strict_parsing=True)
    timestamp = "1795161600123"
    assert query["timestamp"] == [timestamp]
    assert query["access_token"] == ["canary-robot-token"]
    assert query["sign"] == [by_openssl(key=SECRET, text=f"{timestamp}\n{SECRET}")]


def test_feishus_signature_is_in_the_body() -> None:
    signed = body("feishu", secret=SECRET)

    assert signed["timestamp"] == "1795161600"
    assert signed["sign"] == by_openssl(key=f"1795161600\n{SECRET}", text="")
    assert signed["content"] == {"text": "told"}


def test_a_signature_is_url_encoded() -> None:
    """'+' would be a space: it stands in one of three."""
    signs = set()
    for second in range(50):
        at = NOW + timedelta(seconds=second)
        call = FORMATS["dingtalk"].call(receiver("dingtalk", secret=SECRET), MESSAGE, at)
        sign = call.url.reveal().rpartition("&sign=")[2]
        assert not set(sign) & set("+/=")
        signs.add("%2B" in sign)
    assert signs == {True, False}


def test_slacks_text_is_escaped() -> None:
    call = FORMATS["slack"].call(receiver("slack"), Message("a & <b>", {}), NOW)

    assert json.loads(call.body)["text"] == "a &amp; &lt;b&gt;"


TOLD, LATER, REFUSED = Outcome.TOLD, Outcome.LATER, Outcome.REFUSED


@pytest.mark.parametrize(
    ("name", "status", "answer", "outcome"),
    [
        ("json", 204, b"", TOLD),
        ("json", 200, b'{"errcode": 45009}', TOLD),
        ("json", 302, b"", REFUSED),
        ("json", 404, b"", REFUSED),
        ("json", 429, b"", LATER),
        ("json", 408, b"", LATER),
        ("json", 502, b"<html>", LATER),
        ("slack", 200, b"ok", TOLD),
        ("slack", 404, b"no_service", REFUSED),
        ("slack", 429, b"rate_limited", LATER),
        ("wecom", 200, b'{"errcode":0,"errmsg":"ok"}', TOLD),
        ("wecom", 200, b'{"errcode":93000,"errmsg":"invalid webhook url"}', REFUSED),
        ("wecom", 200, b'{"errcode":45009,"errmsg":"api freq out of limit"}', LATER),
        ("wecom", 200, b'{"errcode":-1,"errmsg":"system busy"}', LATER),
        ("wecom", 200, b"<html>welcome</html>", REFUSED),
        ("wecom", 200, b'{"errcode":"0"}', REFUSED),
        ("wecom", 200, b'{"errcode":false}', REFUSED),
        ("wecom", 200, b"[" * 100_000, REFUSED),
        ("dingtalk", 200, b'{"errcode":0}', TOLD),
        ("dingtalk", 200, b'{"errcode":310000,"errmsg":"sign not match"}', REFUSED),
        ("dingtalk", 200, b'{"errcode":130101,"errmsg":"send too fast"}', LATER),
        ("dingtalk", 200, b'{"errcode":410100}', LATER),
        ("feishu", 200, b'{"code":0,"msg":"success"}', TOLD),
        ("feishu", 200, b'{"StatusCode":0,"StatusMessage":"success"}', TOLD),
        ("feishu", 200, b'{"code":19021,"msg":"sign match fail"}', REFUSED),
        ("feishu", 200, b'{"code":11232,"msg":"frequency limited"}', LATER),
        ("feishu", 400, b'{"code":9499,"msg":"too many request"}', LATER),
        ("feishu", 400, b'{"code":19001,"msg":"param invalid"}', REFUSED),
    ],
)
def test_an_answer_means_what_its_manual_says(
    name: str, status: int, answer: bytes, outcome: Outcome
) -> None:
    assert FORMATS[name].read(status, answer).outcome is outcome


def test_who_is_too_busy_is_left_alone_for_as_long_as_he_says() -> None:
    assert FORMATS["slack"].read(429, b"", timedelta(seconds=30)).wait == timedelta(seconds=30)
    assert FORMATS["wecom"].read(200, b'{"errcode":45009}').wait == timedelta(minutes=1)


def test_what_a_robot_says_is_told_by_its_code_alone() -> None:
    answer = json.dumps({"errcode": 93000, "errmsg": f"no such key {URL}"}).encode()

    assert FORMATS["wecom"].read(200, answer).said == "HTTP status 200, code 93000"
